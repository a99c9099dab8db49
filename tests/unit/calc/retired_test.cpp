// SPDX-License-Identifier: Apache-2.0
// Sets that lose their last rule, and sets that find no number: what programs in force rely on
// stays until they are not in force any more.

#include <gmock/gmock.h>

#include "world.h"

namespace margay::calc {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kBad = R"j(selector role == "bad")j";
const std::string kWorse = R"j(selector role in {"bad", "worse"})j";

std::string deny_then_allow(const std::string& selector)
{
    return R"j({"types":["Ingress"],"ingress":[{"action":"Deny","source":{"selector":")j" +
           selector + R"j("}},{"action":"Allow"}]})j";
}

struct Retired : ::testing::Test {
    World world;

    void SetUp() override
    {
        world.usual();
        world.pod("ns1", "a", "10.0.0.1/32");
        world.pod("ns1", "villain", "10.0.0.2/32", R"j({"role":"bad"})j", "n2");
        world.gnp("p", deny_then_allow("role == 'bad'"));
        world.sync();
    }
};

TEST_F(Retired, set_of_an_edited_rule_keeps_its_members_until_no_program_asks_for_it)
{
    ASSERT_EQ(world.members(kBad), "10.0.0.2/32");
    world.gnp("p", deny_then_allow("role in {'bad','worse'}"));
    world.sync();
    EXPECT_THAT(world.ingress("a"), HasSubstr(kWorse));
    EXPECT_EQ(world.members(kWorse), "10.0.0.2/32");
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32") << "the old program may be in force";
    EXPECT_TRUE(world.inventory.waiting());

    world.inventory.release_retired();
    EXPECT_TRUE(world.inventory.dirty());
    world.sync();
    EXPECT_EQ(world.members(kBad), "");
    EXPECT_EQ(world.members(kWorse), "10.0.0.2/32");
    EXPECT_EQ(world.sets.size(), 1u);
    EXPECT_FALSE(world.inventory.waiting());
}

TEST_F(Retired, set_without_rules_still_follows_the_labels)
{
    world.gone("globalnetworkpolicies/p");
    world.sync();
    world.pod("ns1", "second", "10.0.0.3/32", R"j({"role":"bad"})j", "n2");
    world.sync();
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32 10.0.0.3/32");
    world.gone("workloadendpoints/ns1/villain");
    world.sync();
    EXPECT_EQ(world.members(kBad), "10.0.0.3/32");
}

TEST_F(Retired, what_nobody_has_taken_yet_is_not_released)
{
    world.gone("globalnetworkpolicies/p");
    world.inventory.release_retired(); // settled, but with what was told before
    world.sync();
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32");
    world.inventory.release_retired();
    world.sync();
    EXPECT_THAT(world.sets, IsEmpty());
}

TEST_F(Retired, set_that_is_wanted_again_is_not_released)
{
    world.gone("globalnetworkpolicies/p");
    world.sync();
    world.gnp("q", deny_then_allow("role == 'bad'"));
    EXPECT_TRUE(world.sync().sets.empty()) << "it was there all the time";
    world.inventory.release_retired();
    world.sync();
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32");
    world.gone("globalnetworkpolicies/q");
    world.inventory.release_retired();
    world.sync();
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32") << "the second time it was not told either";
}

TEST_F(Retired, port_set_of_a_rule_that_went_stays_as_well)
{
    const std::string set = R"j(port http/6=8080 role == "web")j";
    world.pod("ns1", "web", "10.0.0.4/32", R"j({"role":"web"})j", "n2",
              R"j("profiles":["open"],"ports":[{"name":"http","protocol":"TCP","port":8080}])j");
    world.gnp("p",
              R"j({"types":["Egress"],"egress":[{"action":"Deny","protocol":"TCP","destination":
                   {"selector":"role == 'web'","ports":["http"]}},{"action":"Allow"}]})j");
    world.sync();
    ASSERT_EQ(world.members(set), "10.0.0.4/32");
    world.gone("globalnetworkpolicies/p");
    world.sync();
    EXPECT_EQ(world.members(set), "10.0.0.4/32");
    world.inventory.release_retired();
    world.sync();
    EXPECT_EQ(world.members(set), "");
}

