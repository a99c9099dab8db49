// SPDX-License-Identifier: Apache-2.0
// The decision process: which of several paths to one prefix is used (RFC 4271 9.1.2.2).
//
// What the RFC says: rank by degree of preference, then break ties by a list of steps, each of
// which removes paths from consideration. What we do: exactly that, on the whole set at once,
// never by comparing pairs: MED is compared among paths of one neighbouring AS only, which makes
// pairwise comparison intransitive and its result dependent on the order of arrival.

#pragma once

#include "bgp/wire/attributes.h"

#include <span>
#include <vector>

namespace margay::bgp {

// RFC 4271 leaves the degree of preference of a route without LOCAL_PREF to us; all use this.
inline constexpr std::uint32_t kDefaultLocalPref = 100;

struct Candidate {
    const AttributeSummary* attributes = nullptr;
    bool local = false;    // announced by ourselves
    bool internal = false; // learned by iBGP
    Ipv4 identifier;       // of the peer
    Ip address;            // of the peer
    PathId path = 0;       // the peer's number (RFC 7911)
};

enum class Step {
    Best, // not removed at all
    Local,
    LocalPref,
    PathLength,
    Origin,
    Med,
    External,
    Identifier,
    ClusterList,
    Address,
    PathNumber,
};

// The step at which each candidate was removed. Exactly one is Best; those that reached
// Step::Identifier are as good as the best but for identity, and may be used beside it.
std::vector<Step> decide(std::span<const Candidate> candidates);

inline bool usable_beside_best(Step step)
{
    return step == Step::Best || step >= Step::Identifier;
}
const char* describe(Step step);

} // namespace margay::bgp
