// SPDX-License-Identifier: Apache-2.0
// Random histories: RoutePlan between somebody who wants routes and a kernel in which others change
// them, links come and go, and news arrives late. In the end the kernel has what is wanted.
#include "agent/kernel/route_plan.h"

#include <gtest/gtest.h>

#include "support/addresses.h"

#include <deque>
#include <functional>
#include <random>
#include <utility>

namespace margay::kernel {
namespace {

constexpr IfIndex kLinks[] = {2, 3};

// As the kernel: one route of a key is in force, others may be appended behind it, and a link that
// goes down takes its routes without a word. In IPv6 what is appended becomes one route with what is
// there, under the protocol of the first, and its next hops can be removed one by one.
template <typename P>
struct Kernel {
    using Route = RouteOf<P>;
    using Key = RouteKeyOf<P>;
    using Operation = RouteOperationOf<P>;
    using Kind = typename Operation::Kind;
    static constexpr bool kJoins = std::is_same_v<P, Prefix6>;

    struct Held {
        std::vector<Route> parts; // one; where routes are joined, one a next hop
        int number; // of foreign ones, in the order of their coming

        Held(const Route& route, int n) : number(n)
        {
            if (!kJoins) {
                parts = {route};
                return;
            }
            for (const auto& hop : route.hops) {
                parts.push_back(route);
                parts.back().hops = {hop};
            }
        }
        // Under the protocol of `named`, as a notification has it, or of the first.
        Route route(const Route* named = nullptr) const
        {
            Route whole = named != nullptr ? *named : parts.front();
            whole.hops.clear();
            for (const Route& part : parts)
                whole.hops.insert(whole.hops.end(), part.hops.begin(), part.hops.end());
            std::sort(whole.hops.begin(), whole.hops.end());
            return whole;
        }
        bool has_hop_of(const Route& route) const
        {
            return std::any_of(parts.begin(), parts.end(), [&](const Route& part) {
                return std::find(route.hops.begin(), route.hops.end(), part.hops.at(0)) !=
                       route.hops.end();
            });
        }
    };
    struct Event {
        std::optional<Route> route; // nullopt: a link
        bool added = false; // or up
        bool replaces = false;
        int number = 0;
        IfIndex link = 0;
    };

    std::map<Key, std::deque<Held>> table;
    std::set<IfIndex> up{std::begin(kLinks), std::end(kLinks)};
    std::deque<Event> events;
    int numbers = 0;

    static bool foreign(const Route& route) { return route.protocol != kProtocolMargay; }
    bool is_up(const NextHopOf<typename P::Address>& hop) const { return up.contains(hop.ifindex); }
    bool can_be_made(const Route& route) const
    {
        return std::all_of(route.hops.begin(), route.hops.end(),
                           [this](const auto& hop) { return is_up(hop); });
    }
    bool can_stay(const Route& route) const
    {
        return std::any_of(route.hops.begin(), route.hops.end(),
                           [this](const auto& hop) { return is_up(hop); });
    }
    static bool has(const std::deque<Held>& held, const Route& route)
    {
        return std::any_of(held.begin(), held.end(), [&](const Held& h) {
            return kJoins ? h.has_hop_of(route) : h.route() == route;
        });
    }

    // Operations of ours: no event tells of them. `heard`: the foreign ones known when this was decided.
    std::optional<Error> make(const Operation& operation, const std::set<int>& heard)
    {
        std::deque<Held>& held = table[operation.route.key()];
        if (operation.kind == Kind::Remove)
            return remove_ours(held, operation.route);
        if (!can_be_made(operation.route))
            return Error{Errc::Unavailable, ENETDOWN, "link is down"};
        if (held.empty()) {
            held.push_back({operation.route, 0});
            return std::nullopt;
        }
        if (operation.kind == Kind::Add)
            return Error{Errc::Exists, EEXIST, "exists"};
        EXPECT_FALSE(heard.contains(held.front().number)) << "a foreign route that was known";
        held.front() = {operation.route, 0};
        return std::nullopt;
    }
    static std::optional<Error> remove_ours(std::deque<Held>& held, const Route& route)
    {
        EXPECT_FALSE(foreign(route));
        std::size_t removed = 0;
        for (Held& h : held)
            removed += std::erase_if(h.parts, [&](const Route& part) {
                return kJoins ? !foreign(part) && Held(route, 0).has_hop_of(part) : part == route;
            });
        std::erase_if(held, [](const Held& h) { return h.parts.empty(); });
        return removed ? std::nullopt
                       : std::optional(Error{Errc::NotFound, ESRCH, "no such route"});
    }

