// SPDX-License-Identifier: Apache-2.0
// margayctl bgp against a real margayd with one peer.
#include "integration/explain/cluster.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace margay::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct MargayctlTest : PairTest {
    std::string n1(const std::string& arguments) const { return pair->n1->ctl(arguments).output; }
    boost::json::array routes(const std::string& arguments) const
    {
        return boost::json::parse(n1("bgp routes -o json " + arguments)).at("routes").as_array();
    }
};

TEST_F(MargayctlTest, received_route_shows_its_attributes_and_why_it_is_best)
{
    const auto rows = routes("--received-from Mesh_10_77_0_2");
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].at("peer"), "Mesh_10_77_0_2");
    EXPECT_EQ(rows[0].at("from"), "10.77.0.2");
    EXPECT_EQ(rows[0].at("next_hop"), "10.77.0.2");
    EXPECT_EQ(rows[0].at("state"), "best");
    EXPECT_EQ(rows[0].at("why"), "best");
    EXPECT_THAT(n1("bgp routes --received-from 10.77.0.2 --attributes"),
                AllOf(HasSubstr("Next hop"), HasSubstr("10.77.0.2"), HasSubstr("Originator id")));
}

TEST_F(MargayctlTest, advertised_routes_say_what_is_told_and_why_not)
{
    const auto rows = routes("--advertised-to 10.77.0.2");
    bool told = false;
    bool kept_back = false;
    for (const auto& row : rows) {
        if (row.at("advertised") == true) {
            told = true;
            EXPECT_EQ(row.at("next_hop"), "10.77.0.1"); // as the peer gets it
        } else {
            kept_back = true;
            const bool own = row.at("peer") == "own"; // an address within our block
            EXPECT_EQ(row.at("why"), own ? "rejected by the export filter" : "it told us");
        }
    }
    EXPECT_TRUE(told);
    EXPECT_TRUE(kept_back);
}

TEST_F(MargayctlTest, prefix_picks_exact_longer_and_shorter)
{
    EXPECT_EQ(routes("10.244.0.0/16").size(), 0u);
    const std::size_t all = routes("").size();
    EXPECT_GE(all, 2u);
    EXPECT_EQ(routes("10.244.0.0/16 --longer").size(), all);
    const std::string block(routes("--received-from 10.77.0.2")[0].at("prefix").as_string());
    EXPECT_EQ(routes(block).size(), 1u);
    const std::string address = block.substr(0, block.find('/'));
    EXPECT_EQ(routes(address).size(), 0u);
    EXPECT_EQ(routes(address + " --shorter").size(), 1u);
}

TEST_F(MargayctlTest, wrong_arguments_are_named_with_the_remedy)
{
    const CommandResult unknown = pair->n1->ctl("bgp routes --received-from Mesh_10_9_9_9");
    EXPECT_EQ(unknown.status, 1);
    EXPECT_THAT(unknown.output, AllOf(HasSubstr("'Mesh_10_9_9_9'"), HasSubstr("Mesh_10_77_0_2")));
    const CommandResult prefix = pair->n1->ctl("bgp routes 10.244.0.0/99");
    EXPECT_EQ(prefix.status, 1);
    EXPECT_THAT(prefix.output, HasSubstr("'10.244.0.0/99' is no prefix"));
    EXPECT_EQ(pair->n1->ctl("bgp routes --received-from a --advertised-to b").status, 2);
}

TEST_F(MargayctlTest, one_session_in_detail)
{
    const std::string text = n1("bgp peers 10.77.0.2");
    EXPECT_THAT(text, AllOf(HasSubstr("Mesh_10_77_0_2"), HasSubstr("IPv4 unicast"),
                            HasSubstr("graceful restart"), HasSubstr("KEEPALIVE")));
    EXPECT_THAT(n1("bgp peers"), AllOf(HasSubstr("Established"), Not(HasSubstr("KEEPALIVE"))));
    EXPECT_THAT(n1("bgp peers --verbose"), HasSubstr("KEEPALIVE"));
}

TEST_F(MargayctlTest, metrics_tell_of_sessions_messages_and_the_table)
{
    const std::string text = pair->n1->metrics();
    EXPECT_THAT(text, AllOf(HasSubstr("margay_bgp_peer_up{peer=\"Mesh_10_77_0_2\"} 1"),
                            HasSubstr("margay_bgp_peer_state{peer=\"Mesh_10_77_0_2\"} 6"),
                            HasSubstr("margay_bgp_peer_prefixes{peer=\"Mesh_10_77_0_2\"} 1")));
    EXPECT_THAT(text,
                AllOf(HasSubstr("margay_bgp_routes{family=\"ipv4\"} 1"),
                      HasSubstr("margay_bgp_paths{family=\"ipv4\"} 1"),
                      HasSubstr("margay_bgp_messages_total{direction=\"sent\",type=\"open\"}"),
                      HasSubstr("margay_bgp_refused_connections_total 0")));
}

TEST_F(MargayctlTest, dump_is_read_by_bgpdump)
{
    const std::string file = pair->folder + "/rib.mrt";
    const CommandResult dumped = pair->n1->ctl("bgp dump " + file);
    ASSERT_TRUE(dumped) << dumped.output;
    const CommandResult read = run_command("bgpdump -m " + file);
    ASSERT_TRUE(read) << read.output;
    const std::string block(routes("--received-from 10.77.0.2")[0].at("prefix").as_string());
    // TABLE_DUMP2|time|B|peer|AS|prefix|path|origin|next hop|local pref|...
    EXPECT_THAT(read.output, HasSubstr("|B|10.77.0.2|64512|" + block + "||IGP|10.77.0.2|"));
    EXPECT_THAT(read.output, HasSubstr("|B|10.77.0.1|64512|")); // our own
    EXPECT_EQ(pair->n1->ctl("bgp dump /nowhere/rib.mrt").status, 1);
}

TEST_F(MargayctlTest, monitor_tells_of_the_session_and_the_route_that_go_and_come)
{
    const Background monitor(nullptr,
                             MARGAYCTL " --run-dir " + pair->folder + "/n1/run bgp monitor");
    const auto says = [&monitor](const std::string& text, std::chrono::seconds limit) {
        return eventually([&] { return monitor.output().find(text) != std::string::npos; }, limit);
    };
    const auto is_up = [this] { return n1("bgp peers").find("Established") != std::string::npos; };
    // When the monitor begins to listen is not known: the session goes and comes until it says so.
    bool heard = false;
    for (int times = 0; times < 10 && !heard; ++times) {
        EXPECT_TRUE(eventually(is_up));
        pair->n2->stop();
        heard = says("Mesh_10_77_0_2 ", std::chrono::seconds(5));
        pair->n2->start();
    }
    EXPECT_TRUE(heard) << monitor.output();
    EXPECT_TRUE(says("Mesh_10_77_0_2 Established", std::chrono::seconds(60))) << monitor.output();
}

TEST_F(MargayctlTest, session_that_is_down_advertises_nothing_and_says_so)
{
    pair->n2->stop();
    EXPECT_TRUE(eventually([this] {
        return n1("bgp routes --advertised-to 10.77.0.2").find("the session is down") !=
               std::string::npos;
    }));
    pair->n2->start();
}

} // namespace
} // namespace margay::testing
