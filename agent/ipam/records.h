// SPDX-License-Identifier: Apache-2.0
// The smaller IPAM values (affinity, handle, configuration) and the keys of all of them.
//
// A handle is an index into blocks and may count more addresses than there are, never fewer. In
// the configuration a missing field means false or 0; a missing object means the defaults. The
// resource IPAMConfiguration has no part in this.

#pragma once

#include "agent/ipam/block.h"

namespace margay::ipam {

std::string block_key(const Prefix4& cidr);
std::string affinity_key(const std::string& node, const Prefix4& cidr);
std::string handle_key(const std::string& handle);
inline constexpr const char* kConfigKey = "/calico/ipam/v2/config";
inline constexpr const char* kBlockPrefix = "/calico/ipam/v2/assignment/ipv4/block/";
std::string affinity_prefix(const std::string& node);
// The CIDR at the end of a block's or affinity's key.
std::optional<Prefix4> cidr_of_key(std::string_view key);

struct Affinity {
    enum class State { Confirmed, Pending, PendingDeletion };
    State state = State::Confirmed;
    OtherFields other;
};
// An empty value, and one without a state, is confirmed. Any other text is as pending: it
// claims nothing until it is repaired.
Affinity decode_affinity(std::string_view json);
std::string encode_affinity(const Affinity& affinity);

struct Handle {
    std::map<std::string, std::uint64_t> blocks; // CIDR to count
    OtherFields other;
};
Result<Handle> decode_handle(std::string_view json, const std::string& id);
std::string encode_handle(const Handle& handle);

struct IpamConfig {
    bool strict_affinity = false;
    bool auto_allocate_blocks = true;
    std::uint64_t max_blocks_per_host = 0; // 0: no limit of its own
    std::chrono::seconds cooldown{0};
};
Result<IpamConfig> decode_config(std::string_view json);

} // namespace margay::ipam
