// SPDX-License-Identifier: Apache-2.0
// Route: one route on its way from or to a peer, as rules look at it and change it.
//
// Most rules ask for the prefix and most routes pass unchanged, so the attributes are taken apart
// only when somebody asks for them, and put together again only when somebody changed them.

#pragma once

#include "agent/model/bgp.h"
#include "bgp/wire/attribute_set.h"

#include <functional>
#include <optional>
#include <string>

namespace margay::bgp_rules {

// A priority is a metric: 2147483647 less the local preference (calico-compatible, see README).
inline constexpr std::uint32_t kHighestPreference = 2147483647;

// By which interface we send to a next hop; "": by none. Nothing: it is not known.
using InterfaceOf = std::function<std::optional<std::string>(const Ip&)>;

// What is known of a route beside its attributes.
struct Circumstances {
    bool learned = false;  // from a peer; else our own
    bool external = false; // the peer in question is of another AS
    std::string interface_name{}; // of an own address; empty: none, or not known
    const InterfaceOf* interface_of =
        nullptr; // of learned routes, asked only where a rule is about it
};

class Route {
public:
    Route(model::AnyPrefix prefix, bgp::AttributesPtr given, Circumstances circumstances)
        : prefix_(prefix), given_(std::move(given)), circumstances_(std::move(circumstances))
    {
    }

    const model::AnyPrefix& prefix() const { return prefix_; }
    const Circumstances& circumstances() const { return circumstances_; }
    std::uint32_t priority() const;
    bool has(const model::Community& community) const;
    // Does the path begin with these?
    bool path_begins_with(const std::vector<std::uint32_t>& as_numbers) const;
    std::optional<std::string> interface_name() const; // as InterfaceOf

    void set_priority(std::uint32_t priority);
    // False: the attributes would become longer than any peer takes.
    [[nodiscard]] bool add(const model::Community& community);
    [[nodiscard]] bool prepend(const std::vector<std::uint32_t>& as_numbers);

    // What was given, if nothing changed it.
    bgp::AttributesPtr attributes(bgp::AttributePool& pool) const;

private:
    const bgp::Attributes& read() const;
    bgp::Attributes& change();

    model::AnyPrefix prefix_;
    bgp::AttributesPtr given_;
    Circumstances circumstances_;
    mutable std::optional<bgp::Attributes> attributes_;
    bool changed_ = false;
};

// Is all of `inner` within `outer`? Never across families.
bool contains(const model::AnyPrefix& outer, const model::AnyPrefix& inner);
int length_of(const model::AnyPrefix& prefix);

} // namespace margay::bgp_rules
