// SPDX-License-Identifier: Apache-2.0
// Tables to announce, made before the clock starts: prefixes, their UPDATEs in the order in which
// they are sent, and what a receiver must see of each.
//
// Prefixes of one length are neighbours, so that a prefix is found by arithmetic and a receiver
// keeps one bit for each: a receiver must not become what is measured.

#pragma once

#include "bench/bgp/wire.h"

#include <array>
#include <string>
#include <vector>

namespace margay::bgp_bench {

// Numbers the prefixes of a table, first by length, then by address.
class PrefixIndex {
public:
    static constexpr std::size_t kNone = ~std::size_t{0};

    // The next `count` prefixes of this length, from `first` on. Each length once.
    void add(unsigned length, Ipv4 first, std::size_t count);

    std::size_t size() const { return size_; }
    Prefix4 at(std::size_t index) const;
    std::size_t find(std::uint32_t address, unsigned length) const
    {
        const Run& run = runs_[length];
        const std::uint64_t offset = std::uint64_t{address - run.first} >> (32 - length);
        return address >= run.first && offset < run.count ? run.base + offset : kNone;
    }

private:
    struct Run {
        std::uint32_t first = 0;
        std::size_t count = 0;
        std::size_t base = 0;
    };

    std::array<Run, 33> runs_{}; // by length; length 0 stays empty
    std::size_t size_ = 0;
};

// By what a receiver knows that a prefix came with the attributes it was announced with.
enum class Mark {
    OriginAs, // each attribute set has an origin of its own
    NextHop,  // each announcer has an address of its own, and all is reflected
};

struct Table {
    PrefixIndex index;
    Mark mark = Mark::OriginAs;
    std::vector<std::uint32_t> marks; // by index
    std::vector<std::uint8_t> hops;   // by index: AS numbers in the path as announced
    std::size_t sets = 0;             // attribute sets
};

constexpr std::size_t kMostPrefixes = 2000000; // of one length, they stay clear of 127/8

// Attributes are random but the same in every run.
struct Announced {
    Table table;
    Bytes announcements;
    Bytes withdrawals; // of everything
};

enum class Mix {
    Few,      // at most 1,000 attribute sets, all prefixes /24
    Internet, // lengths, paths and sharing of sets as in the internet's table
};

Announced make_table(Mix mix, std::size_t prefixes, std::uint32_t as, Ipv4 next_hop);

// Small announcers, each with a few routes of its own: announcer i has prefixes i*each to
// (i+1)*each-1 of the common table. All are /26, as Calico's blocks.
struct Announcer {
    Ipv4 address;
    std::uint32_t as = 0;
    bool internal = false;
};
struct ManyAnnounced {
    Table table;
    std::vector<Bytes> announcements; // by announcer
};
ManyAnnounced make_blocks(const std::vector<Announcer>& announcers, std::size_t each);

// A node of a full mesh, where it and each of its peers have `each` blocks, and a table of the outside's.
struct MeshAnnounced {
    std::vector<Prefix4> own; // the node's
    std::vector<Bytes> announcements; // by peer
    Announced outside;
    Table at_peer; // the outside's and the node's: peers tell each other by themselves
    Table at_outside; // all
};
MeshAnnounced make_mesh(const std::vector<Announcer>& peers, std::uint32_t node_as,
                        std::size_t each, Announced outside);

} // namespace margay::bgp_bench
