// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/pod.h"

#include "agent/model/decode.h"
#include "unit/startup/world.h"

namespace margay::cni {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Fate = margay::testing::FakeKv::Fate;

struct PodTest : startup::StartupTest {
    Pod pod;

    void SetUp() override
    {
        ASSERT_TRUE(start());
        kv.writes.clear();
        Pod wanted;
        wanted.node = "n1";
        wanted.name = "web-0";
        wanted.mac = "02:00:00:00:00:01";
        wanted.labels = {{"role", "web"}};
        wanted.ports = {*parse_port("http:tcp:8080")};
        pod = *complete(wanted);
    }
    std::string key() const
    {
        return startup::resource_key("workloadendpoints", "default/" + endpoint_name(pod));
    }
    bool attached() const { return world.table->entries.contains(key()); }
    void expect_nothing_left() const
    {
        EXPECT_FALSE(attached());
        EXPECT_EQ(world.in_use(), 1u) << "the node's tunnel address";
        EXPECT_EQ(world.count(ipam::handle_key("margay.")), 0u);
        world.check();
    }
};

TEST_F(PodTest, pod_gets_an_address_a_profile_and_an_endpoint_as_a_cni_plugin_writes_them)
{
    const auto result = add(kv, pod, world.clock);
    ASSERT_TRUE(result) << result.error().what;

    // printf default.web-0 | sha1sum
    EXPECT_EQ(result->interface, "cali" + pod.container_id.substr(0, 11));
    EXPECT_EQ(pod.container_id.size(), 40u);
    const auto object = boost::json::parse(world.table->entries.at(key()).value).get_object();
    EXPECT_EQ(object.at("metadata").at("name").as_string(), "n1-cni-" + pod.container_id + "-eth0");
    EXPECT_EQ(object.at("metadata").at("namespace"), "default");
    EXPECT_EQ(boost::json::serialize(object.at("metadata").at("labels")),
              R"({"role":"web","projectcalico.org/namespace":"default",)"
              R"("projectcalico.org/orchestrator":"cni"})");
    EXPECT_EQ(boost::json::serialize(object.at("spec")),
              R"({"orchestrator":"cni","node":"n1","containerID":")" + pod.container_id +
                  R"(","pod":"web-0","endpoint":"eth0","ipNetworks":[")" + result->address.str() +
                  R"(/32"],"profiles":["margay"],"interfaceName":")" + pod.interface +
                  R"(","mac":"02:00:00:00:00:01","ports":[{"name":"http","protocol":"TCP",)"
                  R"("port":8080,"hostPort":0,"hostIP":""}]})");
    EXPECT_EQ(boost::json::serialize(spec("profiles", "margay")),
              R"x({"ingress":[{"action":"Allow","source":{"selector":"has(margay)"}}],)x"
              R"("egress":[{"action":"Allow"}],"labelsToApply":{"margay":""}})");
    const auto holder = *ipam::Ipam(kv, "n1", world.clock).holder(result->address);
    EXPECT_EQ(holder.handle, "margay." + pod.container_id);
    EXPECT_EQ(holder.attributes,
              (std::map<std::string, std::string>{{"node", "n1"},
                                                  {"namespace", "default"},
                                                  {"pod", "web-0"},
                                                  {"timestamp", "2026-01-02 03:04:05 +0000 UTC"}}));
}

TEST_F(PodTest, endpoint_is_one_that_the_model_reads)
{
    ASSERT_TRUE(add(kv, pod, world.clock));
    const auto parsed = model::parse_key(key());
    ASSERT_TRUE(parsed);
    const auto decoded = model::decode(*parsed, world.table->entries.at(key()).value);
    ASSERT_TRUE(decoded) << decoded.error().what;
    const auto& endpoint = std::get<model::WorkloadEndpoint>(decoded->update.value);
    EXPECT_EQ(endpoint.interface_name, pod.interface);
    EXPECT_EQ(endpoint.pod, "web-0");
    EXPECT_EQ(endpoint.ports.at(0).name, "http");
}

TEST_F(PodTest, second_add_answers_the_same_and_writes_nothing)
{
    const auto first = add(kv, pod, world.clock);
    kv.writes.clear();
    const auto second = add(kv, pod, world.clock);
    EXPECT_EQ(second->address, first->address);
    EXPECT_EQ(second->mac, first->mac);
    EXPECT_THAT(kv.writes, IsEmpty());
}

TEST_F(PodTest, del_removes_all_of_it_and_may_be_repeated)
{
    ASSERT_TRUE(add(kv, pod, world.clock));
    ASSERT_TRUE(del(kv, pod, world.clock, Keep::Address));
    EXPECT_FALSE(attached());
    EXPECT_EQ(world.in_use(), 2u) << "the interface may still have the address";
    ASSERT_TRUE(del(kv, pod, world.clock, Keep::Nothing));
    expect_nothing_left();
    ASSERT_TRUE(del(kv, pod, world.clock, Keep::Nothing));
}

TEST_F(PodTest, del_of_an_old_container_leaves_the_new_ones_endpoint)
{
    ASSERT_TRUE(add(kv, pod, world.clock));
    auto object = boost::json::parse(world.table->entries.at(key()).value);
    object.at("spec").at("containerID") = "another";
    world.table->write(key(), boost::json::serialize(object));
    ASSERT_TRUE(del(kv, pod, world.clock, Keep::Nothing));
    EXPECT_TRUE(attached());
}

TEST_F(PodTest, del_with_the_datastore_away_is_an_error)
{
    kv.gone = true;
    EXPECT_EQ(del(kv, pod, world.clock, Keep::Nothing).error().code, Errc::Unavailable);
}

TEST_F(PodTest, add_that_fails_or_dies_at_any_write_leaks_nothing)
{
    const auto before = world.table->entries;
    for (const Fate fate :
         {Fate::Conflict, Fate::Unavailable, Fate::CrashBefore, Fate::CrashAfter}) {
        for (int number = 1;; number++) {
            world.table->entries = before;
            margay::testing::FakeKv broken(world.table);
            broken.fail_write(number, fate);
            const auto result = add(broken, pod, world.clock);
            if (broken.writes.size() < static_cast<std::size_t>(number))
                break;
            SCOPED_TRACE("write " + std::to_string(number) + " fate " +
                         std::to_string(static_cast<int>(fate)));
            world.check();
            if (!result && !broken.gone)
                expect_nothing_left(); // it could be undone, so it was
            if (!result) {
                ASSERT_TRUE(add(kv, pod, world.clock)) << "the next attempt succeeds";
            }
            EXPECT_EQ(world.in_use(), 2u);
            ASSERT_TRUE(del(kv, pod, world.clock, Keep::Nothing));
            expect_nothing_left();
        }
    }
}

TEST_F(PodTest, locked_datastore_refuses_pods)
{
    put("clusterinformations", "default", R"({"spec":{"datastoreReady":false}})");
    EXPECT_THAT(add(kv, pod, world.clock).error().what, HasSubstr("datastoreReady"));
    put("clusterinformations", "default", R"({"spec":{}})");
    EXPECT_THAT(add(kv, pod, world.clock).error().what, HasSubstr("datastoreReady"));
    EXPECT_THAT(kv.writes, IsEmpty());
}

TEST(PodNames, dashes_of_each_segment_are_doubled)
{
    Pod pod;
    pod.node = "node-1";
    pod.container_id = "a-b";
    EXPECT_EQ(endpoint_name(pod), "node--1-cni-a--b-eth0");
}

TEST(PodNames, what_cannot_be_a_name_is_refused)
{
    Pod good;
    good.node = "n1";
    good.name = "p";
    ASSERT_TRUE(complete(good));
    for (const auto field : {&Pod::node, &Pod::name, &Pod::ns, &Pod::network, &Pod::endpoint,
                             &Pod::container_id, &Pod::interface, &Pod::mac}) {
        for (const char* text : {"a/b", "a b", "../x"}) {
            Pod bad = good;
            bad.*field = text;
            EXPECT_FALSE(complete(bad)) << text;
        }
    }
    good.interface = "cali567890123456";
    EXPECT_FALSE(complete(good));
    for (const char* text :
         {"", "http", "http:tcp", "http:icmp:1", "http:tcp:0", "h ttp:tcp:1", "http:tcp:65536"})
        EXPECT_FALSE(parse_port(text)) << text;
}

} // namespace
} // namespace margay::cni
