// SPDX-License-Identifier: Apache-2.0
// What a session can be asked for beyond RFC 4271: TCP MD5, IPv6, ADD-PATH, extended messages.

#include "interop.h"

#include "margay/log.h"

#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <map>

namespace margay::bgp::lab {
namespace {

using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

const std::string kOurs6 = "fd01::/64", kTheirs6 = "fd02::/64";
constexpr Asn kThirdAs{64600}, kFourthAs{64601};
constexpr int kFourth = 4;

Prefix6 net6(const std::string& text)
{
    return Prefix6::parse(text).value();
}

// A speaker of ours and the way of each prefix of either family.
class DualNode {
public:
    explicit DualNode(Executor& executor)
    {
        SpeakerConfig config;
        config.local_as = kOurAs;
        config.router_id = lab_address(kUs).v4();
        config.listen_port = 0;
        config.address4 = lab_address(kUs).v4();
        config.address6 = lab_address6(kUs).v6();
        Callbacks callbacks;
        const auto note = [this](const auto& changes) {
            for (const auto& change : changes)
                ways_[change.prefix.str()] =
                    change.best.empty() ? "" : change.best.front().gateway.str();
        };
        callbacks.on_routes = note;
        callbacks.on_routes6 = note;
        auto log = std::make_shared<spdlog::logger>(
            "bgp", std::make_shared<spdlog::sinks::null_sink_st>());
        speaker_ = std::make_unique<Speaker>(executor, log, config, std::move(callbacks));
    }
    Speaker& speaker() { return *speaker_; }
    std::string way(const std::string& prefix) const
    {
        const auto found = ways_.find(prefix);
        return found == ways_.end() ? "" : found->second;
    }
    PeerStatus peer() const { return speaker_->peers().front(); }

private:
    std::map<std::string, std::string> ways_;
    std::unique_ptr<Speaker> speaker_;
};

struct FeaturesTest : Interop {
    // The session's ends, both with addresses of the same family.
    static Neighbor us6()
    {
        Neighbor neighbor = us();
        neighbor.address = lab_address6(kUs);
        return neighbor;
    }
    static PeerConfig peer6()
    {
        PeerConfig config = peer();
        config.address = lab_address6(kDaemon);
        config.source = lab_address6(kUs);
        return config;
    }
    std::vector<LearnedPath> paths(const std::string& prefix, const Ip& from = lab_address(kUs))
    {
        return daemon->learned(prefix, from);
    }
    bool logs(const char* text) { return daemon->log().find(text) != std::string::npos; }
    // Everything of `theirs` reaches us, everything of ours reaches the daemon, and is taken back.
    void both_ways(DualNode& node, const Ip& ours, const std::vector<std::string>& theirs)
    {
        node.speaker().announce(net(kOurs));
        node.speaker().announce(net6(kOurs6));
        node.speaker().announcements_complete();
        for (const std::string& prefix : theirs) {
            const std::string& own = is_v6(prefix) ? kOurs6 : kOurs;
            EXPECT_TRUE(until([&] { return !node.way(prefix).empty(); }))
                << prefix << ": " << node.peer().why_down;
            EXPECT_TRUE(until_told([&] { return !paths(own, ours).empty(); })) << own;
        }
        node.speaker().withdraw(net(kOurs));
        node.speaker().withdraw(net6(kOurs6));
        for (const std::string& prefix : theirs) {
            const std::string& own = is_v6(prefix) ? kOurs6 : kOurs;
            EXPECT_TRUE(until_told([&] { return paths(own, ours).empty(); })) << own;
            daemon->withdraw(prefix);
            EXPECT_TRUE(until([&] { return node.way(prefix).empty(); })) << prefix;
        }
        EXPECT_EQ(node.peer().established_count, 1u);
        EXPECT_EQ(node.peer().update_faults, 0u);
    }
};

INSTANTIATE_TEST_SUITE_P(With, FeaturesTest, ::testing::ValuesIn(daemon_kinds()), kind_name);

// ---- TCP MD5 (RFC 2385) ----

TEST_P(FeaturesTest, password_of_both_ends_makes_the_session)
{
    row("TCP MD5 (RFC 2385)");
    Neighbor neighbor = us();
    neighbor.password = "correct-horse";
    ASSERT_TRUE(daemon->start(with(kOurAs, neighbor, {{kTheirs, {}, {}, {}}})));
    Node node(executor, kUs, kPort);
    PeerConfig wrong = peer(), right = peer();
    wrong.password = "battery-staple";
    right.password = "correct-horse";
    node.speaker().announce(net(kOurs));
    node.speaker().set_peers({wrong});
    EXPECT_FALSE(until([&] { return node.up(); }, 1s)) << "with another password";
    node.speaker().set_peers({right});
    EXPECT_TRUE(until([&] { return node.way(kTheirs) == "10.99.0.2"; })) << node.peer().why_down;
    EXPECT_TRUE(learns(kOurs));
}

// ---- IPv6 (RFC 4760, 8950) ----

TEST_P(FeaturesTest, ipv6_routes_go_both_ways_over_ipv6)
{
    row("IPv6 routes over an IPv6 session, both ways");
    Neighbor neighbor = us6();
    neighbor.families = {kIpv6Unicast};
    ASSERT_TRUE(daemon->start(with(kOurAs, neighbor, {{kTheirs6, {"64512:5"}, {}, {}}})));
    DualNode node(executor);
    PeerConfig config = peer6();
    config.families = {kIpv6Unicast};
    node.speaker().set_peers({config});
    ASSERT_TRUE(until([&] { return node.way(kTheirs6) == "fd99::2"; })) << node.peer().why_down;
    both_ways(node, lab_address6(kUs), {kTheirs6});
}

TEST_P(FeaturesTest, ipv6_next_hop_is_our_address_on_the_session)
{
    row("IPv6 next hop of our own routes");
    Neighbor neighbor = us6();
    neighbor.families = {kIpv6Unicast};
    ASSERT_TRUE(daemon->start(with(kTheirAs, neighbor)));
    DualNode node(executor);
    PeerConfig config = peer6();
    config.remote_as = kTheirAs;
    config.families = {kIpv6Unicast};
    node.speaker().announce(net6(kOurs6));
    node.speaker().set_peers({config});
    ASSERT_TRUE(until_told([&] { return !paths(kOurs6, lab_address6(kUs)).empty(); }))
        << node.peer().why_down;
    const LearnedPath ours = paths(kOurs6, lab_address6(kUs)).front();
    EXPECT_EQ(ours.next_hop, "fd99::1");
    EXPECT_EQ(ours.as_path, "64512");
}

TEST_P(FeaturesTest, two_families_share_an_ipv4_session)
{
    row("IPv4 and IPv6 routes over an IPv4 session, both ways");
    Neighbor neighbor = us();
    neighbor.families = {kIpv4Unicast, kIpv6Unicast};
    if (!can_start(with(kOurAs, neighbor, {{kTheirs, {}, {}, {}}, {kTheirs6, {}, {}, {}}})))
        return;
    DualNode node(executor);
    PeerConfig config = peer();
    config.families = {kIpv4Unicast, kIpv6Unicast};
    node.speaker().set_peers({config});
    // FRR 10 asks zebra for its own IPv6 address, and bgpd is alone here.
    const auto refused = [&] { return logs("zebra does not support"); };
    EXPECT_TRUE(until([&] { return !node.way(kTheirs6).empty() || refused(); }))
        << node.peer().why_down;
    if (refused())
        return not_applicable(between(daemon->log(), "No local IPv6 address", "\n"));
    both_ways(node, lab_address(kUs), {kTheirs, kTheirs6});
}

TEST_P(FeaturesTest, ipv4_routes_have_ipv6_next_hops)
{
    row("IPv4 routes over an IPv6 session (RFC 8950), both ways");
    Neighbor neighbor = us6();
    neighbor.families = {kIpv4Unicast, kIpv6Unicast};
    neighbor.extended_next_hop = true;
    if (!can_start(with(kOurAs, neighbor, {{kTheirs, {}, {}, {}}, {kTheirs6, {}, {}, {}}})))
        return;
    DualNode node(executor);
    PeerConfig config = peer6();
    config.families = {kIpv4Unicast, kIpv6Unicast};
    node.speaker().announce(net(kOurs));
    node.speaker().set_peers({config});
    ASSERT_TRUE(until([&] { return node.way(kTheirs) == "fd99::2"; })) << node.peer().why_down;
    ASSERT_TRUE(until_told([&] { return !paths(kOurs, lab_address6(kUs)).empty(); }));
    EXPECT_THAT(paths(kOurs, lab_address6(kUs)).front().next_hop, StartsWith("fd99::1"));
    both_ways(node, lab_address6(kUs), {kTheirs, kTheirs6});
}

// ---- ADD-PATH (RFC 7911) ----

// Two external speakers of ours, each with a path to one prefix.
struct TwoOrigins {
    Node third, fourth;

