// SPDX-License-Identifier: Apache-2.0
// margay-pod: the datastore half of a CNI plugin, for pods without Kubernetes.
#include "agent/cni/pod.h"
#include "agent/config/config.h"
#include "agent/startup/datastore.h"
#include "agent/startup/startup.h"
#include "agent/store/store.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include <iostream>

namespace margay::cni {
namespace {

constexpr const char* kDescription =
    "margay-pod stands in for a CNI plugin's work in the datastore: it assigns a pod's address,\n"
    "makes its profile and its WorkloadEndpoint, and prints what the pod's interface needs.\n"
    "It creates no interface; deploy/pod.sh does that with it. The datastore is found by the\n"
    "environment of margayd (ETCD_ENDPOINTS, ...).";

struct Wanted {
    Pod pod;
    std::vector<std::string> labels;
    std::vector<std::string> ports;
    bool keep_address = false;
    bool remove = false;
};

void describe_common(CLI::App& command, Wanted& wanted)
{
    command.add_option("--node", wanted.pod.node,
                       "node of the pod; unset: NODENAME, the nodename file, the host name");
    command.add_option("--container-id", wanted.pod.container_id,
                       "id of the container; unset: a hash of namespace and pod");
    command.add_option("--pod", wanted.pod.name, "name of the pod")->required();
    command.add_option("--namespace", wanted.pod.ns, "namespace of the pod (default)");
    command.add_option("--network", wanted.pod.network,
                       "network: prefix of the handle, name of the default profile (margay)");
    command.add_option("--endpoint", wanted.pod.endpoint, "interface inside the pod (eth0)");
}

void describe(CLI::App& app, Wanted& wanted)
{
    app.set_version_flag("--version", "margay-pod " MARGAY_VERSION);
    app.require_subcommand(1, 1);
    CLI::App* add = app.add_subcommand("add", "attach a pod; prints JSON: ip, interface, mac, wep");
    describe_common(*add, wanted);
    add->add_option("--label", wanted.labels, "label k=v of the endpoint; may be repeated");
    add->add_option("--profile", wanted.pod.profiles,
                    "profile in place of the network's; must exist, else traffic is denied");
    add->add_option("--port", wanted.ports, "named port name:proto:port; may be repeated");
    add->add_option("--pool", wanted.pod.pools, "pool (name or CIDR); may be repeated");
    add->add_option("--interface", wanted.pod.interface,
                    "host side; unset: interface prefix and 11 characters of the container id");
    add->add_option("--mac", wanted.pod.mac, "of the pod's side; unset: random");
    CLI::App* del = app.add_subcommand("del", "detach a pod; nothing to detach is success");
    describe_common(*del, wanted);
    del->add_flag("--keep-address", wanted.keep_address,
                  "remove the endpoint only; call del again when the interface is gone");
    del->callback([&wanted] { wanted.remove = true; });
}

Status read_labels(Wanted& wanted)
{
    for (const std::string& label : wanted.labels) {
        const auto equals = label.find('=');
        if (equals == 0 || equals == std::string::npos)
            return Error{Errc::Invalid, 0,
                         "--label: \"" + label + "\" is refused; allowed: key=value"};
        wanted.pod.labels.emplace_back(label.substr(0, equals), label.substr(equals + 1));
    }
    for (const std::string& text : wanted.ports) {
        auto port = parse_port(text);
        if (!port)
            return port.error();
        wanted.pod.ports.push_back(std::move(*port));
    }
    return {};
}

Status execute(Wanted& wanted, const config::Config& config)
{
    if (Status ok = read_labels(wanted); !ok)
        return ok;
    if (wanted.pod.node.empty()) {
        const auto node = startup::current_node_name(config);
        if (!node)
            return node.error();
        wanted.pod.node = *node;
    }
    wanted.pod.interface_prefix = config.interface_prefixes.front();
    const auto pod = complete(wanted.pod);
    if (!pod)
        return pod.error();
    const auto kv = store::make_kv(startup::store_config(config));
    if (!kv)
        return kv.error();
    const SystemClock clock;
    if (wanted.remove)
        return del(**kv, *pod, clock, wanted.keep_address ? Keep::Address : Keep::Nothing);
    const auto attached = add(**kv, *pod, clock);
    if (!attached)
        return attached.error();
    const boost::json::object result{
        {"ip", attached->address.str()}, {"interface", attached->interface},
        {"mac", attached->mac},          {"wep", attached->endpoint},
        {"namespace", pod->ns},          {"containerID", attached->container_id}};
    std::cout << boost::json::serialize(result) << "\n";
    return {};
}

int run(int argc, const char* const* argv, const char* const* environment)
{
    CLI::App app{kDescription, "margay-pod"};
    Wanted wanted;
    describe(app, wanted);
    try { // CLI11 reports by exceptions; they end here
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    config::Inputs inputs;
    inputs.environment = config::environment_values(environment);
    const auto config = config::resolve(inputs);
    const Status done = config ? execute(wanted, *config) : Status(config.error());
    if (done)
        return 0;
    std::cerr << "margay-pod: " << done.error().what << "\n";
    return done.error().code == Errc::Invalid ? 2 : 1;
}

} // namespace
} // namespace margay::cni

int main(int argc, char** argv, char** environment)
{
    return margay::cni::run(argc, argv, environment);
}
