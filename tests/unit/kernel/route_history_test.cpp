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

using Kind = RouteOperation::Kind;

constexpr IfIndex kLinks[] = {2, 3};

// As the kernel: one route of a key is in force, others may be appended behind it, and a link that
// goes down takes its routes without a word.
struct Kernel {
    struct Held {
        Route route;
        int number; // of foreign ones, in the order of their coming
    };
    struct Event {
        std::optional<Route> route; // nullopt: a link
        bool added = false; // or up
        bool replaces = false;
        int number = 0;
        IfIndex link = 0;
    };

    std::map<RouteKey, std::deque<Held>> table;
    std::set<IfIndex> up{std::begin(kLinks), std::end(kLinks)};
    std::deque<Event> events;
    int numbers = 0;

    static bool foreign(const Route& route) { return route.protocol != kProtocolMargay; }
    bool can_lead(const Route& route) const { return up.contains(route.hops.at(0).ifindex); }

    // Operations of ours: no event tells of them. `heard`: the foreign ones known when this was decided.
    std::optional<Error> make(const RouteOperation& operation, const std::set<int>& heard)
    {
        std::deque<Held>& held = table[operation.route.key()];
        if (operation.kind == Kind::Remove) {
            EXPECT_FALSE(foreign(operation.route));
            return std::erase_if(held, [&](const Held& h) { return h.route == operation.route; })
                       ? std::nullopt
                       : std::optional(Error{Errc::NotFound, ESRCH, "no such route"});
        }
        if (!can_lead(operation.route))
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

    // What others do.
    void add(const Route& route, bool append)
    {
        std::deque<Held>& held = table[route.key()];
        const bool twice =
            std::any_of(held.begin(), held.end(), [&](const Held& h) { return h.route == route; });
        if (!can_lead(route) || twice || (!held.empty() && !append))
            return;
        held.push_back({route, number_of(route)});
        events.push_back({route, true, false, held.back().number});
    }
    void replace(const Route& route)
    {
        std::deque<Held>& held = table[route.key()];
        const bool twice =
            std::any_of(held.begin(), held.end(), [&](const Held& h) { return h.route == route; });
        if (!can_lead(route) || twice || held.empty())
            return;
        held.front() = {route, number_of(route)};
        events.push_back({route, true, true, held.front().number});
    }
    void remove(const RouteKey& key)
    {
        std::deque<Held>& held = table[key];
        if (held.empty())
            return;
        events.push_back({held.front().route, false});
        held.pop_front();
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
            std::erase_if(held, [&](const Held& h) { return !can_lead(h.route); });
        events.push_back({std::nullopt, now_up, false, 0, link});
    }
    int number_of(const Route& route) { return foreign(route) ? ++numbers : -1; }
};

class History {
public:
    explicit History(unsigned seed) : random_(seed) {}

    void run(int steps)
    {
        for (int i = 0; i < steps; ++i)
            step();
        plan_.allow_removals();
        for (const IfIndex link : kLinks)
            kernel_.set_link(link, true);
        for (int round = 0; round < 2 * RoutePlan::kStrikes; ++round) {
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
    RouteKey any_key() { return {{Ipv4(0x0a000000u + (below(3) << 6)), 26}, one_in(3) ? 7u : 0u}; }
    Route any_route(std::uint8_t protocol)
    {
        const RouteKey key = any_key();
        Route route =
            block_route(key.destination, {{kLinks[below(2)], Ipv4(0xc0000200u + below(3)), 1}});
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
                plan_.allow_removals(one_in(2) ? Keep::ByGateway
                                               : Keep::Nothing);
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
        const Kernel::Event event = kernel_.events.front();
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
            for (const Kernel::Held& h : held)
                plan_.present(h.route);
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
            const Route* found = nullptr;
            for (const Kernel::Held& h : held)
                if (Kernel::foreign(h.route))
                    others = true;
                else
                    found = &h.route;
            ours += found != nullptr ? 1 : 0;
            if (found != nullptr) {
                ASSERT_NE(plan_.find(key), nullptr) << found->str();
                EXPECT_EQ(*plan_.find(key), *found) << found->str();
                EXPECT_TRUE(wanted != wanted_.end()) << found->str() << " is stale";
            }
            if (wanted != wanted_.end() && !others) {
                ASSERT_NE(found, nullptr) << wanted->second.str() << " is missing";
                EXPECT_EQ(*found, wanted->second) << found->str();
            }
        }
        for (const auto& [key, route] : wanted_)
            EXPECT_TRUE(kernel_.table.contains(key)) << route.str() << " is missing";
        EXPECT_EQ(plan_.present_count(), ours);
        EXPECT_EQ(plan_.parked(), 0u);
    }

    std::mt19937 random_;
    Kernel kernel_;
    RoutePlan plan_{[](IfIndex) { return false; }};
    std::map<RouteKey, Route> wanted_;
    std::set<int> heard_;
    std::set<RouteKey> in_flight_;
    std::deque<Job> jobs_;
    std::deque<std::function<void()>> answers_;
    bool listing_ = false;
};

TEST(RouteHistoryTest, kernel_has_in_the_end_what_is_wanted_and_what_is_foreign)
{
    for (unsigned seed = 1; seed <= 3000 && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        History(seed).run(400);
    }
}

} // namespace
} // namespace margay::kernel
