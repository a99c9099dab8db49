// SPDX-License-Identifier: Apache-2.0
// A node that starts on an empty datastore.

#pragma once

#include "agent/startup/edit.h"
#include "agent/startup/startup.h"
#include "unit/ipam/world.h"

namespace margay::startup {

struct StartupTest : ::testing::Test {
    ipam::World world;
    testing::FakeKv kv{world.table};
    config::Values environment{{"CALICO_IPV4POOL_CIDR", "10.244.0.0/16"},
                               {"CALICO_IPV4POOL_IPIP", "Always"},
                               {"CLUSTER_TYPE", "demo"}};
    Surroundings host{{*Prefix4::parse("192.0.2.11/24")},
                      Prefix4::parse("192.0.2.11/24"),
                      "first global address of eth0"};

    config::Config config() const
    {
        auto config =
            config::resolve({.flags = {}, .environment = environment, .file = {}, .file_name = ""});
        if (!config)
            throw std::runtime_error(config.error().what);
        return *config;
    }
    Result<NodeState> start() { return prepare(kv, config(), "n1", host, world.clock); }
    Result<NodeState> mend(std::optional<Ipv4> held = {})
    {
        return repair(kv, config(), "n1", host, world.clock, held);
    }
    boost::json::object stored(const std::string& plural, const std::string& name) const
    {
        const auto it = world.table->entries.find(resource_key(plural, name));
        return it == world.table->entries.end() ? boost::json::object()
                                                : boost::json::parse(it->second.value).get_object();
    }
    boost::json::object spec(const std::string& plural, const std::string& name) const
    {
        auto object = stored(plural, name);
        return object.empty() ? object : object.at("spec").get_object();
    }
    std::string bgp(const std::string& field) const
    {
        auto node = spec("nodes", "n1");
        return text(member(node, "bgp"), field);
    }
    void put(const std::string& plural, const std::string& name, const std::string& json)
    {
        world.table->write(resource_key(plural, name), json);
    }
    void put_node(const std::string& name, const std::string& spec)
    {
        put("nodes", name,
            R"({"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":")" + name +
                R"(","labels":{"rack":"a"}},"spec":)" + spec + "}");
    }
};

} // namespace margay::startup
