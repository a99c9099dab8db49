// SPDX-License-Identifier: Apache-2.0
#include "agent/store/manifest.h"

#include <boost/json.hpp>
#include <gmock/gmock.h>

namespace margay::testing {
namespace {

using namespace store;
using ::testing::HasSubstr;
namespace json = boost::json;

Manifests parse(std::string_view text)
{
    return parse_manifests(
        text, "x.yaml", [](std::string_view) { return Stamp{"the-uid", "2026-01-02T03:04:05Z"}; });
}

// The one document of a text that must be fine.
Document one(std::string_view text)
{
    auto read = parse(text);
    for (const auto& p : read.problems)
        ADD_FAILURE() << p.source << ": " << p.reason;
    EXPECT_EQ(read.documents.size(), 1u);
    return read.documents.empty() ? Document{} : read.documents.front();
}

std::string reason(std::string_view text)
{
    auto read = parse(text);
    EXPECT_TRUE(read.documents.empty());
    return read.problems.empty() ? "no problem" : read.problems.front().reason;
}

TEST(ManifestTest, pool_gets_its_key_its_stamp_and_the_defaults_of_a_write)
{
    const auto doc = one(R"(
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: blue, labels: {rack: 12}, resourceVersion: "77", selfLink: x}
spec: {cidr: 10.20.0.0/16, ipipMode: Always, natOutgoing: true}
)");
    EXPECT_EQ(doc.key, "/calico/resources/v3/projectcalico.org/ippools/blue");
    EXPECT_EQ(doc.resource_version, "77");
    EXPECT_EQ(json::parse(doc.json), json::parse(R"j({
"kind":"IPPool","apiVersion":"projectcalico.org/v3",
"metadata":{"name":"blue","labels":{"rack":"12"},"uid":"the-uid","creationTimestamp":"2026-01-02T03:04:05Z"},
"spec":{"cidr":"10.20.0.0/16","ipipMode":"Always","natOutgoing":true,"vxlanMode":"Never","blockSize":26,
"nodeSelector":"all()","allowedUses":["Workload","Tunnel"],"assignmentMode":"Automatic"}})j"));
}

TEST(ManifestTest, a_document_may_lack_its_spec)
{
    // As few and as many fields as make the insertion of "spec" move the others.
    std::string more;
    for (int fields = 0; fields < 12; fields++) {
        const auto doc = one(R"({"apiVersion":"projectcalico.org/v3","kind":"Tier",)" + more +
                             R"("metadata":{"name":"three"}})");
        EXPECT_EQ(json::parse(doc.json).at("metadata").at("name"), "three");
        EXPECT_TRUE(json::parse(doc.json).at("spec").is_object());
        more += "\"f" + std::to_string(fields) + "\":1,";
    }
}

TEST(ManifestTest, ipv6_pool_has_blocks_of_122)
{
    const auto doc = one("{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: six}, "
                         "spec: {cidr: 'fd00::/48'}}");
    EXPECT_EQ(json::parse(doc.json).at("spec").at("blockSize").as_int64(), 122);
}

TEST(ManifestTest, policy_gets_tier_types_label_and_the_annotation_with_its_name)
{
    const auto doc = one(R"(
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: allow-web, namespace: shop}
spec:
  order: 10.5
  selector: role == 'web'
  egress: [{action: Allow, protocol: TCP, destination: {ports: [80, "8000:8010", metrics]}}]
)");
    EXPECT_EQ(doc.key, "/calico/resources/v3/projectcalico.org/networkpolicies/shop/allow-web");
    const auto v = json::parse(doc.json);
    EXPECT_EQ(v.at("metadata").at("namespace"), "shop");
    EXPECT_EQ(v.at("metadata").at("labels"), (json::object{{"projectcalico.org/tier", "default"}}));
    EXPECT_EQ(v.at("metadata").at("annotations"),
              (json::object{{"projectcalico.org/metadata", R"({"name":"allow-web"})"}}));
    EXPECT_EQ(v.at("spec").at("types"), (json::array{"Egress"}));
    EXPECT_EQ(v.at("spec").at("order").as_double(), 10.5);
    EXPECT_EQ(v.at("spec").at("egress").at(0).at("destination").at("ports"),
              (json::array{80, "8000:8010", "metrics"}));
}

TEST(ManifestTest, policy_types_follow_from_the_rules_unless_given)
{
    const auto types = [](std::string_view spec) {
        const auto doc =
            one("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: "
                "{name: p}, spec: " +
                std::string(spec) + "}");
        return json::serialize(json::parse(doc.json).at("spec").at("types"));
    };
    const std::string rule = "[{action: Deny}]";
    EXPECT_EQ(types("{}"), R"(["Ingress"])");
    EXPECT_EQ(types("{ingress: " + rule + "}"), R"(["Ingress"])");
    EXPECT_EQ(types("{egress: " + rule + "}"), R"(["Egress"])");
    EXPECT_EQ(types("{ingress: " + rule + ", egress: " + rule + "}"), R"(["Ingress","Egress"])");
    EXPECT_EQ(types("{types: [Egress]}"), R"(["Egress"])");
    EXPECT_EQ(types("{egress: []}"), R"(["Ingress"])");
}

TEST(ManifestTest, namespaced_kind_without_namespace_lies_in_default)
{
    const auto doc =
        one("{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: s}}");
    EXPECT_EQ(doc.key, "/calico/resources/v3/projectcalico.org/networksets/default/s");
    EXPECT_EQ(json::parse(doc.json).at("metadata").at("namespace"), "default");
}

