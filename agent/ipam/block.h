// SPDX-License-Identifier: Apache-2.0
// Block: one allocation block, the only truth about who has which address.
//
// An ordinal i stands for the address cidr base + i; all are usable. `unallocated` is first in,
// first out, so a freed address comes back as late as possible. An attribute with `released_at`
// marks an address in cooldown: not in use, not yet free. The sequence number grows by one with
// every write of the block, and each address remembers the one at which it was given, so that a
// late release cannot free what has been given to somebody else since.
//
// Everything here is pure. Fields that we do not know are kept as they came: other agents and
// other versions write these values too.

#pragma once

#include "agent/ipam/timestamp.h"
#include "margay/ip.h"
#include "margay/result.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::ipam {

// Unknown fields of an object: name to JSON text.
using OtherFields = std::map<std::string, std::string>;

// Who an address is given to.
struct Owner {
    std::string handle;
    std::map<std::string, std::string> attributes; // calico-facts 2.2

    bool operator==(const Owner&) const = default;
};

struct Attribute {
    std::optional<std::string> handle;
    std::map<std::string, std::string> secondary;
    std::string released_at; // RFC 3339; empty: in use
    OtherFields other;

    bool operator==(const Attribute&) const = default;
};

struct Block {
    static constexpr int kMinLength = 20; // as IPPool.blockSize allows

    Prefix4 cidr{};                      // masked
    std::optional<std::string> affinity; // "host:<node>", "virtual:<owner>"; none: no owner
    std::string claim_time;              // RFC 3339, or empty
    std::vector<std::optional<std::uint32_t>> allocations; // by ordinal: index in attributes
    std::vector<std::uint32_t> unallocated;                // ordinals
    std::vector<Attribute> attributes;
    std::uint64_t sequence = 0;
    std::map<std::uint32_t, std::uint64_t> sequence_of; // by ordinal
    OtherFields other;

    bool operator==(const Block&) const = default;

    bool contains(Ipv4 address) const { return cidr.contains(address); }
    std::uint32_t ordinal(Ipv4 address) const { return address.value() - cidr.addr.value(); }
    Ipv4 address(std::uint32_t ordinal) const { return Ipv4(cidr.addr.value() + ordinal); }
    std::size_t size() const { return allocations.size(); }
    // Neither given nor in cooldown.
    bool empty() const;
    // The attribute of an address in use; nullptr when it is free or in cooldown.
    const Attribute* in_use(Ipv4 address) const;
};

std::string host_affinity(const std::string& node); // "host:<node>"

Block new_block(const Prefix4& cidr, const std::string& affinity, Time now);

// Refuses values that contradict themselves: a wrong number of allocations, an index beyond the
// attributes, an ordinal that is free and given at once. `cidr` is the key's.
Result<Block> decode_block(std::string_view json, const Prefix4& cidr);
std::string encode_block(const Block& block);

using Reserved = std::function<bool(Ipv4)>;

// Gives up to `count` free addresses to `owner`; fewer when the block has no more.
std::vector<Ipv4> assign(Block& block, std::size_t count, const Owner& owner,
                         const Reserved& reserved = {});
// Exists: given already. Conflict: in cooldown.
Status assign_address(Block& block, Ipv4 address, const Owner& owner);

struct Release {
    Ipv4 address{};
    std::optional<std::string> handle{};     // must be the owner's
    std::optional<std::uint64_t> sequence{}; // must be that of the assignment
};

// Puts the addresses into cooldown, all or none: a handle or sequence that does not match is a
// Conflict. Returns those that were not given (or are in cooldown already): not an error.
Result<std::vector<Ipv4>> release(Block& block, const std::vector<Release>& requests, Time now);

std::vector<Ipv4> addresses_of(const Block& block, const std::string& handle);

// Frees what was released longer ago than `cooldown`; with no cooldown, at once.
void collect_garbage(Block& block, Time now, std::chrono::seconds cooldown);

// CNI handles may carry a suffix after '\r'; it is not part of the comparison.
bool same_handle(std::string_view a, std::string_view b);

} // namespace margay::ipam
