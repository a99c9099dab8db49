// SPDX-License-Identifier: Apache-2.0
// `calicoctl node status` and the node status reporter against a real margayd.
#include "integration/explain/cluster.h"
#include "support/calicoctl.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <regex>

namespace margay::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

struct CalicoctlTest : PairTest {
    std::string socket() const { return pair->n1->bird_socket(); }
};

TEST_F(CalicoctlTest, sees_an_agent_and_bird_among_the_processes)
{
    const calicoctl::Processes found = calicoctl::processes(pair->n1->pid());
    EXPECT_TRUE(found.agent);
    EXPECT_TRUE(found.bird);
}

TEST_F(CalicoctlTest, reads_the_session_with_its_kind_address_and_state)
{
    const auto peers = calicoctl::peers(socket());
    ASSERT_TRUE(peers) << peers.error().what;
    ASSERT_EQ(peers->size(), 1u);
    const calicoctl::PeerRow& peer = peers->front();
    EXPECT_EQ(peer.type, "Mesh");
    EXPECT_EQ(peer.address, "10.77.0.2");
    EXPECT_EQ(peer.state, "up");
    EXPECT_EQ(peer.bgp_state, "Established");
    EXPECT_EQ(peer.info, "");
    EXPECT_TRUE(std::regex_match(peer.since, std::regex("[0-9]{2}:[0-9]{2}:[0-9]{2}")))
        << peer.since;
}

TEST_F(CalicoctlTest, reporter_reads_state_and_address_of_one_session)
{
    const auto details = calicoctl::peer_details(socket(), "Mesh_10_77_0_2");
    ASSERT_TRUE(details) << details.error().what;
    EXPECT_EQ(details->at("BGP state:"), "Established");
    EXPECT_EQ(details->at("Neighbor address:"), "10.77.0.2");
    EXPECT_FALSE(calicoctl::peer_details(socket(), "Mesh_10_77_0_9"));
}

TEST_F(CalicoctlTest, reporter_reads_the_daemons_status)
{
    const auto status = calicoctl::daemon(socket());
    ASSERT_TRUE(status) << status.error().what;
    EXPECT_TRUE(status->running);
    EXPECT_THAT(status->version, StartsWith("margayd-"));
    EXPECT_EQ(status->router_id, "10.77.0.1");
    const std::regex moment("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}");
    EXPECT_TRUE(std::regex_match(status->booted, moment)) << status->booted;
    EXPECT_TRUE(std::regex_match(status->configured, moment)) << status->configured;
}

TEST_F(CalicoctlTest, reporter_reads_the_route_to_the_other_nodes_block)
{
    const auto rows = calicoctl::routes(socket());
    ASSERT_TRUE(rows) << rows.error().what;
    std::size_t learned = 0;
    for (const calicoctl::RouteRow& row : *rows)
        if (row.protocol == "Mesh_10_77_0_2") {
            ++learned;
            EXPECT_EQ(row.gateway, "10.77.0.2");
            EXPECT_NE(row.device, "");
            EXPECT_THAT(row.destination, StartsWith("10.244."));
        }
    EXPECT_EQ(learned, 1u);
}

TEST_F(CalicoctlTest, unknown_command_is_birds_syntax_error_and_the_connection_goes_on)
{
    const auto lines = calicoctl::ask(socket(), "configure\nshow status\n", {"0013"});
    ASSERT_TRUE(lines) << lines.error().what;
    ASSERT_GE(lines->size(), 3u);
    EXPECT_THAT(lines->at(0), StartsWith("0001 BIRD"));
    EXPECT_THAT(lines->at(1), StartsWith("9001 syntax error"));
    EXPECT_THAT(lines->at(2), StartsWith("1000-BIRD"));
}

