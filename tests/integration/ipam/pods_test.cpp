// SPDX-License-Identifier: Apache-2.0
// margay-pod as real processes: against margayd's own steps, killed at any moment, and with
// pod.sh in network namespaces.
#include "cluster.h"

#include "support/netns.h"

#include <sys/wait.h>

#include <boost/json.hpp>

#include <chrono>
#include <filesystem>
#include <thread>

namespace margay {
namespace {

using testing::Etcd;
using ::testing::HasSubstr;

std::vector<std::string> pod_command(const Etcd& etcd, const std::string& verb, int number)
{
    return {"env",   "ETCD_ENDPOINTS=" + etcd.url(), MARGAY_POD, verb, "--node", "n1",
            "--pod", "p" + std::to_string(number)};
}

struct PodsTest : ::testing::Test {
    Etcd etcd;
    std::string folder = testing::make_temp_folder("pods");

    void SetUp() override { put_pool(etcd, "10.1.0.0/24", 28); }
    void TearDown() override
    {
        snapshot(etcd).check();
        std::filesystem::remove_all(folder);
    }
    Result<startup::NodeState> prepare()
    {
        return startup::prepare(*connect(etcd), node_config(), "n1", surroundings(1), kClock);
    }
    std::string log(int number) const { return folder + "/" + std::to_string(number); }
    // All at once; their JSON is in log(number).
    void run_pods(const std::string& verb, int count)
    {
        std::vector<pid_t> pids;
        for (int i = 0; i < count; i++)
            pids.push_back(testing::spawn(pod_command(etcd, verb, i), log(i)));
        for (const pid_t pid : pids) {
            int status = 0;
            ASSERT_EQ(waitpid(pid, &status, 0), pid);
            EXPECT_EQ(status, 0);
        }
    }
};

TEST_F(PodsTest, pods_and_the_agents_own_repairs_race_on_one_block)
{
    constexpr int kPods = 10;
    auto state = prepare();
    ASSERT_TRUE(state) << state.error().what;
    {
        // What margayd does when somebody keeps deleting its Node and its tunnel address.
        std::jthread agent([&](const std::stop_token& stop) {
            const auto kv = connect(etcd);
            ipam::Ipam ipam(*kv, "n1", kClock);
            while (!stop.stop_requested()) {
                ASSERT_TRUE(kv->remove(startup::resource_key("nodes", "n1")));
                ASSERT_TRUE(ipam.release_by_handle(startup::tunnel_handle("n1")));
                state = startup::repair(*kv, node_config(), "n1", surroundings(1), kClock);
                ASSERT_TRUE(state) << state.error().what;
            }
        });
        run_pods("add", kPods);
    }

    std::set<std::string> addresses{state->tunnel_address->str()};
    for (int i = 0; i < kPods; i++) {
        const auto json = boost::json::parse(testing::read_file(log(i)));
        EXPECT_TRUE(addresses.insert(std::string(json.at("ip").as_string())).second);
    }
    EXPECT_EQ(snapshot(etcd).in_use(), kPods + 1u);

    run_pods("del", kPods);
    const ipam::World world = snapshot(etcd);
    EXPECT_EQ(world.in_use(), 1u) << "the tunnel address";
    EXPECT_EQ(world.count("/calico/ipam/v2/handle/margay."), 0u);
    EXPECT_EQ(world.count(startup::resource_key("workloadendpoints", "")), 0u);
}

TEST_F(PodsTest, killed_at_any_moment_nothing_is_leaked_after_del)
{
    ASSERT_TRUE(prepare());
    int unfinished = 0;
    for (int i = 0; i < 40; i++) {
        const pid_t pid = testing::spawn(pod_command(etcd, "add", i), log(i));
        std::this_thread::sleep_for(std::chrono::milliseconds(10 + 2 * i));
        testing::kill_and_wait(pid);
        unfinished += testing::read_file(log(i)).empty();
        snapshot(etcd).check();
    }
    EXPECT_GT(unfinished, 0) << "no kill came early enough to prove anything";
    run_pods("del", 40);
    const ipam::World world = snapshot(etcd);
    EXPECT_EQ(world.in_use(), 1u) << "the tunnel address";
    EXPECT_EQ(world.count("/calico/ipam/v2/handle/margay."), 0u);
    EXPECT_EQ(world.count(startup::resource_key("workloadendpoints", "")), 0u);
}

struct PodShTest : ::testing::Test {
    testing::Netns node{"node"};
    std::string pod = node.name() + "p";

