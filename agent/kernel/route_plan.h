// SPDX-License-Identifier: Apache-2.0
// RoutePlan: which routes are wanted, which are there, and the operations that close the gap.
//
// Pure: it is told what the kernel holds (learn, forget) and how its operations went, and decides.
// Rules:
//  1. Ours are routes of protocol 80, and /32 routes of protocol 3 with scope link on a workload
//     interface, whatever their metric (it is a setting, and 0 when a CNI plugin made them).
//     Everything else is foreign and never changed.
//  2. A foreign route with a wanted key is a conflict: reported, not fought; ours goes in when it
//     has left. So a present key is replaced only when the present route is ours.
//  3. Adds come before removals, so that traffic never falls through a hole in between.
//  4. Removals of what nobody wants begin only after allow_removals(): until the datastore is in
//     sync "not wanted" may mean "not known yet".
//  5. A route that somebody removes is put back at once; after kStrikes times only at the next
//     retry, so that two daemons never fight at full speed.
//  6. Where events cannot tell what is there (they may be older than what was done or listed since,
//     and links take routes along without a word) the picture is doubtful, until the next dump.

#pragma once

#include "agent/kernel/route.h"

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace margay::kernel {

template <typename P>
struct RouteOperationOf {
    enum class Kind { Add, Replace, Remove };
    Kind kind;
    RouteOf<P> route;
};
using RouteOperation = RouteOperationOf<Prefix4>;
using RouteOperation6 = RouteOperationOf<Prefix6>;

// Something a person should read once. Each (kind, route) is reported once until it is resolved.
template <typename P>
struct RouteReportOf {
    enum class Kind {
        Conflict, // a foreign route has the key of a wanted one
        RemovedByOther, // somebody else removed or replaced a route of ours
        Refused, // the kernel does not take a wanted route
    };
    Kind kind;
    RouteOf<P> route;
    std::string text;
};
using RouteReport = RouteReportOf<Prefix4>;
using RouteReport6 = RouteReportOf<Prefix6>;

// What an earlier run left and nobody has wanted: all of it is stale, or the routes by other
// nodes are kept, because BGP has not told yet which of them it has (RFC 4724).
enum class Keep { Nothing, ByGateway };

template <typename P>
class RoutePlanOf {
public:
    using Route = RouteOf<P>;
    using Key = RouteKeyOf<P>;
    using Operation = RouteOperationOf<P>;
    using Report = RouteReportOf<P>;
    using IsWorkload = std::function<bool(IfIndex)>;
    static constexpr int kStrikes = 3;

    explicit RoutePlanOf(IsWorkload is_workload) : is_workload_(std::move(is_workload)) {}

    // Wanted.
    void want(Route route);
    void unwant(const Key& key);
    void unwant_all();
    void allow_removals(Keep keep = Keep::Nothing);

    // What the kernel says. `by` names who did it, for the report; empty: the kernel itself.
    void learn(const Route& route, bool replaces, const std::string& by);
    void forget(const Route& route, const std::string& by);
    // A complete dump, in portions. What learn() and forget() would tell meanwhile comes after it.
    void begin_resync();
    void present(const Route& route);
    void end_resync();
    // These went down or away, and took along what led by them.
    void lose(const std::set<IfIndex>& interfaces);
    // A dump is needed; until it begins.
    void doubt() { doubtful_ = true; }
    bool doubtful() const { return doubtful_; }

    // The next operations, at most `budget`; each is in flight until it is answered by done(),
    // failed() or, where nobody knows how it ended, unknown().
    std::vector<Operation> next(std::size_t budget);
    void done(const Operation& operation);
    void failed(const Operation& operation, const Error& error);
    void unknown(const Operation& operation);
    // Failed and fought-over routes are due again (an interface came up, the timer fired).
    void retry();

    std::size_t due() const { return due_.size() + (removals_allowed_ ? stale_.size() : 0); }
    std::size_t in_flight_count() const { return in_flight_.size(); }
    std::size_t pending() const { return due() + in_flight_count(); }
    std::size_t parked() const { return parked_.size(); }
    bool in_flight(const Key& key) const;
    // Ours, as the kernel acknowledged or told them.
    std::size_t present_count() const { return present_.size(); }
    const Route* find(const Key& key) const;
    std::vector<Report> take_reports();

private:
    enum class Place : std::uint8_t {
        Settled,
        Due, // wanted and not present
        InFlight, // an operation has not been answered yet
        Stale, // present and not wanted
        Kept, // as Stale, but to be kept for now
        Parked, // Due or Stale, but not before retry()
    };
    struct Entry {
        explicit Entry(const Key& of) : key(of) {}

        const Key key;
        std::optional<Route> wanted;
        std::optional<Route> present;
        Place place = Place::Settled;
        bool retried = false; // in flight when retry() came
        bool changed = false; // in flight is something else than what is wanted
        std::uint32_t seen = 0; // the resync that saw it present
        boost::intrusive::list_member_hook<> in_place; // the list of its place
        boost::intrusive::list_member_hook<> in_present; // present_, the longest unseen first
    };
    template <auto Hook>
    using List = boost::intrusive::list<
        Entry, boost::intrusive::member_hook<Entry, boost::intrusive::list_member_hook<>, Hook>>;
    using Places = List<&Entry::in_place>;

    bool is_ours(const Route& route) const;
    bool any_by(const std::set<IfIndex>& interfaces) const;
    bool any_conflict() const;
    void learn_foreign(const Route& route, bool replaces, const std::string& by);
    Entry& entry(const Key& key);
    Places* list_of(Place place);
    void move(Entry& entry, Place place);
    void depart(Entry& entry);
    void land(Entry& entry);
    void set_present(Entry& entry, const Route& route);
    void set_absent(Entry& entry);
    void judge(Entry& entry);
    void judge(const Key& key);
    void drop(Entry& entry);
    bool judge_conflict(const Route& route);
    void report(typename Report::Kind kind, const Route& route, std::string text);
    void resolve(const Key& key);
    void strike(Entry& entry, const std::string& by);

    IsWorkload is_workload_;
    bool removals_allowed_ = false;
    bool doubtful_ = false;
    bool foreign_doubtful_ =
        false; // some may have left with a link; matters where one is in the way
    std::uint32_t resync_ = 0;
    std::unordered_map<Key, Entry> entries_; // what is wanted or present
    Places due_, in_flight_, stale_, kept_, parked_;
    List<&Entry::in_present> present_;
    struct Foreign {
        std::uint8_t protocol = 0; // of the latest
        int count = 0; // `ip route append` makes several with one key
        bool operator==(const Foreign&) const = default;
    };
    std::map<Key, Foreign> foreign_;
    std::map<Key, Foreign> foreign_now_; // as the resync that goes on has seen them
    std::map<Key, int> strikes_;
    std::set<std::pair<typename Report::Kind, Key>> reported_;
    std::vector<Report> reports_;
};
using RoutePlan = RoutePlanOf<Prefix4>;
using RoutePlan6 = RoutePlanOf<Prefix6>;

} // namespace margay::kernel
