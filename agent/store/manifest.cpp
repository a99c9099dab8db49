// SPDX-License-Identifier: Apache-2.0
#include "agent/store/manifest.h"

#include <boost/json.hpp>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "agent/store/invalid.h"
#include "agent/store/manifest_defaults.h"
#include "agent/store/yaml_json.h"

namespace margay::store {
namespace {

namespace json = boost::json;

constexpr std::string_view kApiVersion = "projectcalico.org/v3";
constexpr std::string_view kResources = "/calico/resources/v3/projectcalico.org/";

constexpr std::array kKinds{
    KindInfo{"BGPConfiguration", "bgpconfigurations"},
    KindInfo{"BGPFilter", "bgpfilters"},
    KindInfo{"BGPPeer", "bgppeers"},
    KindInfo{"BlockAffinity", "blockaffinities"},
    KindInfo{"CalicoNodeStatus", "caliconodestatuses"},
    KindInfo{"ClusterInformation", "clusterinformations"},
    KindInfo{"FelixConfiguration", "felixconfigurations"},
    KindInfo{"GlobalNetworkPolicy", "globalnetworkpolicies"},
    KindInfo{"GlobalNetworkSet", "globalnetworksets"},
    KindInfo{"HostEndpoint", "hostendpoints"},
    KindInfo{"IPAMConfig", "ipamconfigs"},
    KindInfo{"IPAMConfiguration", "ipamconfigurations"},
    KindInfo{"IPPool", "ippools"},
    KindInfo{"IPReservation", "ipreservations"},
    KindInfo{"KubeControllersConfiguration", "kubecontrollersconfigurations"},
    KindInfo{"LiveMigration", "livemigrations", true},
    KindInfo{"NetworkPolicy", "networkpolicies", true},
    KindInfo{"NetworkSet", "networksets", true},
    KindInfo{"Node", "nodes"},
    KindInfo{"Profile", "profiles"},
    KindInfo{"StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies"},
    KindInfo{"StagedKubernetesNetworkPolicy", "stagedkubernetesnetworkpolicies", true},
    KindInfo{"StagedNetworkPolicy", "stagednetworkpolicies", true},
    KindInfo{"Tier", "tiers"},
    KindInfo{"WorkloadEndpoint", "workloadendpoints", true},
};

std::string lower(std::string_view text)
{
    std::string out(text);
    for (char& c : out)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

// A DNS-1123 subdomain: labels of lower-case letters, digits and inner '-', joined by '.'.
bool is_name(std::string_view name)
{
    if (name.empty() || name.size() > 253)
        return false;
    const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    for (std::size_t i = 0; i < name.size(); i++) {
        const bool edge =
            i == 0 || i + 1 == name.size() || name[i - 1] == '.' || name[i + 1] == '.';
        if (!alnum(name[i]) && (edge || (name[i] != '-' && name[i] != '.')))
            return false;
    }
    return true;
}

std::string text_field(const json::object& object, std::string_view field)
{
    const auto* value = object.if_contains(field);
    const auto* text = value ? value->if_string() : nullptr;
    return text ? std::string(*text) : std::string();
}

// Sees to it that there is an object below `field`, also where it is absent or null. No reference
// into `object` survives this: operator[] may move all members, even for a key that is there.
Status make_object(json::object& object, std::string_view field)
{
    json::value& value = object[field];
    if (value.is_null())
        value.emplace_object();
    return value.is_object() ? Status{} : Status{invalid(std::string(field) + " is no object")};
}

Status take_identity(Document& doc, json::object& metadata)
{
    doc.name = text_field(metadata, "name");
    doc.ns = text_field(metadata, "namespace");
    doc.resource_version = text_field(metadata, "resourceVersion");
    if (!is_name(doc.name))
        return invalid("metadata.name \"" + doc.name +
                       "\": use lower-case letters, digits, '-' and '.', as in a DNS name");
    if (!doc.kind->namespaced && !doc.ns.empty())
        return invalid(std::string(doc.kind->kind) +
                       " has no namespace: remove metadata.namespace");
    if (doc.kind->namespaced && doc.ns.empty())
        doc.ns = "default";
    if (doc.kind->namespaced && !is_name(doc.ns))
        return invalid("metadata.namespace \"" + doc.ns + "\" is no DNS name");
    return {};
}

void stamp_metadata(const Document& doc, json::object& metadata, const StampFor& stamp_for)
{
    metadata.erase("resourceVersion");
    metadata.erase("selfLink");
    for (const char* field : {"labels", "annotations"})
        if (const auto* value = metadata.if_contains(field); value && value->is_null())
            metadata.erase(field);
    if (!doc.ns.empty())
        metadata["namespace"] = doc.ns;
    const Stamp stamp = stamp_for(doc.key);
    if (text_field(metadata, "uid").empty())
        metadata["uid"] = stamp.uid;
    if (text_field(metadata, "creationTimestamp").empty())
        metadata["creationTimestamp"] = stamp.creation_timestamp;
}

Result<Document> to_document(json::object& object, const StampFor& stamp_for)
{
    Document doc;
    const std::string kind = text_field(object, "kind");
    const std::string version = text_field(object, "apiVersion");
    doc.kind = find_kind(kind);
    if (!doc.kind || doc.kind->kind != kind)
        return invalid(kind.empty() ? "no kind" : "unknown kind \"" + kind + "\"");
    if (version != kApiVersion)
        return invalid("apiVersion \"" + version + "\": only " + std::string(kApiVersion) +
                       " is known");
    for (const char* field : {"metadata", "spec"})
        if (auto made = make_object(object, field); !made)
            return made.error();
    json::object& metadata = object.at("metadata").get_object();
    json::object& spec = object.at("spec").get_object();
    for (const char* map : {"labels", "annotations"}) // text to text, checked before it is read
        if (const auto* value = metadata.if_contains(map);
            value && !value->is_object() && !value->is_null())
            return invalid(std::string("metadata.") + map + " is no object");
    if (auto ok = name_by_spec(kind, metadata, spec); !ok)
        return ok.error();
    if (auto ok = take_identity(doc, metadata); !ok)
        return ok.error();
    doc.key = resource_key(*doc.kind, doc.ns, doc.name);
    stamp_metadata(doc, metadata, stamp_for);
    if (auto ok = add_defaults(kind, metadata, spec); !ok)
        return ok.error();
    json::object stored{{"kind", kind}, {"apiVersion", version}};
    stored["metadata"] = std::move(metadata);
    stored["spec"] = std::move(spec);
    if (auto* status = object.if_contains("status"); status && status->is_object())
        stored["status"] = std::move(*status);
    doc.json = json::serialize(stored);
    return doc;
}

class Reader {
public:
    Reader(std::string_view source, const StampFor& stamp_for)
        : source_(source), stamp_for_(stamp_for)
    {
    }

    Manifests read(std::string_view text)
    {
        std::vector<YAML::Node> nodes;
        try { // yaml-cpp reports by exceptions; they end here
            nodes = YAML::LoadAll(std::string(text));
            for (std::size_t i = 0; i < nodes.size(); i++)
                document(nodes[i], std::string(source_) + ", document " + std::to_string(i + 1));
        } catch (const YAML::Exception& e) {
            problem(std::string(source_), e.what());
        }
        return std::move(out_);
    }

private:
    void problem(std::string source, std::string reason)
    {
        out_.problems.push_back({std::move(source), std::move(reason)});
    }

    void document(const YAML::Node& node, const std::string& where)
    {
        if (!node.IsDefined() || node.IsNull())
            return;
        auto value = to_json(node);
        if (!value)
            return problem(where, value.error().what);
        if (!value->is_object())
            return problem(where, "no object with kind, metadata and spec");
        auto* items = value->get_object().if_contains("items");
        if (!items)
            return object(value->get_object(), where);
        if (!items->is_array())
            return problem(where, "items is no list");
        for (std::size_t i = 0; i < items->get_array().size(); i++) {
            auto& item = items->get_array()[i];
            const std::string item_where = where + ", item " + std::to_string(i + 1);
            if (item.is_object())
                object(item.get_object(), item_where);
            else
                problem(item_where, "no object");
        }
    }

    void object(json::object& fields, const std::string& where)
    {
        auto doc = to_document(fields, stamp_for_);
        if (doc)
            out_.documents.push_back(std::move(*doc));
        else
            problem(where, doc.error().what);
    }

    std::string_view source_;
    const StampFor& stamp_for_;
    Manifests out_;
};

std::uint64_t fnv1a(std::string_view text, std::uint64_t hash)
{
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return hash;
}

} // namespace

const KindInfo* find_kind(std::string_view name)
{
    const std::string wanted = lower(name);
    for (const KindInfo& info : kKinds)
        if (wanted == lower(info.kind) || wanted == info.plural)
            return &info;
    return nullptr;
}

std::string resource_prefix(const KindInfo& kind)
{
    return std::string(kResources) + std::string(kind.plural) + "/";
}

std::string resource_key(const KindInfo& kind, std::string_view ns, std::string_view name)
{
    std::string key = resource_prefix(kind);
    if (kind.namespaced)
        key.append(ns).append("/");
    return key.append(name);
}

Manifests parse_manifests(std::string_view text, std::string_view source, const StampFor& stamp)
{
    return Reader(source, stamp).read(text);
}

Result<std::string> merge_stored(std::string_view stored, std::string_view wanted)
{
    boost::system::error_code error;
    json::value old_value = json::parse({stored.data(), stored.size()}, error);
    if (error || !old_value.is_object())
        return invalid("the stored value is no JSON object");
    json::value new_value = json::parse({wanted.data(), wanted.size()}, error);
    if (error || !new_value.is_object())
        return invalid("the wanted value is no JSON object");
    for (json::value* value : {&old_value, &new_value})
        if (auto made = make_object(value->get_object(), "metadata"); !made)
            return made.error();
    json::object& kept = old_value.at("metadata").get_object();
    json::object& metadata = new_value.at("metadata").get_object();
    for (const char* field : {"labels", "annotations"}) {
        kept.erase(field);
        if (auto* value = metadata.if_contains(field))
            kept[field] = std::move(*value);
    }
    metadata = std::move(kept);
    return json::serialize(new_value);
}

std::string uid_of_key(std::string_view key)
{
    const std::uint64_t a = fnv1a(key, 0xcbf29ce484222325ULL);
    const std::uint64_t b = fnv1a(key, 0x84222325cbf29ce4ULL);
    char text[40];
    std::snprintf(text, sizeof(text), "%08x-%04x-8%03x-8%03x-%012llx",
                  static_cast<unsigned>(a >> 32), static_cast<unsigned>(a >> 16 & 0xffff),
                  static_cast<unsigned>(a & 0xfff), static_cast<unsigned>(b >> 48 & 0xfff),
                  static_cast<unsigned long long>(b & 0xffffffffffffULL));
    return text;
}

} // namespace margay::store
