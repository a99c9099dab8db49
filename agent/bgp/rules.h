// SPDX-License-Identifier: Apache-2.0
// Rules: all that decides which routes are taken from a peer and which are told to it.
//
// In both directions the peer's filters come first, in their order. After them everything is taken
// (import), or export.h's list decides (export). A filter that a peer names and that is not there
// closes the peer, both ways: what it would have kept out must not come in meanwhile.
//
// A peer is known by its chain alone: the canonical text of its filters' names, so that the BGP
// library tells peers with the same chain the same octets.

#pragma once

#include "agent/bgp/export.h"
#include "agent/bgp/filter.h"
#include "agent/model/wanted.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::bgp_rules {

// "a,b"; names have no comma.
std::string chain_of(const std::vector<std::string>& filters);

class Rules {
public:
    // nullptr: it is gone.
    void set_filter(const std::string& name, const model::BgpFilter* filter);
    void set_export(const model::BgpExport& facts) { export_ = facts; }
    const model::BgpExport& exported() const { return export_; }

    // Null: rejected.
    bgp::AttributesPtr import_route(const std::string& chain, Route route,
                                    bgp::AttributePool& pool);
    bgp::AttributesPtr export_route(const std::string& chain, Route route,
                                    bgp::AttributePool& pool);

    // Of these filters, those that are not there.
    std::vector<std::string> missing(const std::vector<std::string>& filters) const;

private:
    using Lists = std::vector<const model::BgpFilter*>;

    // nullptr: a filter is missing.
    const Lists* filters_of(const std::string& chain);
    Verdict run_filters(const std::string& chain, bool import, Route& route);

    std::map<std::string, model::BgpFilter, std::less<>> filters_;
    model::BgpExport export_;
    struct Chain {
        Lists filters;
        bool whole = true;
    };
    std::map<std::string, Chain> chains_; // as they were asked for, since the last change
};

} // namespace margay::bgp_rules
