// SPDX-License-Identifier: Apache-2.0
// calico-client against a real etcd: what it leaves there is what calicoctl would leave.
#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/etcd.h"
#include "support/keys.h"
#include "support/process.h"

namespace margay::testing {
namespace {

using ::testing::HasSubstr;
namespace json = boost::json;

struct CalicoClientTest : ::testing::Test {
    RunResult client(std::vector<std::string> args)
    {
        args.insert(args.begin(), {CALICO_CLIENT, "--endpoints", etcd.url()});
        return run(args);
    }
    RunResult with_file(const std::string& verb, const std::string& manifest)
    {
        const std::string file = etcd.folder() + "/manifest.yaml";
        write_file(file, manifest);
        return client({verb, "-f", file});
    }
    json::value stored(const std::string& key)
    {
        const auto entry = kv->get(kResources + key);
        return entry && *entry ? json::parse((*entry)->value) : json::value();
    }
    static std::string policy(const std::string& name, const std::string& spec)
    {
        return "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: " +
               name + "}\nspec: " + spec + "\n";
    }

    Etcd etcd;
    std::unique_ptr<store::Kv> kv = *store::make_kv(etcd.config());
};

TEST_F(CalicoClientTest, first_write_initialises_the_cluster)
{
    ASSERT_EQ(with_file("apply", policy("p", "{order: 1}")).exit_code, 0);
    const auto info = stored("clusterinformations/default").at("spec");
    EXPECT_EQ(info.at("clusterGUID").as_string().size(), 32u);
    EXPECT_TRUE(info.at("datastoreReady").as_bool());
    EXPECT_FALSE(info.as_object().contains("calicoVersion"));
    EXPECT_EQ(stored("tiers/default").at("spec"),
              (json::object{{"order", 1000000}, {"defaultAction", "Deny"}}));
    EXPECT_EQ(stored("tiers/kube-admin").at("spec").at("order"), 1000);
    EXPECT_EQ(stored("tiers/kube-baseline").at("spec").at("defaultAction"), "Pass");
}

TEST_F(CalicoClientTest, apply_creates_and_then_keeps_uid_and_creation_time)
{
    ASSERT_EQ(with_file("apply", policy("p", "{order: 1}")).exit_code, 0);
    const auto first = stored("globalnetworkpolicies/p");
    EXPECT_EQ(with_file("create", policy("p", "{order: 2}")).exit_code, 1);
    ASSERT_EQ(with_file("apply", policy("p", "{order: 2}")).exit_code, 0);
    const auto second = stored("globalnetworkpolicies/p");
    EXPECT_EQ(second.at("spec").at("order"), 2);
    EXPECT_EQ(second.at("metadata"), first.at("metadata"));
    EXPECT_EQ(first.at("metadata").at("labels").at("projectcalico.org/tier"), "default");
}

TEST_F(CalicoClientTest, get_and_delete_by_kind_and_name)
{
    ASSERT_EQ(with_file("apply", policy("p", "{}")).exit_code, 0);
    EXPECT_EQ(client({"get", "globalnetworkpolicy", "-o", "name"}).out, "p\n");
    EXPECT_THAT(client({"get", "GlobalNetworkPolicy", "p"}).out, HasSubstr("\"name\":\"p\""));
    EXPECT_EQ(client({"delete", "GlobalNetworkPolicy", "p"}).exit_code, 0);
    EXPECT_EQ(client({"delete", "GlobalNetworkPolicy", "p"}).exit_code, 1);
    EXPECT_TRUE(stored("globalnetworkpolicies/p").is_null());
}

TEST_F(CalicoClientTest, what_calicoctl_refuses_is_refused)
{
    const std::string head = "apiVersion: projectcalico.org/v3\nkind: ";
    const auto refused = [&](const std::string& manifest) {
        const auto done = with_file("apply", manifest);
        EXPECT_EQ(done.exit_code, 1);
        return done.out;
    };
    EXPECT_THAT(refused(policy("p", "{tier: none}")), HasSubstr("tier none does not exist"));
    EXPECT_THAT(refused(head + "ClusterInformation\nmetadata: {name: default}\n"),
                HasSubstr("read-only"));
    EXPECT_THAT(refused(head + "NetworkPolicy\nmetadata: {name: knp.default.x}\n"),
                HasSubstr("Kubernetes"));
    EXPECT_THAT(refused(head + "Profile\nmetadata: {name: projectcalico-default-allow}\n"),
                HasSubstr("built in"));
    ASSERT_EQ(with_file("apply", head + "IPPool\nmetadata: {name: a}\nspec: {cidr: 10.0.0.0/16}\n")
                  .exit_code,
              0);
    EXPECT_THAT(refused(head + "IPPool\nmetadata: {name: b}\nspec: {cidr: 10.0.8.0/24}\n"),
                HasSubstr("overlaps"));
    EXPECT_THAT(refused(head + "IPPool\nmetadata: {name: a}\nspec: {cidr: 10.1.0.0/16}\n"),
                HasSubstr("cannot be changed"));
    EXPECT_THAT(refused(head + "IPPool\nmetadata: {name: c}\nspec: {cidr: 10.2.0.0/28}\n"),
                HasSubstr("larger"));
    ASSERT_EQ(with_file("apply", policy("p", "{}")).exit_code, 0);
    EXPECT_THAT(client({"delete", "Tier", "default"}).out, HasSubstr("built in"));
}

TEST_F(CalicoClientTest, stale_resource_version_is_a_conflict)
{
    ASSERT_EQ(with_file("apply", policy("p", "{}")).exit_code, 0);
    const auto revision = (*kv->get(kResources + "globalnetworkpolicies/p"))->mod_revision;
    const auto versioned = [&](std::int64_t r) {
        return "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p, "
               "resourceVersion: \"" +
               std::to_string(r) + "\"}, spec: {order: 3}}";
    };
    EXPECT_THAT(with_file("apply", versioned(revision - 1)).out, HasSubstr("update conflict"));
    EXPECT_EQ(with_file("apply", versioned(revision)).exit_code, 0);
    EXPECT_EQ(stored("globalnetworkpolicies/p").at("spec").at("order"), 3);
}

TEST_F(CalicoClientTest, foreign_version_in_the_cluster_stops_every_command)
{
    etcd.put(
        kResources + "clusterinformations/default",
        R"({"kind":"ClusterInformation","metadata":{"name":"default"},"spec":{"calicoVersion":"margay-0.1"}})");
    EXPECT_THAT(client({"get", "nodes"}).out, HasSubstr("version mismatch"));
}

} // namespace
} // namespace margay::testing
