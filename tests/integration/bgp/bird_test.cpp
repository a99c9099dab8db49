// SPDX-License-Identifier: Apache-2.0
// The speaker against BIRD 2, in a namespace of their own. BIRD is 10.99.0.2, we are 10.99.0.1.

#include "support/bgp/lab_test.h"

#include <gmock/gmock.h>

#include <csignal>
#include <fstream>

namespace margay::bgp::lab {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::uint16_t kOurPort = 1790, kBirdPort = 1791;
const std::string kSession = "Mesh_10_99_0_1";

struct BirdOptions {
    std::string session = "hold time 90; graceful restart on; graceful restart time 20;";
    std::string as = "64512";
    std::string neighbor_as = "64512";
    std::vector<std::string> routes{"10.2.0.0/26"};
};

std::string bird_config(const BirdOptions& options)
{
    std::string text = "router id 10.99.0.2;\n"
                       "graceful restart wait 5;\n"
                       "protocol device {}\n"
                       "protocol static blocks {\n  ipv4;\n";
    for (const std::string& route : options.routes)
        text += "  route " + route + " blackhole;\n";
    text += "}\n"
            "protocol bgp " +
            kSession +
            " {\n"
            "  local 10.99.0.2 port " +
            std::to_string(kBirdPort) + " as " + options.as +
            ";\n"
            "  neighbor 10.99.0.1 port " +
            std::to_string(kOurPort) + " as " + options.neighbor_as +
            ";\n"
            "  multihop;\n"
            "  connect delay time 1; connect retry time 1; error wait time 1, 2;\n"
            "  " +
            options.session +
            "\n"
            "  ipv4 { import all; export where source = RTS_STATIC; };\n"
            "}\n";
    return text;
}

struct BirdTest : LabTest {
    static PeerConfig bird_peer() { return peer_config(1, 2, kBirdPort); }
};

TEST_F(BirdTest, routes_go_both_ways_with_calicos_preference_and_are_withdrawn_both_ways)
{
    Bird bird(bird_config({}));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().announce(net("10.1.0.0/26"));
    node.speaker().announcements_complete();
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return node.way("10.2.0.0/26") == "10.99.0.2"; }))
        << node.peer().why_down;
    EXPECT_EQ(node.speaker().routes().size(), 2u);
    EXPECT_TRUE(until([&] { return node.peer().end_of_rib_received; }));
    EXPECT_TRUE(until([&] { return node.synced(); }));
    EXPECT_TRUE(node.peer().graceful_restart);
    EXPECT_EQ(node.peer().hold_time, Seconds(90));

    ASSERT_TRUE(until([&] { return bird.shows("show route 10.1.0.0/26", kSession); }));
    const std::string shown = bird.ask("show route 10.1.0.0/26 all");
    EXPECT_THAT(shown, HasSubstr("BGP.local_pref: 2147482623"));
    EXPECT_THAT(shown, HasSubstr("BGP.next_hop: 10.99.0.1"));
    EXPECT_THAT(shown, HasSubstr("BGP.origin: IGP"));

    node.speaker().withdraw(net("10.1.0.0/26"));
    EXPECT_TRUE(until([&] { return !bird.shows("show route", "10.1.0.0/26"); }));
    bird.ask("disable blocks");
    EXPECT_TRUE(until([&] { return node.way("10.2.0.0/26").empty(); }));
    EXPECT_TRUE(node.up());
}

TEST_F(BirdTest, passive_side_waits_and_is_found_whichever_side_it_is)
{
    for (const bool ours : {true, false}) {
        BirdOptions options;
        options.session += ours ? "" : " passive;";
        Bird bird(bird_config(options));
        bird.start();
        Node node(executor, 1, kOurPort);
        PeerConfig peer = bird_peer();
        peer.passive = ours;
        node.speaker().set_peers({peer});
        EXPECT_TRUE(until([&] { return node.way("10.2.0.0/26") == "10.99.0.2"; })) << ours;
    }
}

