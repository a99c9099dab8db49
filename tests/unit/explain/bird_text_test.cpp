// SPDX-License-Identifier: Apache-2.0
// The grammar of BIRD 1.6 for a speaker whose peers do not answer; integration.explain has sessions.
#include "agent/explain/bird_text.h"
#include "unit/explain/speaker.h"

#include <gmock/gmock.h>

#include <sstream>

namespace margay::explain {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct BirdTextTest : ::testing::Test {
    Executor executor;
    bgp::Speaker speaker = quiet_speaker(executor);
    BirdFacts facts{false, "1.2.3", Ipv4(0x0a000001), {}, {}, {}};

    BirdTextTest()
    {
        facts.started = std::chrono::system_clock::now();
        facts.now = facts.started;
    }
    void peers(const std::vector<std::pair<std::string, std::string>>& all)
    {
        std::vector<bgp::PeerConfig> configs;
        for (const auto& [name, address] : all) {
            bgp::PeerConfig config;
            config.name = name;
            config.address = *Ip::parse(address);
            config.remote_as = bgp::Asn{64512};
            config.passive = true;
            configs.push_back(config);
        }
        speaker.set_peers(configs);
    }
    std::string ask(const std::string& command)
    {
        const BirdPieces pieces = bird_answer(command, facts, [this] { return &speaker; });
        std::string all;
        for (std::string piece = pieces(); !piece.empty(); piece = pieces())
            all += piece;
        return all;
    }
    std::vector<std::string> lines(const std::string& command)
    {
        std::istringstream in(ask(command));
        std::vector<std::string> all;
        for (std::string line; std::getline(in, line);)
            all.push_back(line);
        return all;
    }
};

TEST_F(BirdTextTest, rows_follow_the_heading_and_have_the_code_once)
{
    peers({{"Mesh_10_0_0_2", "10.0.0.2"}, {"Node_10_0_0_3", "10.0.0.3"}});
    const auto all = lines("show protocols");
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0], "2002-name     proto    table    state  since       info");
    EXPECT_THAT(all[1], StartsWith("1002-Mesh_10_0_0_2 BGP "));
    EXPECT_THAT(all[2], StartsWith(" Node_10_0_0_3 BGP "));
    EXPECT_EQ(all[3], "0000 ");
}

TEST_F(BirdTextTest, no_peers_are_a_heading_and_an_end)
{
    EXPECT_EQ(lines("show protocols").size(), 2u);
}

TEST_F(BirdTextTest, since_is_a_time_of_day_while_it_is_young_and_a_day_later)
{
    peers({{"Mesh_10_0_0_2", "10.0.0.2"}});
    std::istringstream young(lines("show protocols")[1]);
    std::vector<std::string> words;
    for (std::string word; young >> word;)
        words.push_back(word);
    ASSERT_GE(words.size(), 6u);
    EXPECT_EQ(words[4].size(), std::string("12:34:56").size());
    facts.now += std::chrono::hours(21);
    EXPECT_THAT(lines("show protocols")[1],
                ::testing::ContainsRegex(" [0-9]{4}-[0-9]{2}-[0-9]{2} "));
}

TEST_F(BirdTextTest, each_socket_has_the_peers_and_routes_of_its_family)
{
    peers({{"Mesh_10_0_0_2", "10.0.0.2"}, {"Global_fd00__3", "fd00::3"}});
    speaker.announce(*Prefix4::parse("10.1.0.0/26"));
    speaker.announce(*Prefix6::parse("fd00:1::/64"));
    EXPECT_EQ(lines("show protocols").size(), 3u);
    EXPECT_THAT(lines("show protocols")[1], StartsWith("1002-Mesh_10_0_0_2 "));
    EXPECT_THAT(ask("show route"), HasSubstr("10.1.0.0/26"));
    EXPECT_THAT(ask("show route"), Not(HasSubstr("fd00:1::/64")));

    facts.ipv6 = true;
    EXPECT_EQ(lines("show protocols").size(), 3u);
    EXPECT_THAT(lines("show protocols")[1], StartsWith("1002-Global_fd00__3 "));
    EXPECT_THAT(ask("show route"), HasSubstr("fd00:1::/64"));
    EXPECT_THAT(ask("show route"), Not(HasSubstr("10.1.0.0/26")));
}

TEST_F(BirdTextTest, name_with_blanks_stays_one_word)
{
    peers({{"Global 10\n0000", "10.0.0.2"}});
    const auto all = lines("show protocols");
    ASSERT_EQ(all.size(), 3u);
    EXPECT_THAT(all[1], StartsWith("1002-Global_10_0000 BGP "));
}

TEST_F(BirdTextTest, one_protocol_in_detail_or_none)
{
    peers({{"Mesh_10_0_0_2", "10.0.0.2"}, {"Node_10_0_0_3", "10.0.0.3"}});
    const std::string one = ask("show protocols all Node_10_0_0_3");
    EXPECT_THAT(one, HasSubstr("1002-Node_10_0_0_3"));
    EXPECT_THAT(one, HasSubstr("   BGP state:          "));
    EXPECT_THAT(one, HasSubstr("     Neighbor address: 10.0.0.3\n"));
    EXPECT_THAT(one, Not(HasSubstr("10.0.0.2")));
    EXPECT_EQ(ask("show protocols all Node_10_0_0_4"), "8003 No protocols match\n");
    EXPECT_THAT(ask("show protocols all"), HasSubstr("Mesh_10_0_0_2"));
}

TEST_F(BirdTextTest, unknown_words_are_a_syntax_error)
{
    for (const char* command : {"", "show", "configure", "show protocols any", "show route all"})
        EXPECT_THAT(ask(command), StartsWith("9001 ")) << command;
}

TEST_F(BirdTextTest, own_route_is_listed_and_the_table_ends)
{
    speaker.announce(*Prefix4::parse("10.244.1.0/26"));
    executor.poll();
    const auto all = lines("show route");
    ASSERT_EQ(all.size(), 2u);
    EXPECT_THAT(all[0], StartsWith("1007-10.244.1.0/26      blackhole [static1 "));
    EXPECT_EQ(all[1], "0000 ");
}

TEST_F(BirdTextTest, speaker_that_went_leaves_a_whole_answer)
{
    const BirdPieces pieces =
        bird_answer("show route", facts, [] { return static_cast<const bgp::Speaker*>(nullptr); });
    EXPECT_EQ(pieces(), "0000 \n");
    EXPECT_EQ(pieces(), "");
}

} // namespace
} // namespace margay::explain
