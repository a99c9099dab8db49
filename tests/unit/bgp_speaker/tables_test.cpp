// SPDX-License-Identifier: Apache-2.0
// What a turn costs where there are many peers: how many it tells.
#include "bgp/speaker/tables.h"
#include "support/bgp/codec.h"
#include "support/bgp/peers.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>

namespace margay::bgp {
namespace {

using ::testing::Each;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr std::size_t kAGroup = 256; // peers with equal views, at the most

struct TablesOfManyPeers : ::testing::Test {
    Tables<Prefix4> tables{{kOwnAs, Ipv4(99), Ipv4(99)},
                           nullptr,
                           [](const PeerConfig&, const ExportView&, const Prefix4&,
                              const Path& path) { return path.accepted; }};
    std::map<PeerId, std::size_t> told; // messages

    // `policy` makes the views differ.
    void join(std::size_t peers, const std::string& policy = "")
    {
        ExportView view = internal_view();
        view.policy = policy;
        for (std::size_t i = 0; i < peers; ++i) {
            const PeerId peer = add_peer(tables.rib());
            tables.rib().peer_up(peer, internal_peer(peer, kOwnAddress));
            tables.join(peer, view, {});
        }
    }
    void announce(std::uint32_t number)
    {
        Attributes attributes;
        attributes.local_pref = 100;
        tables.rib().announce(Prefix4{Ipv4(0x0a000000 + (number << 8)), 24},
                              test_pool().intern(attributes));
        tables.rib().work(1000);
        tables.forget_changed();
    }
    bool fill()
    {
        return tables.fill([](PeerId) { return true; },
                           [this](PeerId peer, std::span<const ByteView>, std::size_t messages) {
                               told[peer] += messages;
                           },
                           1000);
    }
    // The number of turns; none tells more than `most` peers.
    std::size_t settle(std::size_t most)
    {
        for (std::size_t turns = 1;; ++turns) {
            const std::size_t before = told.size();
            const bool more = fill();
            EXPECT_LE(told.size() - before, most);
            if (!more || turns > 1000)
                return turns;
        }
    }
};

TEST_F(TablesOfManyPeers, change_reaches_a_thousand_peers_once_and_not_in_one_turn)
{
    join(1000);
    settle(kAGroup);
    announce(1);
    EXPECT_GE(settle(kAGroup), 4u);
    EXPECT_THAT(told, SizeIs(1000));
    EXPECT_THAT(told, Each(Pair(::testing::_, 1u)));
}

TEST_F(TablesOfManyPeers, peers_that_all_differ_are_not_told_in_one_turn_either)
{
    for (int i = 0; i < 300; ++i)
        join(1, std::to_string(i));
    announce(1);
    settle(100);
    EXPECT_THAT(told, SizeIs(300));
    EXPECT_THAT(told, Each(Pair(::testing::_, 1u)));
}

TEST_F(TablesOfManyPeers, places_of_peers_that_left_are_taken_again)
{
    join(1000);
    for (PeerId peer = 1; peer <= 1000; ++peer)
        if (peer % 2 == 0)
            tables.leave(peer);
    join(500);
    settle(kAGroup);
    announce(1);
    EXPECT_LE(settle(kAGroup), 5u);
    EXPECT_THAT(told, SizeIs(1000));
}

// What people ask for between two decisions.
TEST_F(TablesOfManyPeers, best_path_that_is_rejected_by_now_is_shown_as_told_to_nobody)
{
    join(2);
    const Prefix4 net{Ipv4(0x0a000100), 24};
    Attributes attributes;
    attributes.next_hop = Ipv4(11);
    tables.rib().learn(1, {net}, test_pool().intern(attributes));
    tables.rib().work(10);
    std::vector<ExportedView> views;
    tables.append_exported(2, internal_view(), {}, {}, 0, kWholeWalk, views);
    EXPECT_THAT(views, SizeIs(1));
    attributes.originator_id = Ipv4(99);
    tables.rib().learn(1, {net}, test_pool().intern(attributes));
    tables.append_exported(2, internal_view(), {}, {}, 0, kWholeWalk, views);
    EXPECT_THAT(views, SizeIs(1)) << "no more of them";
}

} // namespace
} // namespace margay::bgp
