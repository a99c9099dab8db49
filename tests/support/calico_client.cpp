// SPDX-License-Identifier: Apache-2.0
// calico-client: writes and reads etcd as calicoctl does, for the demo and the tests.
//
//   calico-client --endpoints URL[,URL] apply|create|replace|delete -f FILE|-
//   calico-client --endpoints URL get|delete KIND [NAME] [-n NAMESPACE] [-o json|name]
//
// What it has of calicoctl: the check of the cluster's version, EnsureInitialized before writes,
// the values as stored (agent/store/manifest.h), create-or-merge with compare-and-swap, the
// objects that users must not touch, and the references between policies, tiers and pools. What
// it lacks: the validation of every field, and the clean-up of IPAM when a Node is deleted. TLS
// files and the user come from the ETCD_* variables.

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "agent/store/manifest.h"
#include "margay/ip.h"
#include "support/process.h"

namespace margay::testing {
namespace {

namespace json = boost::json;
using namespace store;

constexpr int kTries = 5;
constexpr std::string_view kVersion = "3.33.0"; // whose datastore this is
constexpr std::string_view kClusterInformation =
    "/calico/resources/v3/projectcalico.org/clusterinformations/default";

Error refuse(std::string what)
{
    return {Errc::Invalid, 0, std::move(what)};
}

std::string random_hex(int digits)
{
    static std::random_device source;
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    for (int i = 0; i < digits; i++)
        out += kDigits[source() & 15];
    return out;
}

Stamp new_stamp()
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    char time[32];
    std::strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&now, &utc));
    const std::string uid = random_hex(8) + "-" + random_hex(4) + "-4" + random_hex(3) + "-a" +
                            random_hex(3) + "-" + random_hex(12);
    return {uid, time};
}

json::object spec_of(const std::string& value)
{
    boost::system::error_code error;
    const json::value parsed = json::parse(value, error);
    const auto* object = parsed.if_object();
    const auto* spec = object ? object->if_contains("spec") : nullptr;
    return spec && spec->is_object() ? spec->get_object() : json::object();
}

