// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/decide.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace margay::bgp {
namespace {

std::uint32_t local_pref(const Candidate& c)
{
    return c.attributes->local_pref.value_or(kDefaultLocalPref);
}

// RFC 4456 section 9: a reflected route is judged by who put it into the AS.
Ipv4 identifier(const Candidate& c)
{
    return c.attributes->originator_id.value_or(c.identifier);
}

// Each step is linear in the number of candidates: a peer with ADD-PATH may send thousands.
class Contest {
public:
    explicit Contest(std::span<const Candidate> candidates)
        : candidates_(candidates), steps_(candidates.size(), Step::Best), left_(candidates.size())
    {
    }

    // Keeps the candidates with the lowest value.
    template <typename Value>
    void keep_lowest(Step step, Value value)
    {
        if (left_ < 2)
            return;
        std::optional<decltype(value(candidates_[0]))> lowest;
        for_each_left([&](std::size_t i) {
            if (auto mine = value(candidates_[i]); !lowest || mine < *lowest)
                lowest = std::move(mine);
        });
        remove_if(step, [&](const Candidate& c) { return *lowest < value(c); });
    }
    // Of each group those with its lowest value.
    template <typename Group, typename Value>
    void keep_lowest_of_each(Step step, Group group, Value value)
    {
        if (left_ < 2)
            return;
        std::vector<std::pair<decltype(group(candidates_[0])), decltype(value(candidates_[0]))>>
            sorted; // a group's first is its lowest
        for_each_left([&](std::size_t i) {
            sorted.emplace_back(group(candidates_[i]), value(candidates_[i]));
        });
        std::ranges::sort(sorted);
        remove_if(step, [&](const Candidate& c) {
            const auto first = std::ranges::lower_bound(sorted, group(c), {},
                                                        [](const auto& p) { return p.first; });
            return first->second < value(c);
        });
    }
    std::vector<Step> result() && { return std::move(steps_); }

private:
    template <typename F>
    void for_each_left(F f) const
    {
        for (std::size_t i = 0; i < candidates_.size(); ++i)
            if (steps_[i] == Step::Best)
                f(i);
    }
    // The test must not depend on who was removed already in this step.
    template <typename Test>
    void remove_if(Step step, Test test)
    {
        for_each_left([&](std::size_t i) {
            if (!test(candidates_[i]))
                return;
            steps_[i] = step;
            --left_;
        });
    }

    std::span<const Candidate> candidates_;
    std::vector<Step> steps_;
    std::size_t left_;
};

} // namespace

std::vector<Step> decide(std::span<const Candidate> candidates)
{
    Contest contest(candidates);
    // 1. What we announce ourselves is never reached through somebody else.
    contest.keep_lowest(Step::Local, [](const Candidate& c) { return !c.local; });
    // 2. The highest degree of preference (9.1.1).
    contest.keep_lowest(Step::LocalPref, [](const Candidate& c) { return ~local_pref(c); });
    // 3. (a) The shortest AS_PATH.
    contest.keep_lowest(Step::PathLength,
                        [](const Candidate& c) { return c.attributes->path_length; });
    // 4. (b) The lowest ORIGIN.
    contest.keep_lowest(Step::Origin, [](const Candidate& c) { return c.attributes->origin; });
    // 5. (c) The lowest MULTI_EXIT_DISC among those of the same neighbouring AS; none counts as 0.
    contest.keep_lowest_of_each(
        Step::Med, [](const Candidate& c) { return c.attributes->neighbor; },
        [](const Candidate& c) { return c.attributes->med.value_or(0); });
    // 6. (d) External before internal. (e), the cost to the next hop, is equal for all: we run no
    //    interior routing protocol.
    contest.keep_lowest(Step::External, [](const Candidate& c) { return c.internal; });
    // 7. (f) The lowest BGP identifier.
    contest.keep_lowest(Step::Identifier, identifier);
    // 8. RFC 4456 section 9: the shortest CLUSTER_LIST.
    contest.keep_lowest(Step::ClusterList,
                        [](const Candidate& c) { return c.attributes->cluster_count; });
    // 9. (g) The lowest peer address.
    contest.keep_lowest(Step::Address, [](const Candidate& c) { return c.address; });
    // 10. Of several paths of one peer (RFC 7911, which leaves it to us) the one with the lowest number.
    contest.keep_lowest(Step::PathNumber, [](const Candidate& c) { return c.path; });
    return std::move(contest).result();
}

const char* describe(Step step)
{
    switch (step) {
    case Step::Best:
        return "best";
    case Step::Local:
        return "our own route is preferred";
    case Step::LocalPref:
        return "lower local preference";
    case Step::PathLength:
        return "longer AS path";
    case Step::Origin:
        return "higher origin";
    case Step::Med:
        return "higher MED from the same neighbouring AS";
    case Step::External:
        return "internal, an external route is preferred";
    case Step::Identifier:
        return "equal, but a higher BGP identifier";
    case Step::ClusterList:
        return "equal, but a longer cluster list";
    case Step::Address:
        return "equal, but a higher peer address";
    case Step::PathNumber:
        return "equal, but a higher path identifier";
    }
    return "";
}

} // namespace margay::bgp
