// SPDX-License-Identifier: Apache-2.0
// EtcdStore against a real etcd that goes away in every way it can, and comes back.
#include <gtest/gtest.h>
#include <unistd.h>

#include "integration/store/watcher.h"
#include "support/etcd.h"
#include "support/netns.h"
#include "support/process.h"

namespace margay::testing {
namespace {

// An etcd behind a wire that can be cut for the test, but not for etcdctl, which runs beside it.
class FarEtcd {
public:
    FarEtcd() : etcd_(options()) {}
    ~FarEtcd() { (void)run({"ip", "link", "del", link_}); }

    Etcd& operator*() { return etcd_; }
    Etcd* operator->() { return &etcd_; }

    // Without a trace: neither end is told.
    void cut()
    {
        netns_.must("nft add table inet cut");
        netns_.must("nft 'add chain inet cut in { type filter hook input priority 0; }'");
        netns_.must("nft add rule inet cut in iifname far drop");
    }
    void mend() { netns_.must("nft delete table inet cut"); }

private:
    EtcdOptions options()
    {
        const std::string net = "198.18." + std::to_string(::getpid() % 250) + ".";
        const auto must = [](const std::vector<std::string>& command) {
            if (const auto done = run(command); done.exit_code != 0) {
                ADD_FAILURE() << command[0] << " " << command[1] << ": " << done.out;
                std::abort();
            }
        };
        must({"ip", "link", "add", link_, "type", "veth", "peer", "name", "far", "netns",
              netns_.name()});
        must({"ip", "addr", "add", net + "1/30", "dev", link_});
        must({"ip", "link", "set", link_, "up"});
        netns_.must("ip link set lo up");
        netns_.must("ip addr add " + net + "2/30 dev far");
        netns_.must("ip link set far up");
        return {.netns = netns_.name(), .address = net + "2"};
    }