TEST_F(BirdTest, external_session_carries_wide_as_numbers)
{
    BirdOptions options;
    options.as = "4200000002";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    PeerConfig peer = bird_peer();
    peer.remote_as = Asn{4200000002};
    node.speaker().announce(net("10.1.0.0/26"), Announcement{1, 77, {64512u << 16 | 5}});
    node.speaker().set_peers({peer});
    ASSERT_TRUE(until([&] { return node.way("10.2.0.0/26") == "10.99.0.2"; }));
    EXPECT_EQ(node.speaker().routes()[1].attributes->as_path.str(), "4200000002");
    ASSERT_TRUE(until([&] { return bird.shows("show route", "10.1.0.0/26"); }));
    const std::string shown = bird.ask("show route 10.1.0.0/26 all");
    EXPECT_THAT(shown, HasSubstr("BGP.as_path: 64512"));
    EXPECT_THAT(shown, HasSubstr("BGP.med: 77"));
    EXPECT_THAT(shown, HasSubstr("BGP.community: (64512,5)"));
}

TEST_F(BirdTest, two_octet_session_carries_wide_numbers_in_as4_path)
{
    BirdOptions options;
    options.session = "enable as4 off; hold time 90;";
    options.as = "65002";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort), wide(executor, 3, kOurPort, false, Asn{4200000003});
    PeerConfig to_bird = bird_peer(), to_wide = peer_config(1, 3, kOurPort, "wide");
    to_bird.remote_as = Asn{65002};
    to_wide.remote_as = Asn{4200000003};
    node.speaker().set_peers({to_bird, to_wide});
    wide.speaker().set_peers({peer_config(3, 1, kOurPort)});
    wide.speaker().announce(net("10.3.0.0/26"));
    ASSERT_TRUE(until([&] { return node.way("10.2.0.0/26") == "10.99.0.2"; }))
        << node.peer().why_down;
    ASSERT_TRUE(until([&] { return bird.shows("show route 10.3.0.0/26", kSession); }));
    EXPECT_THAT(bird.ask("show route 10.3.0.0/26 all"), HasSubstr("BGP.as_path: 64512 4200000003"));
}

TEST_F(BirdTest, killed_bird_keeps_its_routes_until_its_restart_time_is_over)
{
    BirdOptions options;
    options.session = "hold time 90; graceful restart on; graceful restart time 3;";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return !node.way("10.2.0.0/26").empty(); }));
    bird.process().kill();
    ASSERT_TRUE(until([&] { return !node.up(); }));
    EXPECT_TRUE(node.peer().routes_are_stale);
    run_for(executor, 1s);
    EXPECT_EQ(node.way("10.2.0.0/26"), "10.99.0.2");
    EXPECT_TRUE(until([&] { return node.way("10.2.0.0/26").empty(); }));
}

TEST_F(BirdTest, restarted_bird_loses_only_what_it_does_not_announce_again)
{
    BirdOptions options;
    options.routes = {"10.2.0.0/26", "10.2.1.0/26"};
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().set_peers({bird_peer()});
    node.speaker().announcements_complete();
    ASSERT_TRUE(until(
        [&] { return !node.way("10.2.0.0/26").empty() && !node.way("10.2.1.0/26").empty(); }));
    bird.process().kill();
    ASSERT_TRUE(until([&] { return !node.up(); }));
    options.routes = {"10.2.0.0/26"};
    bird.configure(bird_config(options));
    bird.start(true);
    EXPECT_TRUE(until([&] { return node.up() && node.way("10.2.1.0/26").empty(); }));
    EXPECT_EQ(node.way("10.2.0.0/26"), "10.99.0.2");
    EXPECT_EQ(node.losses("10.2.0.0/26"), 0) << "the route was lost for a moment";
    EXPECT_FALSE(node.peer().routes_are_stale);
}

TEST_F(BirdTest, notification_withdraws_at_once_in_spite_of_graceful_restart)
{
    Bird bird(bird_config({}));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return !node.way("10.2.0.0/26").empty(); }));
    bird.ask("disable " + kSession + " \"for a test\"");
    ASSERT_TRUE(until([&] { return !node.up(); }));
    EXPECT_FALSE(node.peer().routes_are_stale);
    EXPECT_TRUE(until([&] { return node.way("10.2.0.0/26").empty(); }));
    EXPECT_THAT(node.peer().last_notification_received,
                HasSubstr("Administrative Shutdown (6/2): \"for a test\""));
}