TEST(ManifestTest, workload_endpoint_is_named_by_its_spec_and_labelled)
{
    const std::string text = "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: "
                             "{NAME namespace: ns1}, spec: {orchestrator: k8s, node: node-1, "
                             "pod: pod-name, endpoint: eth0}}";
    const auto with = [&](const std::string& name) {
        std::string copy = text;
        return copy.replace(copy.find("NAME"), 4, name);
    };
    EXPECT_EQ(one(with("")).name, "node--1-k8s-pod--name-eth0");
    const auto labels = json::parse(one(with("name: node--1-k8s-pod--name-eth0,")).json)
                            .at("metadata")
                            .at("labels");
    EXPECT_EQ(labels, (json::object{{"projectcalico.org/namespace", "ns1"},
                                    {"projectcalico.org/orchestrator", "k8s"}}));
    EXPECT_THAT(reason(with("name: other,")), HasSubstr("use \"node--1-k8s-pod--name-eth0\""));
}

TEST(ManifestTest, a_wrong_document_is_named_and_the_others_are_read)
{
    const auto read = parse(R"(
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
---
apiVersion: projectcalico.org/v3
kind: Teir
metadata: {name: second}
---
# nothing here
---
kind: TierList
items:
- {apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: third}}
- {apiVersion: v1, kind: Tier, metadata: {name: fourth}}
)");
    ASSERT_EQ(read.documents.size(), 2u);
    EXPECT_EQ(read.documents[0].name, "first");
    EXPECT_EQ(read.documents[1].name, "third");
    ASSERT_EQ(read.problems.size(), 2u);
    EXPECT_EQ(read.problems[0], (Problem{"x.yaml, document 2", "unknown kind \"Teir\""}));
    EXPECT_EQ(read.problems[1].source, "x.yaml, document 4, item 2");
    EXPECT_THAT(read.problems[1].reason, HasSubstr("apiVersion \"v1\""));
}

TEST(ManifestTest, unreadable_yaml_is_one_problem)
{
    const auto read = parse("kind: [unclosed");
    EXPECT_TRUE(read.documents.empty());
    ASSERT_EQ(read.problems.size(), 1u);
    EXPECT_EQ(read.problems[0].source, "x.yaml");
}

TEST(ManifestTest, names_cannot_leave_their_place_in_the_key)
{
    for (const char* name : {"a/b", "..", "A", "-a", "a.", "a..b", ""})
        EXPECT_THAT(reason("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: '" +
                           std::string(name) + "'}}"),
                    HasSubstr("metadata.name"))
            << name;
    EXPECT_EQ(one("{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: 12}}").name,
              "12");
}

TEST(ManifestTest, aliases_of_aliases_do_not_explode)
{
    std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 12; i++) {
        const std::string last = "*a" + std::to_string(i - 1);
        text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
        for (int n = 0; n < 10; n++)
            text += (n ? "," : "") + last;
        text += "]\n";
    }
    EXPECT_THAT(reason(text), HasSubstr("too many values"));
}

TEST(ManifestTest, scalars_have_the_type_yaml_gives_them)
{
    const auto spec =
        json::parse(one("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, "
                        "metadata: {name: default}, spec: {a: 1, b: '1', c: true, d: ~, "
                        "e: 1.5, f: 90s, g: 0x10, h: -3, i: 1.2.3.4, j: on, k: \"on\"}}")
                        .json)
            .at("spec");
    EXPECT_EQ(
        json::serialize(spec),
        R"({"a":1,"b":"1","c":true,"d":null,"e":1.5E0,"f":"90s","g":16,"h":-3,"i":"1.2.3.4","j":true,"k":"on"})");
}

TEST(ManifestTest, merge_keeps_the_identity_and_takes_labels_and_spec)
{
    const auto merged = merge_stored(
        R"({"kind":"Tier","metadata":{"name":"t","uid":"old","creationTimestamp":"then","labels":{"a":"1"},"annotations":{"x":"y"}},"spec":{"order":1}})",
        R"({"kind":"Tier","metadata":{"name":"t","uid":"new","creationTimestamp":"now","labels":{"b":"2"}},"spec":{"order":2}})");
    ASSERT_TRUE(merged);
    EXPECT_EQ(
        json::parse(*merged),
        json::parse(
            R"({"kind":"Tier","metadata":{"name":"t","uid":"old","creationTimestamp":"then","labels":{"b":"2"}},"spec":{"order":2}})"));
    EXPECT_FALSE(merge_stored("not json", "{}"));
}

TEST(ManifestTest, kinds_are_found_by_kind_singular_and_plural)
{
    for (const char* name : {"IPPool", "ippools", "ippool"})
        EXPECT_EQ(find_kind(name)->plural, "ippools");
    EXPECT_EQ(find_kind("pool"), nullptr);
}

TEST(ManifestTest, uid_of_key_is_a_uuid_that_depends_on_the_key_alone)
{
    EXPECT_EQ(uid_of_key("/a"), uid_of_key("/a"));
    EXPECT_NE(uid_of_key("/a"), uid_of_key("/b"));
    EXPECT_THAT(
        uid_of_key("/a"),
        ::testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"));
}

} // namespace
} // namespace margay::testing