    // What others do.
    void add(const Route& route, bool append)
    {
        std::deque<Held>& held = table[route.key()];
        if (!can_be_made(route) || has(held, route) || (!held.empty() && !append))
            return;
        if (kJoins && !held.empty()) {
            Held& joined = held.front();
            for (const Route& part : Held(route, 0).parts)
                joined.parts.push_back(part);
            events.push_back({joined.route(&route), true});
            return;
        }
        held.push_back({route, number_of(route)});
        events.push_back({route, true, false, held.back().number});
    }
    void replace(const Route& route)
    {
        std::deque<Held>& held = table[route.key()];
        if (!can_be_made(route) || has(held, route) || held.empty())
            return;
        held.front() = {route, number_of(route)};
        events.push_back({route, true, true, held.front().number});
    }
    void remove(const Key& key)
    {
        std::deque<Held>& held = table[key];
        if (held.empty())
            return;
        events.push_back({held.front().route(), false});
        held.pop_front();
    }
    void remove_hop(const Key& key, std::size_t which)
    {
        std::deque<Held>& held = table[key];
        if (!kJoins || held.empty() || held.front().parts.size() < 2)
            return remove(key);
        std::vector<Route>& parts = held.front().parts;
        const auto part = parts.begin() + static_cast<std::ptrdiff_t>(which % parts.size());
        events.push_back({*part, false});
        parts.erase(part);
    }
    void set_link(IfIndex link, bool now_up)
    {
        if (up.contains(link) == now_up)
            return;
        if (now_up)
            up.insert(link);
        else
            up.erase(link);
        for (auto& [key, held] : table)
            std::erase_if(held, [&](const Held& h) { return !can_stay(h.route()); });
        events.push_back({std::nullopt, now_up, false, 0, link});
    }
    int number_of(const Route& route) { return foreign(route) ? ++numbers : -1; }
};

template <typename P>
class History {
    using Route = RouteOf<P>;
    using RouteKey = RouteKeyOf<P>;
    using RouteOperation = RouteOperationOf<P>;

public:
    explicit History(unsigned seed) : random_(seed) {}

    void run(int steps)
    {
        for (int i = 0; i < steps; ++i)
            step();
        plan_.allow_removals();
        for (const IfIndex link : kLinks)
            kernel_.set_link(link, true);
        for (int round = 0; round < 2 * RoutePlanOf<P>::kStrikes; ++round) {
            plan_.retry();
            flush();
            settle();
        }
        compare();
    }

private:
    struct Job {
        std::vector<RouteOperation> operations; // none: a list
        std::set<int> heard;
        std::vector<std::optional<Error>> results;
        std::optional<RouteKey> listed; // so far
        bool begun = false;
    };

    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_()) % n; }
    bool one_in(std::uint32_t n) { return below(n) == 0; }
    RouteKey any_key()
    {
        const char* const blocks[] = {"10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26"};
        return {prefix_of<P>(blocks[below(3)]), one_in(3) ? 7u : 1024u};
    }
    Route any_route(std::uint8_t protocol)
    {
        const char* const gateways[] = {"192.0.2.0", "192.0.2.1", "192.0.2.2"};
        const RouteKey key = any_key();
        NextHopsOf<typename P::Address> hops{
            {kLinks[below(2)], prefix_of<P>(gateways[below(3)]).addr, 1}};
        if (one_in(5))
            hops.push_back({kLinks[below(2)], prefix_of<P>("192.0.2.3").addr, 1});
        Route route = block_route(key.destination, hops);
        route.metric = key.metric;
        route.protocol = protocol;
        return route;
    }

    void step()
    {
        switch (below(16)) {
        case 0:
            return others();
        case 1:
        case 2:
            want(any_route(kProtocolMargay));
            return one_in(2) ? flush() : void();
        case 3:
            unwant(any_key());
            return one_in(2) ? flush() : void();
        case 4:
            if (one_in(20))
                plan_.allow_removals(one_in(2) ? Keep::ByGateway : Keep::Nothing);
            if (one_in(8))
                plan_.retry();
            return flush();
        case 5:
        case 6:
        case 7:
            return hear();
        case 8:
        case 9:
        case 10:
            return answer();
        default:
            return work();
        }
    }
    void others()
    {
        switch (below(8)) {
        case 0:
            return kernel_.add(any_route(4), one_in(2));
        case 1:
            return kernel_.replace(any_route(4));
        case 2:
            return kernel_.add(any_route(kProtocolMargay), false);
        case 3:
        case 4:
            return kernel_.set_link(kLinks[below(2)], one_in(2));
        case 5:
            return kernel_.remove_hop(any_key(), below(4));
        default:
            return kernel_.remove(any_key());
        }
    }
    void want(const Route& route)
    {
        plan_.want(route);
        wanted_.insert_or_assign(route.key(), route);
    }
    void unwant(const RouteKey& key)
    {
        plan_.unwant(key);
        wanted_.erase(key);
    }