TEST_F(BirdTest, silent_bird_runs_into_the_hold_time_and_is_withdrawn_at_once)
{
    BirdOptions options;
    options.session = "hold time 3; graceful restart on; graceful restart time 60;";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return !node.way("10.2.0.0/26").empty(); }));
    EXPECT_EQ(node.peer().hold_time, Seconds(3));
    bird.process().signal(SIGSTOP);
    ASSERT_TRUE(until([&] { return !node.up(); }));
    EXPECT_FALSE(node.peer().routes_are_stale);
    EXPECT_TRUE(until([&] { return node.way("10.2.0.0/26").empty(); }));
    EXPECT_EQ(node.peer().last_notification_sent, "Hold Timer Expired (4/0)");
    bird.process().signal(SIGCONT);
    EXPECT_TRUE(until([&] { return !node.way("10.2.0.0/26").empty(); })) << "it comes back";
}

TEST_F(BirdTest, keepalives_hold_a_three_second_session)
{
    BirdOptions options;
    options.session = "hold time 3;";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return node.up(); }));
    const auto heard = node.peer().received.keepalive;
    EXPECT_TRUE(until([&] { return node.peer().received.keepalive >= heard + 6; }));
    EXPECT_EQ(node.peer().established_count, 1u);
}

TEST_F(BirdTest, wrong_as_is_explained_on_both_sides)
{
    BirdOptions options;
    options.neighbor_as = "65000";
    Bird bird(bird_config(options));
    bird.start();
    Node node(executor, 1, kOurPort);
    PeerConfig peer = bird_peer();
    peer.remote_as = Asn{65009};
    node.speaker().set_peers({peer});
    EXPECT_TRUE(until([&] {
        return node.peer().why_down.find("wrong AS: the peer says 64512, configured is 65009") !=
               std::string::npos;
    })) << node.peer().why_down;
    EXPECT_TRUE(until([&] { return bird.shows("show protocols", "Bad peer AS"); }));
}

TEST_F(BirdTest, route_refresh_brings_everything_again)
{
    Bird bird(bird_config({}));
    bird.start();
    Node node(executor, 1, kOurPort);
    node.speaker().announce(net("10.1.0.0/26"));
    node.speaker().set_peers({bird_peer()});
    ASSERT_TRUE(until([&] { return bird.shows("show route", "10.1.0.0/26"); }));
    const auto before = node.peer().sent.update;
    bird.ask("reload in " + kSession);
    EXPECT_TRUE(until([&] { return node.peer().received.route_refresh == 1; }));
    EXPECT_TRUE(until([&] { return node.peer().sent.update == before + 1; }));
    EXPECT_TRUE(node.up());
}

// The speaker as a process of its own, which can be killed as margayd can.
class Killable {
public:
    explicit Killable(std::vector<std::string> options)
    {
        std::vector<std::string> command{MARGAY_BGP_SPEAKER,
                                         "--as",
                                         "64512",
                                         "--id",
                                         "10.99.0.1",
                                         "--listen",
                                         "10.99.0.1:1790",
                                         "--peer",
                                         "name=bird,address=10.99.0.2,port=1791,as=64512,"
                                         "source=10.99.0.1,retry=200"};
        command.insert(command.end(), options.begin(), options.end());
        process_ = std::make_unique<Process>(command, "/dev/stderr");
    }
    void kill() { process_->kill(); }
    void terminate() { process_->signal(SIGTERM); }

private:
    std::unique_ptr<Process> process_;
};

TEST_F(BirdTest, killed_speaker_comes_back_and_bird_never_loses_the_route_it_announces_again)
{
    BirdOptions options;
    options.session += " passive;";
    Bird bird(bird_config(options));
    bird.start();
    auto ours = std::make_unique<Killable>(
        std::vector<std::string>{"--announce", "10.1.0.0/26", "--announce", "10.1.1.0/26"});
    ASSERT_TRUE(until([&] { return bird.shows("show route", "10.1.1.0/26"); }));

    ours->kill();
    ASSERT_TRUE(until([&] { return !bird.shows("show protocols", "Established"); }));
    ours = std::make_unique<Killable>(
        std::vector<std::string>{"--restarting", "--announce", "10.1.0.0/26"});
    bool lost = false;
    EXPECT_TRUE(until([&] {
        const std::string routes = bird.ask("show route");
        lost |= routes.find("10.1.0.0/26") == std::string::npos;
        return routes.find("10.1.1.0/26") == std::string::npos;
    }));
    EXPECT_FALSE(lost);
    EXPECT_TRUE(bird.shows("show protocols", "Established"));

    ours->terminate();
    EXPECT_TRUE(until([&] { return !bird.shows("show route", "10.1.0.0/26"); }));
}

} // namespace
} // namespace margay::bgp::lab
