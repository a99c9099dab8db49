// SPDX-License-Identifier: Apache-2.0
// Answers about a speaker with own routes and peers that are down.
#include "agent/explain/bgp_view.h"
#include "unit/explain/speaker.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include <set>

namespace margay::explain {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct ViewTest : ::testing::Test {
    Executor executor;
    bgp::Speaker speaker = quiet_speaker(executor);
    BgpView view{&speaker, ""};

    ViewTest()
    {
        std::vector<bgp::PeerConfig> configs(3);
        for (std::size_t i = 0; i < configs.size(); ++i) {
            configs[i].name = "Mesh_" + std::to_string(i);
            configs[i].address = Ip(Ipv4(0x0a000002));
            configs[i].remote_as = bgp::Asn{64512};
            configs[i].passive = true;
        }
        configs[2].address = Ip(Ipv4(0x0a000003));
        speaker.set_peers(configs);
    }
    void announce(std::uint32_t count)
    {
        for (std::uint32_t i = 0; i < count; ++i)
            speaker.announce(Prefix4{Ipv4(0x0af40000 + i * 64), 26});
        while (executor.poll() > 0)
            executor.restart();
    }
    std::string refusal(const Args& args) const
    {
        const auto answer = view.routes(args);
        return answer ? "" : answer.error().what;
    }
};

TEST_F(ViewTest, portions_give_every_route_once)
{
    announce(2000);
    std::set<std::string> seen;
    Args args;
    int portions = 0;
    do {
        const auto answer = view.routes(args);
        ASSERT_TRUE(answer) << answer.error().what;
        for (const json::value& row : answer->at("routes").as_array())
            EXPECT_TRUE(seen.insert(std::string(row.at("prefix").as_string())).second);
        args["cursor"] =
            answer->at("next").is_null() ? "" : std::string(answer->at("next").as_string());
        ++portions;
    } while (!args["cursor"].empty());
    EXPECT_EQ(seen.size(), 2000u);
    EXPECT_GE(portions, 4);
}

TEST_F(ViewTest, prefix_is_found_exactly_within_and_covering)
{
    announce(4);
    speaker.announce(*Prefix4::parse("10.244.0.0/16"));
    speaker.announce(*Prefix4::parse("0.0.0.0/0"));
    announce(0);
    const auto count = [this](const char* prefix, const char* match) {
        return view.routes({{"prefix", prefix}, {"match", match}})->at("routes").as_array().size();
    };
    EXPECT_EQ(count("10.244.0.0/16", "exact"), 1u);
    EXPECT_EQ(count("10.244.0.0/16", "longer"), 5u);
    EXPECT_EQ(count("10.244.0.64/26", "shorter"), 3u);
    EXPECT_EQ(count("10.244.0.70", "shorter"), 3u);
    EXPECT_EQ(count("fd00::/8", "longer"), 0u);
}

TEST_F(ViewTest, own_route_shows_its_attributes)
{
    speaker.announce(*Prefix4::parse("10.244.0.0/26"),
                     {.local_pref = 7, .med = 3, .communities = {0xfde80064, bgp::kNoExport}});
    announce(0);
    const json::object row = view.routes({})->at("routes").as_array().at(0).as_object();
    EXPECT_EQ(row.at("peer"), "own");
    EXPECT_EQ(row.at("best"), true);
    EXPECT_EQ(row.at("local_pref"), 7);
    EXPECT_EQ(row.at("med"), 3);
    EXPECT_EQ(row.at("communities"), (json::array{"65000:100", "no-export"}));
}

TEST_F(ViewTest, peer_that_is_not_known_is_answered_with_those_that_are)
{
    EXPECT_THAT(refusal({{"received_from", "Mesh_9"}}),
                AllOf(HasSubstr("'Mesh_9'"), HasSubstr("Mesh_0, Mesh_1, Mesh_2")));
    EXPECT_THAT(refusal({{"received_from", "10.0.0.2"}}), HasSubstr("2 sessions have the address"));
    EXPECT_EQ(refusal({{"received_from", "10.0.0.3"}}), "");
}

TEST_F(ViewTest, session_that_is_down_is_told_nothing_and_why)
{
    EXPECT_THAT(refusal({{"advertised_to", "Mesh_2"}}),
                AllOf(HasSubstr("nothing is advertised to Mesh_2"), HasSubstr("down")));
}

TEST_F(ViewTest, bad_arguments_are_named)
{
    EXPECT_THAT(refusal({{"prefix", "10.0.0.0/40"}}), HasSubstr("'10.0.0.0/40' is no prefix"));
    EXPECT_THAT(refusal({{"match", "some"}}), HasSubstr("exact, longer, shorter"));
    for (const char* cursor : {"5:1", "4:", "4:x", "4:1 ", "6", "4:99999999999"})
        EXPECT_THAT(refusal({{"cursor", cursor}}), HasSubstr("no cursor")) << cursor;
}

TEST_F(ViewTest, without_a_speaker_the_trouble_is_the_answer)
{
    const BgpView none{nullptr, "the node has no IPv4 address"};
    EXPECT_FALSE(none.session("Mesh_0"));
    const auto answer = none.routes({});
    ASSERT_FALSE(answer);
    EXPECT_THAT(answer.error().what, HasSubstr("the node has no IPv4 address"));
}

TEST_F(ViewTest, session_is_found_by_address_and_shown_with_why_it_is_down)
{
    const auto name = view.session("10.0.0.3");
    ASSERT_TRUE(name) << name.error().what;
    EXPECT_EQ(*name, "Mesh_2");
    const json::object row = peer_row(speaker.peers().at(2));
    EXPECT_EQ(row.at("name"), "Mesh_2");
    EXPECT_FALSE(row.at("why").as_string().empty());
    EXPECT_EQ(row.at("identifier"), json::value());
}

} // namespace
} // namespace margay::explain