std::string text(const json::object& object, std::string_view field)
{
    const auto* value = object.if_contains(field);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

// "v3.33.0-0.dev-12" → "3.33.0"
std::string comparable(std::string version)
{
    version.erase(0, version.starts_with('v') ? 1 : 0);
    return version.substr(0, version.find('-'));
}

class Client {
public:
    explicit Client(Kv& kv) : kv_(kv) {}

    Status check_version();
    Status ensure_initialized();
    Status apply(const Document& doc);
    Status create(const Document& doc);
    Status replace(const Document& doc);
    Status remove(const KindInfo& kind, const std::string& ns, const std::string& name);
    Result<std::vector<Entry>> get(const KindInfo& kind, const std::string& ns,
                                   const std::string& name);

private:
    Status ensure(std::string_view kind, const std::string& name, json::object spec);
    Status may_write(const KindInfo& kind, const std::string& name) const;
    Status check_references(const Document& doc);
    Status check_pool(const Document& doc);
    Status check_tier_is_empty(const std::string& tier);
    Result<TxnResult> update_once(const Document& doc, const Entry& stored);

    Kv& kv_;
};

// --- before every command ---

Status Client::check_version()
{
    auto stored = kv_.get(std::string(kClusterInformation));
    if (!stored)
        return stored.error();
    const std::string version = *stored ? text(spec_of((*stored)->value), "calicoVersion") : "";
    if (!version.empty() && comparable(version) != kVersion)
        return refuse("version mismatch: the cluster is " + version + ", this client is " +
                      std::string(kVersion));
    return {};
}

Status Client::ensure(std::string_view kind, const std::string& name, json::object spec)
{
    const KindInfo& info = *find_kind(kind);
    const Stamp stamp = new_stamp();
    const json::object value{
        {"kind", kind},
        {"apiVersion", "projectcalico.org/v3"},
        {"metadata",
         {{"name", name}, {"uid", stamp.uid}, {"creationTimestamp", stamp.creation_timestamp}}},
        {"spec", std::move(spec)}};
    auto made = kv_.create(resource_key(info, "", name), json::serialize(value));
    return made ? Status() : Status(made.error()); // that it exists is fine
}

Status Client::ensure_initialized()
{
    if (auto ok = ensure("ClusterInformation", "default",
                         {{"clusterGUID", random_hex(32)}, {"datastoreReady", true}});
        !ok)
        return ok;
    if (auto ok = ensure("Tier", "kube-admin", {{"order", 1000}, {"defaultAction", "Pass"}}); !ok)
        return ok;
    if (auto ok = ensure("Tier", "default", {{"order", 1000000}, {"defaultAction", "Deny"}}); !ok)
        return ok;
    return ensure("Tier", "kube-baseline", {{"order", 10000000}, {"defaultAction", "Pass"}});
}

// --- what users must not do ---

Status Client::may_write(const KindInfo& kind, const std::string& name) const
{
    if (kind.kind == "ClusterInformation")
        return refuse("ClusterInformation is read-only");
    if (kind.kind == "NetworkPolicy" && name.starts_with("knp.default."))
        return refuse("NetworkPolicy " + name + " belongs to Kubernetes");
    if (kind.kind == "Profile" && name == "projectcalico-default-allow")
        return refuse("Profile " + name + " is built in");
    return {};
}

Status Client::check_pool(const Document& doc)
{
    const json::object spec = spec_of(doc.json);
    const auto mine = Prefix4::parse(text(spec, "cidr"));
    if (text(spec, "ipipMode") != "Never" && text(spec, "vxlanMode") != "Never")
        return refuse("IPPool " + doc.name + ": ipipMode and vxlanMode are both on");
    if (!mine)
        return {};
    if (spec.at("blockSize").is_int64() && spec.at("blockSize").get_int64() < mine->length)
        return refuse("IPPool " + doc.name + ": a block is larger than the pool");
    auto pools = kv_.list(resource_prefix(*doc.kind));
    if (!pools)
        return pools.error();
    for (const Entry& other : *pools) {
        const auto cidr = Prefix4::parse(text(spec_of(other.value), "cidr"));
        if (other.key == doc.key && cidr && cidr->network() != mine->network())
            return refuse("IPPool " + doc.name + ": cidr cannot be changed");
        if (other.key != doc.key && cidr && cidr->overlaps(*mine))
            return refuse("IPPool " + doc.name + " overlaps " + other.key);
    }
    return {};
}

Status Client::check_references(const Document& doc)
{
    if (doc.kind->kind == "IPPool")
        return check_pool(doc);
    if (!doc.kind->kind.ends_with("NetworkPolicy"))
        return {};
    const std::string tier = text(spec_of(doc.json), "tier");
    auto stored = kv_.get(resource_key(*find_kind("Tier"), "", tier));
    if (!stored)
        return stored.error();
    if (!*stored)
        return refuse(doc.name + ": tier " + tier + " does not exist");
    return {};
}

Status Client::check_tier_is_empty(const std::string& tier)
{
    for (const char* kind : {"NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy",
                             "StagedGlobalNetworkPolicy"}) {
        auto policies = kv_.list(resource_prefix(*find_kind(kind)));
        if (!policies)
            return policies.error();
        for (const Entry& policy : *policies)
            if (text(spec_of(policy.value), "tier") == tier)
                return refuse("Tier " + tier + " still holds " + policy.key);
    }
    return {};
}

// --- commands ---

Status Client::create(const Document& doc)
{
    if (!doc.resource_version.empty())
        return refuse(doc.name + ": metadata.resourceVersion must not be set on create");
    if (auto ok = may_write(*doc.kind, doc.name); !ok)
        return ok;
    if (auto ok = check_references(doc); !ok)
        return ok;
    auto made = kv_.create(doc.key, doc.json);
    return made ? made->status("resource already exists: " + doc.key) : Status(made.error());
}

Result<TxnResult> Client::update_once(const Document& doc, const Entry& stored)
{
    auto value = merge_stored(stored.value, doc.json);
    if (!value)
        return value.error();
    const std::int64_t revision = doc.resource_version.empty()
                                      ? stored.mod_revision
                                      : std::strtoll(doc.resource_version.c_str(), nullptr, 10);
    return kv_.update(doc.key, *value, revision);
}

Status Client::replace(const Document& doc)
{
    if (auto ok = may_write(*doc.kind, doc.name); !ok)
        return ok;
    if (auto ok = check_references(doc); !ok)
        return ok;
    for (int i = 0; i < kTries; i++) {
        auto stored = kv_.get(doc.key);
        if (!stored)
            return stored.error();
        if (!*stored)
            return Error{Errc::NotFound, 0, "resource does not exist: " + doc.key};
        auto updated = update_once(doc, **stored);
        if (!updated)
            return updated.error();
        if (updated->refused != Errc::Conflict || !doc.resource_version.empty())
            return updated->status("update conflict: " + doc.key);
    }
    return Error{Errc::Conflict, 0, "update conflict: " + doc.key};
}

Status Client::apply(const Document& doc)
{
    if (!doc.resource_version.empty())
        return replace(doc);
    auto made = create(doc);
    return !made && made.error().code == Errc::Exists ? replace(doc) : made;
}

Status Client::remove(const KindInfo& kind, const std::string& ns, const std::string& name)
{
    if (auto ok = may_write(kind, name); !ok)
        return ok;
    if (kind.kind == "Tier") {
        if (name == "default" || name == "kube-admin" || name == "kube-baseline")
            return refuse("Tier " + name + " is built in");
        if (auto ok = check_tier_is_empty(name); !ok)
            return ok;
    }
    const std::string key = resource_key(kind, ns, name);
    auto removed = kv_.remove(key);
    return removed ? removed->status("resource does not exist: " + key) : Status(removed.error());
}

Result<std::vector<Entry>> Client::get(const KindInfo& kind, const std::string& ns,
                                       const std::string& name)
{
    if (name.empty())
        return kv_.list(resource_prefix(kind));
    auto one = kv_.get(resource_key(kind, ns, name));
    if (!one)
        return one.error();
    if (!*one)
        return Error{Errc::NotFound, 0, "resource does not exist: " + resource_key(kind, ns, name)};
    return std::vector<Entry>{std::move(**one)};
}

// --- command line ---

struct Options {
    StoreConfig store;
    std::string file;
    std::string kind;
    std::string name;
    std::string ns = "default";
    std::string output = "json";
    bool allow_version_mismatch = false;
};

int fail(const Error& error)
{
    std::cerr << "calico-client: " << error.what << "\n";
    return 1;
}

Result<std::vector<Document>> read_documents(const std::string& file)
{
    std::string manifest;
    if (file == "-")
        manifest.assign(std::istreambuf_iterator<char>(std::cin), {});
    else
        manifest = read_file(file);
    const StampFor stamp = [](std::string_view) { return new_stamp(); };
    auto read = parse_manifests(manifest, file == "-" ? "standard input" : file, stamp);
    if (!read.problems.empty())
        return refuse(read.problems[0].source + ": " + read.problems[0].reason);
    if (read.documents.empty())
        return refuse("nothing in " + file);
    return std::move(read.documents);
}

Result<const KindInfo*> kind_of(const Options& options)
{
    const KindInfo* kind = find_kind(options.kind);
    if (!kind)
        return refuse("unknown kind \"" + options.kind + "\"");
    return kind;
}

// Applies `action` to every document of the file.
template <typename Action>
int for_each_document(const Options& options, const char* done, Action action)
{
    auto documents = read_documents(options.file);
    if (!documents)
        return fail(documents.error());
    for (const Document& doc : *documents)
        if (auto ok = action(doc); !ok)
            return fail(ok.error());
    std::cout << "Successfully " << done << " " << documents->size() << " resource(s)\n";
    return 0;
}

int get(Client& client, const Options& options)
{
    auto kind = kind_of(options);
    if (!kind)
        return fail(kind.error());
    auto entries = client.get(**kind, options.ns, options.name);
    if (!entries)
        return fail(entries.error());
    for (const Entry& entry : *entries)
        std::cout << (options.output == "name" ? entry.key.substr(entry.key.rfind('/') + 1)
                                               : entry.value)
                  << "\n";
    return 0;
}

int remove(Client& client, const Options& options)
{
    if (!options.file.empty())
        return for_each_document(options, "deleted", [&](const Document& doc) {
            return client.remove(*doc.kind, doc.ns, doc.name);
        });
    auto kind = kind_of(options);
    if (!kind)
        return fail(kind.error());
    if (options.name.empty())
        return fail(refuse("delete needs a NAME, or -f FILE"));
    if (auto ok = client.remove(**kind, options.ns, options.name); !ok)
        return fail(ok.error());
    std::cout << "Successfully deleted 1 '" << (*kind)->kind << "' resource(s)\n";
    return 0;
}

int dispatch(const std::string& command, const Options& options)
{
    auto kv = make_kv(options.store);
    if (!kv)
        return fail(kv.error());
    Client client(**kv);
    if (!options.allow_version_mismatch)
        if (auto ok = client.check_version(); !ok)
            return fail(ok.error());
    if (command == "get")
        return get(client, options);
    if (command == "delete")
        return remove(client, options);
    if (auto ok = client.ensure_initialized(); !ok)
        return fail(ok.error());
    if (command == "create")
        return for_each_document(options, "created",
                                 [&](const Document& doc) { return client.create(doc); });
    if (command == "replace")
        return for_each_document(options, "replaced",
                                 [&](const Document& doc) { return client.replace(doc); });
    return for_each_document(options, "applied",
                             [&](const Document& doc) { return client.apply(doc); });
}

} // namespace