    TwoOrigins(Executor& executor, int told, Asn told_as)
        : third(executor, kThird, kPort, false, kThirdAs),
          fourth(executor, kFourth, kPort, false, kFourthAs)
    {
        for (const auto& [node, host] : {std::pair{&third, kThird}, std::pair{&fourth, kFourth}}) {
            PeerConfig config = peer_config(host, told, kPort);
            config.remote_as = told_as;
            node->speaker().set_peers({config});
            node->speaker().announce(net("10.5.0.0/26"));
            node->speaker().announcements_complete();
        }
    }
};

TEST_P(FeaturesTest, all_paths_of_theirs_come_to_us)
{
    row("ADD-PATH (RFC 7911), to us");
    Neighbor first = us(), third = us(kThirdAs), fourth = us(kFourthAs);
    first.add_path = true;
    third.address = lab_address(kThird);
    fourth.address = lab_address(kFourth);
    if (!can_start({kDaemon, kOurAs, {first, third, fourth}, {}}))
        return;
    TwoOrigins origins(executor, kDaemon, kOurAs);
    Node node(executor, kUs, kPort);
    node.speaker().set_peers({peer()});
    const auto ways = [&] {
        std::vector<std::string> found;
        for (const RouteView& view : node.speaker().routes())
            if (view.prefix == net("10.5.0.0/26") && view.attributes)
                found.push_back(view.attributes->as_path.str());
        return found;
    };
    EXPECT_TRUE(until([&] { return ways().size() == 2; })) << node.peer().why_down;
    EXPECT_THAT(ways(), UnorderedElementsAre("64600", "64601"));
    origins.third.speaker().withdraw(net("10.5.0.0/26"));
    EXPECT_TRUE(until([&] { return ways() == std::vector<std::string>{"64601"}; }));
}

TEST_P(FeaturesTest, all_paths_of_ours_come_to_them)
{
    row("ADD-PATH (RFC 7911), from us");
    Neighbor neighbor = us();
    neighbor.add_path = true;
    if (!can_start(with(kOurAs, neighbor)))
        return;
    Node node(executor, kUs, kPort);
    PeerConfig third = peer(kThirdAs, kThird, "third"), fourth = peer(kFourthAs, kFourth, "fourth");
    node.speaker().set_peers({peer(), third, fourth});
    TwoOrigins origins(executor, kUs, kOurAs);
    const auto ways = [&] {
        std::vector<std::string> found;
        for (const LearnedPath& path : paths("10.5.0.0/26"))
            found.push_back(path.as_path);
        return found;
    };
    EXPECT_TRUE(until_told([&] { return ways().size() == 2; })) << node.peer().why_down;
    EXPECT_THAT(ways(), UnorderedElementsAre("64600", "64601"));
    origins.third.speaker().withdraw(net("10.5.0.0/26"));
    EXPECT_TRUE(until_told([&] { return ways() == std::vector<std::string>{"64601"}; }));
}

// ---- Extended messages (RFC 8654) ----

// 2,000 communities make an UPDATE of 8,000 octets. The daemon gets it from us and passes it on.
TEST_P(FeaturesTest, long_message_goes_through_them)
{
    row("extended messages (RFC 8654), both ways");
    constexpr std::size_t kCount = 2000;
    Neighbor first = us(), third = us();
    third.address = lab_address(kThird);
    first.client = third.client = first.extended_messages = third.extended_messages = true;
    if (!can_start({kDaemon, kOurAs, {first, third}, {}}))
        return;
    Node node(executor, kUs, kPort), other(executor, kThird, kPort);
    Announcement announcement;
    for (std::uint32_t i = 0; i < kCount; ++i)
        announcement.communities.push_back(64512u << 16 | i);
    node.speaker().announce(net(kOurs), announcement);
    node.speaker().set_peers({peer()});
    other.speaker().set_peers({peer(kOurAs, kDaemon, "peer", kThird)});
    ASSERT_TRUE(until([&] { return node.up(); })) << node.peer().why_down;
    if (!node.peer().extended_messages)
        return not_applicable(daemon->offers(lab_address(kUs)));
    ASSERT_TRUE(until([&] { return !other.way(kOurs).empty(); }))
        << node.peer().why_down << other.peer().why_down << daemon->offers(lab_address(kUs));
    EXPECT_EQ(route(other, kOurs)->communities.size(), kCount);
}

} // namespace
} // namespace margay::bgp::lab