// Numbers for `room` names at a time.
struct Numbers {
    std::size_t room = 0;
    std::map<std::string, policy::SetId> given{};

    SetIds ids()
    {
        return {[this](const std::string& name) -> std::optional<policy::SetId> {
                    if (!given.contains(name) && given.size() >= room)
                        return std::nullopt;
                    return given.try_emplace(name, static_cast<policy::SetId>(given.size()))
                        .first->second;
                },
                [this](const std::string& name) { given.erase(name); }};
    }
};

TEST(Refused, set_without_number_is_asked_for_again_and_its_rules_follow)
{
    Numbers numbers{1};
    World world(numbers.ids());
    world.usual();
    world.pod("ns1", "a", "10.0.0.1/32");
    world.pod("ns1", "villain", "10.0.0.2/32", R"j({"role":"bad"})j", "n2");
    world.gnp("o", deny_then_allow("role == 'other'"));
    world.sync();
    world.gnp("p", deny_then_allow("role == 'bad'"));
    EXPECT_THAT(world.ingress("a"), HasSubstr("default/p: [Deny] [Allow]")) << "fails closed";
    EXPECT_TRUE(world.inventory.waiting());
    world.gone("globalnetworkpolicies/o");
    world.sync();
    EXPECT_THAT(world.ingress("a"), HasSubstr("default/p: [Deny] [Allow]"))
        << "the number is not free yet";

    world.inventory.release_retired();
    EXPECT_THAT(world.ingress("a"), HasSubstr("default/p: [Deny from {" + kBad + "}] [Allow]"));
    EXPECT_EQ(world.members(kBad), "10.0.0.2/32");
    EXPECT_FALSE(world.inventory.waiting());
}

TEST(Refused, port_set_without_number_is_asked_for_again)
{
    Numbers numbers{1};
    World world(numbers.ids());
    world.usual();
    world.pod("ns1", "a", "10.0.0.1/32");
    const std::string http =
        R"j("profiles":["open"],"ports":[{"name":"http","protocol":"TCP","port":8080}])j";
    world.pod("ns1", "web", "10.0.0.4/32", R"j({"role":"web"})j", "n2", http);
    world.gnp("o", deny_then_allow("role == 'other'"));
    world.sync();
    world.gnp("p",
              R"j({"types":["Egress"],"egress":[{"action":"Allow","protocol":"TCP","destination":
                   {"selector":"role == 'web'","ports":["http"]}}]})j");
    EXPECT_THAT(world.egress("a"), Not(HasSubstr("Allow proto 6")));
    world.pod("ns1", "web2", "10.0.0.5/32", R"j({"role":"web"})j", "n2", http);
    world.gone("globalnetworkpolicies/o");
    world.sync();
    numbers.room = 3; // with the plain set of the selector
    EXPECT_THAT(world.egress("a"), HasSubstr(R"j(port 8080@{port http/6=8080 role == "web"})j"));
    EXPECT_EQ(world.members(R"j(port http/6=8080 role == "web")j"), "10.0.0.4/32 10.0.0.5/32");
}

TEST(Refused, set_that_nobody_wants_any_more_takes_no_number)
{
    Numbers numbers{0};
    World world(numbers.ids());
    world.usual();
    world.pod("ns1", "a", "10.0.0.1/32");
    world.gnp("p", deny_then_allow("role == 'bad'"));
    world.sync();
    world.gone("globalnetworkpolicies/p");
    numbers.room = 1;
    world.sync();
    EXPECT_THAT(numbers.given, IsEmpty());
    world.inventory.release_retired();
    EXPECT_FALSE(world.inventory.waiting());
}

} // namespace
} // namespace margay::calc