TEST_F(CalicoctlTest, socket_is_for_root_alone)
{
    struct stat st{};
    ASSERT_EQ(::stat(socket().c_str(), &st), 0);
    EXPECT_TRUE(S_ISSOCK(st.st_mode));
    EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(CalicoctlTest, lost_session_shows_why)
{
    pair->n2->stop();
    std::vector<calicoctl::PeerRow> rows;
    EXPECT_TRUE(eventually([&] {
        const auto peers = calicoctl::peers(socket());
        rows = peers ? *peers : std::vector<calicoctl::PeerRow>{};
        return rows.size() == 1 && rows[0].state != "up";
    }));
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_NE(rows[0].bgp_state, "Established");
    EXPECT_NE(rows[0].info, "");
    pair->n2->start();
}

TEST_F(CalicoctlTest, peer_of_ipv6_is_bird6s_as_long_as_there_is_one)
{
    const std::string bird6 = std::filesystem::path(socket()).replace_filename("bird6.ctl");
    EXPECT_FALSE(calicoctl::peers(bird6, calicoctl::Family::Ipv6));
    EXPECT_FALSE(calicoctl::processes(pair->n1->pid()).bird6);
    const std::string node_key = "/calico/resources/v3/projectcalico.org/nodes/n1";
    std::string node = pair->etcd->ctl({"get", "--print-value-only", node_key});
    const std::string before = node;
    node.insert(node.find("\"ipv4Address\""), R"("ipv6Address":"fd00::1/64",)");
    pair->etcd->put(node_key, node);
    const std::string key = "/calico/resources/v3/projectcalico.org/bgppeers/six";
    pair->etcd->put(key, R"({"kind":"BGPPeer","apiVersion":"projectcalico.org/v3","metadata":)"
                         R"({"name":"six","uid":"7c3a9d4e-0000-4000-8000-000000000006",)"
                         R"("creationTimestamp":"2026-01-01T00:00:00Z"},)"
                         R"("spec":{"node":"n1","peerIP":"fd00::6","asNumber":64512}})");
    EXPECT_TRUE(eventually([&] {
        const auto peers = calicoctl::peers(bird6, calicoctl::Family::Ipv6);
        return peers && peers->size() == 1 && peers->front().type == "Node" &&
               peers->front().address == "fd00::6" && peers->front().bgp_state != "Established";
    })) << pair->n1->log();
    EXPECT_TRUE(calicoctl::processes(pair->n1->pid()).bird6);
    EXPECT_EQ(calicoctl::peers(socket())->size(), 1u) << "no peer of IPv4";
    pair->etcd->remove(key);
    pair->etcd->put(node_key, before);
    EXPECT_TRUE(eventually([&] {
        return !std::filesystem::exists(bird6) && !calicoctl::processes(pair->n1->pid()).bird6;
    }));
}

TEST_F(CalicoctlTest, killed_process_of_a_name_comes_back)
{
    EXPECT_EQ(::system(("pkill -KILL -P " + std::to_string(pair->n1->pid())).c_str()), 0);
    EXPECT_TRUE(eventually([this] {
        const calicoctl::Processes found = calicoctl::processes(pair->n1->pid());
        return found.agent && found.bird;
    }));
}

TEST_F(CalicoctlTest, kill_of_margayd_ends_its_names_and_the_next_one_takes_the_socket)
{
    // -q: a process that ends meanwhile is no failure of grep.
    const std::string names = "grep -aqsE '^(bird|calico-felix).is.margayd." +
                              std::to_string(pair->n1->pid()) + "' /proc/[0-9]*/cmdline";
    // The one that was killed before this may be about to come back.
    EXPECT_TRUE(eventually([&] { return bool(run_command(names)); }));
    pair->n1->kill();
    EXPECT_TRUE(eventually([&] { return !run_command(names); }));
    EXPECT_FALSE(calicoctl::peers(socket()));
    pair->n1->start();
    EXPECT_TRUE(eventually([this] { return bool(calicoctl::peers(socket())); })) << pair->n1->log();
}

} // namespace
} // namespace margay::testing