    void SetUp() override
    {
        if (!testing::is_root())
            GTEST_SKIP() << "needs root";
    }
    void TearDown() override { testing::run_command("ip netns delete " + pod + " 2>/dev/null"); }

    testing::CommandResult pod_sh(const Etcd& etcd, const std::string& arguments) const
    {
        return testing::run_command("PATH=$(dirname " MARGAY_POD "):$PATH ETCD_ENDPOINTS=" +
                                    etcd.url() + " " POD_SH " " + arguments);
    }
    std::string in_pod(const std::string& command) const
    {
        return testing::run_command("nsenter --net=/run/netns/" + pod + " " + command).output;
    }
    std::string common() const
    {
        return " --netns " + pod + " --node-netns " + node.name() + " --node n1 --pod web ";
    }
};

TEST_F(PodShTest, add_makes_what_a_cni_plugin_makes_and_del_removes_all_of_it)
{
    node.must("ip link set lo up");
    Etcd etcd({.netns = node.name()});
    put_pool(etcd, "10.1.0.0/24", 28);
    etcd.put(startup::resource_key("clusterinformations", "default"),
             R"({"spec":{"datastoreReady":true}})");

    const auto added = pod_sh(etcd, "add" + common() + "--label role=web --mtu 1480");
    ASSERT_TRUE(added) << added.output;
    const auto json = boost::json::parse(added.output);
    const std::string address(json.at("ip").as_string());
    const std::string interface(json.at("interface").as_string());

    EXPECT_THAT(in_pod("ip -4 addr show dev eth0"), HasSubstr("inet " + address + "/32"));
    EXPECT_THAT(in_pod("ip link show dev eth0"), HasSubstr("mtu 1480"));
    EXPECT_THAT(in_pod("ip link show dev eth0"),
                HasSubstr(std::string(json.at("mac").as_string())));
    EXPECT_THAT(in_pod("ip route"), HasSubstr("default via 169.254.1.1 dev eth0"));
    EXPECT_THAT(in_pod("ip route"), HasSubstr("169.254.1.1 dev eth0 scope link"));
    EXPECT_THAT(node.must("ip link show dev " + interface), HasSubstr("ee:ee:ee:ee:ee:ee"));
    EXPECT_THAT(node.must("ip route"), HasSubstr(address + " dev " + interface + " scope link"));
    EXPECT_THAT(node.must("cat /proc/sys/net/ipv4/conf/" + interface + "/proxy_arp"),
                HasSubstr("1"));

    const auto again = pod_sh(etcd, "add" + common());
    EXPECT_EQ(again.output, added.output);
    for (int i = 0; i < 2; i++) {
        const auto removed = pod_sh(etcd, "del" + common());
        EXPECT_TRUE(removed) << removed.output;
    }
    EXPECT_FALSE(node.exec("ip link show dev " + interface));
    EXPECT_FALSE(testing::run_command("test -e /run/netns/" + pod));
}

TEST_F(PodShTest, add_that_fails_leaves_nothing)
{
    node.must("ip link set lo up");
    Etcd etcd({.netns = node.name()});
    put_pool(etcd, "10.1.0.0/24", 28);

    EXPECT_FALSE(pod_sh(etcd, "add" + common())) << "the datastore is not ready";
    etcd.put(startup::resource_key("clusterinformations", "default"),
             R"({"spec":{"datastoreReady":true}})");
    const auto failed = pod_sh(etcd, "add" + common() + "--mtu 10");
    EXPECT_FALSE(failed);
    EXPECT_THAT(failed.output, HasSubstr("pod not added"));

    EXPECT_FALSE(testing::run_command("test -e /run/netns/" + pod));
    EXPECT_THAT(etcd.ctl({"get", "--prefix", "--keys-only", "/calico/ipam/v2/handle/"}), "");
    EXPECT_THAT(etcd.ctl({"get", "--prefix", "--keys-only",
                          startup::resource_key("workloadendpoints", "")}),
                "");
}

} // namespace
} // namespace margay
