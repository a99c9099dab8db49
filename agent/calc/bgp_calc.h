// SPDX-License-Identifier: Apache-2.0
// BgpCalc: this node's BGP parameters, its sessions, and what decides about export.
//
// Sessions are those of the node mesh and of the BGPPeers that name this node, on either side: a
// BGPPeer says who has a session with whom, and both ends find themselves in it. With
// localWorkloadSelector it is workloads of the nodes themselves. Of several that
// lead to one address and port the first counts: global BGPPeers, those of this node, those by which
// others name us as a peer (each by name), the mesh.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

class BgpCalc {
public:
    explicit BgpCalc(std::string own_node) : own_(std::move(own_node)) {}

    // nullptr: it is gone.
    void set_node(const std::string& name, const model::Node* node);
    void set_configuration(const std::string& name, const model::BgpConfiguration* configuration);
    void set_peer(const std::string& name, const model::BgpPeer* peer);
    void set_filter(const std::string& name, const model::BgpFilter* filter);
    void set_pool(const std::string& name, const model::IpPool* pool);
    void set_affinity(const model::ResourceKey& key, const model::BlockAffinity* affinity);
    // Of this node, with the labels that its profiles give it.
    void set_workload(const model::ResourceKey& key, const model::WorkloadEndpoint& endpoint,
                      const model::Labels& labels);
    void remove_workload(const model::ResourceKey& key);

    void take_changes(model::Changes& into);
    bool dirty() const { return dirty_; }

private:
    // One end of a session: a node's address of one family, or an address that is no node's.
    struct End {
        std::string node{};
        Ip address{};
        std::optional<std::uint16_t> port{}; // as it was given; else the node's
        std::uint32_t as_number = 0;
    };
    struct Workload {
        model::Labels labels{};
        Ipv4 address{};
        std::string interface_name{};

        bool operator==(const Workload&) const = default;
    };
    using Sessions = std::map<std::string, model::BgpSession>; // by name
    // Sessions as they are found: the first to an address and port counts.
    class Found {
    public:
        bool has(const Ip& address, std::uint16_t port) const
        {
            return ends_.contains({address, port});
        }
        void add(std::string name, model::BgpSession session)
        {
            if (ends_.emplace(session.address, session.port).second)
                sessions_.emplace(std::move(name), std::move(session));
        }
        Sessions take() { return std::move(sessions_); }

    private:
        Sessions sessions_;
        std::set<std::pair<Ip, std::uint16_t>> ends_;
    };

    template <typename Value>
    void put(std::map<std::string, Value>& table, const std::string& name, const Value* value);
    const model::BgpConfiguration* configuration(const std::string& name) const;
    std::uint16_t listen_port_of(const std::string& node) const;
    std::uint32_t global_as() const;
    const model::Node* own_node() const;
    std::optional<Ip> own_address(bool v4) const;
    std::string node_at(const Ip& address) const;
    model::LocalBgp local() const;
    model::BgpExport exported() const;
    const std::vector<model::PrefixAdvertisement>* advertisements() const;

    Sessions sessions(const model::LocalBgp& local) const;
    void add_peers(const model::LocalBgp& local, bool global, Found& into) const;
    void add_workloads(const model::LocalBgp& local, const model::BgpPeer& peer, Found& into) const;
    void workloads_changed();
    void add_reverse(const model::LocalBgp& local, Found& into) const;
    void add_mesh(const model::LocalBgp& local, Found& into) const;
    bool is_on(const model::BgpPeer& peer, const model::Node& node) const;
    bool names_us(const model::BgpPeer& peer, const model::LocalBgp& local) const;
    std::vector<End> ends_of(const model::BgpPeer& peer) const;
    std::vector<End> ends_on(const model::BgpPeer& peer) const;
    void add_ends(const model::Node& node, std::vector<End>& into) const;
    model::BgpSession session(const model::LocalBgp& local, const model::BgpPeer& peer,
                              const End& end, bool reverse) const;

    std::string own_;
    std::map<std::string, model::Node> nodes_;
    std::map<std::string, model::BgpConfiguration> configurations_;
    std::map<std::string, model::BgpPeer> peers_;
    std::map<std::string, model::BgpFilter> filters_;
    std::map<std::string, model::IpPool> pools_;
    std::map<model::ResourceKey, model::BlockAffinity> affinities_; // own, of both families
    std::map<model::ResourceKey, Workload> workloads_; // with an IPv4 address
    bool dirty_ = true;
    std::optional<model::LocalBgp> local_published_;
    std::optional<model::BgpExport> export_published_;
    Sessions sessions_published_;
    std::map<std::string, model::BgpFilter> filters_published_;
};

} // namespace margay::calc
