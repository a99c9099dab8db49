// SPDX-License-Identifier: Apache-2.0
// What is told to a peer after its filters had nothing to say, in the order of Calico's own rules
// (calico-facts 6.6); the first that matches decides:
//
//   2  inside a pool with disableBGPExport           no
//   5  inside a prefixAdvertisement                  its communities are added, and on
//   6  exactly an own confirmed block                yes
//   7  inside one, with a better priority than 1024  yes: a workload that moves has it here
//   8  inside one                                    no: the block stands for it
//   9  exactly a CIDR of services                    yes
//   10 we reflect: inside a CIDR of services         yes
//   11 inside any other pool                         yes: others' blocks, and addresses borrowed
//   12 anything else                                 no
//
// Rule 0, the local preference, is in the route when it comes here (Peering announces with it).
// Rules 3 and 4 speak of routes that a BGP daemon learns from the kernel, which Margay does not.

#pragma once

#include "agent/bgp/route.h"
#include "agent/model/wanted.h"

namespace margay::bgp_rules {

enum class ExportRule {
    HiddenPool = 2,
    TooManyCommunities = 5,
    OwnBlock = 6,
    Elevated = 7,
    InsideOwnBlock = 8,
    ServiceRoute = 9,
    ReflectedService = 10,
    Pool = 11,
    Otherwise = 12,
};

// Which rule decided; the communities are in the route then.
ExportRule run_export(const model::BgpExport& facts, Route& route);
bool accepts(ExportRule rule);

} // namespace margay::bgp_rules