    // What RouteTable does: a dump comes behind what is in flight, and nothing is changed meanwhile.
    void flush()
    {
        if (plan_.doubtful() && !listing_) {
            listing_ = true;
            jobs_.push_back({});
        }
        while (!listing_ && plan_.due() > 0 && plan_.in_flight_count() < 6) {
            Job job;
            job.operations = plan_.next(3);
            for (const RouteOperation& operation : job.operations)
                EXPECT_TRUE(in_flight_.insert(operation.route.key()).second) << "asked twice";
            job.heard = heard_;
            jobs_.push_back(std::move(job));
        }
        (void)plan_.take_reports();
    }
    void hear()
    {
        if (listing_ || kernel_.events.empty())
            return;
        const typename Kernel<P>::Event event = kernel_.events.front();
        kernel_.events.pop_front();
        if (!event.route && event.added)
            plan_.retry();
        else if (!event.route)
            plan_.lose({event.link});
        else if (event.added)
            plan_.learn(*event.route, event.replaces, "somebody");
        else
            plan_.forget(*event.route, "somebody");
        if (event.number > 0)
            heard_.insert(event.number);
        flush();
    }

    // The thread does one thing.
    void work()
    {
        if (jobs_.empty())
            return;
        Job& job = jobs_.front();
        if (job.operations.empty())
            return list(job);
        if (job.results.size() < job.operations.size()) {
            job.results.push_back(kernel_.make(job.operations[job.results.size()], job.heard));
            if (one_in(60)) // the answer is lost
                end(job, [this, job] {
                    for (const RouteOperation& operation : job.operations)
                        plan_.unknown(operation);
                });
            return;
        }
        end(job, [this, job] {
            for (std::size_t i = 0; i < job.operations.size(); ++i)
                if (job.results[i])
                    plan_.failed(job.operations[i], *job.results[i]);
                else
                    plan_.done(job.operations[i]);
        });
    }
    void list(Job& job)
    {
        if (!std::exchange(job.begun, true) || one_in(40)) { // or interrupted
            job.listed.reset();
            answers_.push_back([this] { plan_.begin_resync(); });
            return;
        }
        if (one_in(60))
            return end(job, [this] {
                listing_ = false;
                plan_.doubt();
            });
        const auto next =
            job.listed ? kernel_.table.upper_bound(*job.listed) : kernel_.table.begin();
        if (next == kernel_.table.end())
            return end(job, [this] {
                listing_ = false;
                plan_.end_resync();
            });
        job.listed = next->first;
        answers_.push_back([this, held = next->second] {
            for (const typename Kernel<P>::Held& h : held)
                plan_.present(h.route());
        });
    }
    void end(const Job& job, std::function<void()> answer)
    {
        answers_.push_back([this, operations = job.operations, answer = std::move(answer)] {
            for (const RouteOperation& operation : operations)
                in_flight_.erase(operation.route.key());
            answer();
            flush();
        });
        jobs_.pop_front();
    }
    void answer()
    {
        if (answers_.empty())
            return;
        const auto answer = std::move(answers_.front());
        answers_.pop_front();
        answer();
    }

    void settle()
    {
        for (int i = 0; i < 5000; ++i) {
            if (jobs_.empty() && answers_.empty() && kernel_.events.empty() && !listing_)
                break;
            hear();
            answer();
            work();
        }
        EXPECT_TRUE(jobs_.empty() && answers_.empty() && kernel_.events.empty());
        EXPECT_EQ(plan_.pending(), 0u);
        EXPECT_FALSE(plan_.doubtful());
    }
    void compare()
    {
        std::size_t ours = 0;
        for (const auto& [key, held] : kernel_.table) {
            const auto wanted = wanted_.find(key);
            bool others = false;
            std::optional<Route> found;
            for (const typename Kernel<P>::Held& h : held)
                if (Kernel<P>::foreign(h.route()))
                    others = true;
                else
                    found = h.route();
            ours += found ? 1 : 0;
            if (found) {
                ASSERT_NE(plan_.find(key), nullptr) << found->str();
                EXPECT_EQ(*plan_.find(key), *found) << found->str();
                EXPECT_TRUE(wanted != wanted_.end()) << found->str() << " is stale";
            }
            if (wanted != wanted_.end() && !others) {
                ASSERT_TRUE(found) << wanted->second.str() << " is missing";
                EXPECT_EQ(*found, wanted->second) << found->str();
            }
        }
        for (const auto& [key, route] : wanted_)
            EXPECT_TRUE(kernel_.table.contains(key)) << route.str() << " is missing";
        EXPECT_EQ(plan_.present_count(), ours);
        EXPECT_EQ(plan_.parked(), 0u);
    }

    std::mt19937 random_;
    Kernel<P> kernel_;
    RoutePlanOf<P> plan_{[](IfIndex) { return false; }};
    std::map<RouteKey, Route> wanted_;
    std::set<int> heard_;
    std::set<RouteKey> in_flight_;
    std::deque<Job> jobs_;
    std::deque<std::function<void()>> answers_;
    bool listing_ = false;
};

template <typename P>
struct RouteHistoryTest : ::testing::Test {};
using BothFamilies = ::testing::Types<Prefix4, Prefix6>;
TYPED_TEST_SUITE(RouteHistoryTest, BothFamilies);

TYPED_TEST(RouteHistoryTest, kernel_has_in_the_end_what_is_wanted_and_what_is_foreign)
{
    for (unsigned seed = 1; seed <= 3000 && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        History<TypeParam>(seed).run(400);
    }
}

} // namespace
} // namespace margay::kernel