    Netns netns_{"etcd"};
    std::string link_ = "mg" + std::to_string(::getpid()) + "e";
    Etcd etcd_;
};

TEST(EtcdRecoveryTest, killed_etcd_is_followed_again_after_its_restart_without_a_second_snapshot)
{
    Etcd etcd;
    etcd.put("/calico/a", "1");
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    etcd.kill();
    ASSERT_TRUE(w.until_lost());
    EXPECT_NE(w.reason.find(etcd.url()), std::string::npos) << w.reason;
    etcd.restart();
    ASSERT_TRUE(w.until_connected());
    EXPECT_TRUE(w.changes.empty()) << "nothing had changed";
    etcd.put("/calico/b", "2");
    EXPECT_TRUE(w.until_value("/calico/b", "2"));
    EXPECT_EQ(w.snapshots, 1);
}

TEST(EtcdRecoveryTest, stopped_etcd_is_noticed_and_followed_again_when_it_continues)
{
    Etcd etcd;
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    etcd.pause();
    ASSERT_TRUE(w.until_lost());
    etcd.resume();
    ASSERT_TRUE(w.until_connected());
    etcd.put("/calico/a", "1");
    EXPECT_TRUE(w.until_value("/calico/a", "1"));
}

TEST(EtcdRecoveryTest, dropped_packets_with_delete_and_compaction_in_the_gap_end_in_sync)
{
    FarEtcd etcd;
    for (const char* key : {"/calico/kept", "/calico/changed", "/calico/gone"})
        etcd->put(key, "before");
    Watcher w(etcd->config());
    ASSERT_TRUE(w.until_connected());
    etcd.cut();
    ASSERT_TRUE(w.until_lost());
    etcd->remove("/calico/gone");
    etcd->put("/calico/changed", "after");
    etcd->put("/calico/new", "after");
    etcd->compact();
    etcd.mend();
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.table, (std::map<std::string, std::string>{{"/calico/kept", "before"},
                                                           {"/calico/changed", "after"},
                                                           {"/calico/new", "after"}}));
    EXPECT_EQ(w.changes.size(), 3u) << "what did not change must not be told";
    EXPECT_EQ(w.snapshots, 1);
}

TEST(EtcdRecoveryTest, keepalive_alone_finds_a_peer_that_is_silently_gone)
{
    FarEtcd etcd;
    auto config = etcd->config();
    config.probe_interval = 1h;
    config.keepalive_time = 6s; // etcd allows no more than one in 5 s
    config.keepalive_timeout = 1s;
    Watcher w(config);
    ASSERT_TRUE(w.until_connected());
    etcd.cut();
    EXPECT_TRUE(w.until_lost());
}

TEST(EtcdRecoveryTest, compaction_past_the_watch_leads_to_another_listing_on_the_same_connection)
{
    Etcd etcd;
    etcd.put("/calico/gone", "1");
    etcd.put("/calico/kept", "1");
    // After the listing and before the watch: the executor is here, so nothing is sent meanwhile.
    Watcher w(etcd.config(), [&etcd] {
        etcd.remove("/calico/gone");
        etcd.put("/calico/new", "1");
        etcd.compact();
    });
    ASSERT_TRUE(w.until_value("/calico/new", "1"));
    ASSERT_TRUE(w.until_connected());
    EXPECT_FALSE(w.table.contains("/calico/gone"));
    EXPECT_EQ(w.changes.size(), 2u);
    EXPECT_EQ(w.store->status().relists, 1u);
    EXPECT_EQ(w.losses, 0);
    etcd.put("/calico/kept", "2");
    EXPECT_TRUE(w.until_value("/calico/kept", "2"));
}

TEST(EtcdRecoveryTest, wiped_etcd_with_a_lower_revision_is_listed_again_and_its_old_keys_go)
{
    Etcd etcd;
    for (int i = 0; i < 10; i++)
        etcd.put("/calico/old", std::to_string(i));
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    const auto before = w.store->status().revision;
    etcd.wipe();
    ASSERT_TRUE(w.until_lost());
    etcd.restart();
    etcd.put("/calico/new", "1");
    ASSERT_TRUE(w.until_value("/calico/new", "1"));
    EXPECT_TRUE(w.until_gone("/calico/old"));
    EXPECT_LT(w.store->status().revision, before);
    EXPECT_EQ(w.snapshots, 1);
}

TEST(EtcdRecoveryTest, dead_first_endpoint_costs_no_more_than_a_moment)
{
    Etcd etcd;
    etcd.put("/calico/a", "1");
    auto config = etcd.config();
    config.endpoints.insert(config.endpoints.begin(), "http://127.0.0.1:1");
    Watcher w(config);
    ASSERT_TRUE(w.until_value("/calico/a", "1"));
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.store->status().endpoint, etcd.url());
}

TEST(EtcdRecoveryTest, member_that_dies_or_hangs_is_left_for_another_one)
{
    auto members = Etcd::cluster(3);
    auto config = members[0]->config();
    config.endpoints = {members[0]->url(), members[1]->url(), members[2]->url()};
    Watcher w(config);
    ASSERT_TRUE(w.until_connected());
    const auto in_use = [&]() -> Etcd& {
        for (auto& member : members)
            if (member->url() == w.store->status().endpoint)
                return *member;
        std::abort();
    };
    const auto another = [&](const Etcd& not_this) -> Etcd& {
        return &not_this == members[0].get() ? *members[1] : *members[0];
    };
    Etcd& killed = in_use();
    killed.kill();
    ASSERT_TRUE(w.until_lost());
    ASSERT_TRUE(w.until_connected());
    another(killed).put("/calico/a", "1");
    ASSERT_TRUE(w.until_value("/calico/a", "1"));
    killed.restart();

    Etcd& hung = in_use();
    hung.pause();
    ASSERT_TRUE(w.until_lost());
    ASSERT_TRUE(w.until_connected());
    EXPECT_NE(&in_use(), &hung);
    hung.resume();
}

// Its cluster is gone, so it must not pass for a healthy one, although it answers.
TEST(EtcdRecoveryTest, member_without_a_quorum_counts_as_lost)
{
    auto members = Etcd::cluster(3);
    Watcher w(members[0]->config());
    ASSERT_TRUE(w.until_connected());
    members[1]->kill();
    members[2]->kill();
    ASSERT_TRUE(w.until_lost());
    members[1]->restart();
    ASSERT_TRUE(w.until_connected());
}

} // namespace
} // namespace margay::testing
