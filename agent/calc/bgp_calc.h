// SPDX-License-Identifier: Apache-2.0
// BgpCalc: this node's BGP parameters and the sessions of the full node mesh.

#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

class BgpCalc {
public:
    explicit BgpCalc(std::string own_node) : own_(std::move(own_node)) {}

    // nullptr: it is gone.
    void set_node(const std::string& name, const model::Node* node);
    void set_configuration(const std::string& name, const model::BgpConfiguration* configuration);

    void take_changes(model::Changes& into);
    bool dirty() const { return dirty_; }

private:
    const model::BgpConfiguration* configuration(const std::string& name) const;
    std::uint16_t listen_port_of(const std::string& node) const;
    model::LocalBgp local() const;
    std::map<std::string, model::MeshPeer> mesh(const model::LocalBgp& local) const;

    std::string own_;
    std::map<std::string, model::Node> nodes_;
    std::map<std::string, model::BgpConfiguration> configurations_;
    bool dirty_ = true;
    std::optional<model::LocalBgp> local_published_;
    std::map<std::string, model::MeshPeer> mesh_published_;
};

} // namespace margay::calc