int calico_client(int argc, char** argv)
{
    Options options;
    CLI::App app("Writes and reads etcd as calicoctl does");
    app.require_subcommand(1);
    app.add_option("--endpoints", options.store.endpoints, "etcd URLs")
        ->delimiter(',')
        ->envname("ETCD_ENDPOINTS");
    app.add_option("--username", options.store.username)->envname("ETCD_USERNAME");
    app.add_option("--password", options.store.password)->envname("ETCD_PASSWORD");
    app.add_option("--ca-file", options.store.ca_file)->envname("ETCD_CA_CERT_FILE");
    app.add_option("--cert-file", options.store.cert_file)->envname("ETCD_CERT_FILE");
    app.add_option("--key-file", options.store.key_file)->envname("ETCD_KEY_FILE");
    app.add_flag("--allow-version-mismatch", options.allow_version_mismatch);
    for (const char* name : {"apply", "create", "replace", "delete", "get"}) {
        CLI::App* command = app.add_subcommand(name);
        const std::string verb = name;
        if (verb != "get")
            command
                ->add_option("-f,--filename", options.file,
                             "YAML or JSON file, - for standard input")
                ->required(verb != "delete");
        if (verb == "get" || verb == "delete") {
            command->add_option("KIND", options.kind)->required(verb == "get");
            command->add_option("NAME", options.name);
            command->add_option("-n,--namespace", options.ns);
        }
        if (verb == "get")
            command->add_option("-o,--output", options.output)
                ->check(CLI::IsMember({"json", "name"}));
    }
    CLI11_PARSE(app, argc, argv);
    return dispatch(app.get_subcommands().front()->get_name(), options);
}

} // namespace margay::testing

int main(int argc, char** argv)
{
    return margay::testing::calico_client(argc, argv);
}
