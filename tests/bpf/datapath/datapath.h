// SPDX-License-Identifier: Apache-2.0
// The whole data path in a test: all objects loaded over one set of maps, in a network namespace
// of the process's own, run by BPF_PROG_TEST_RUN. Nothing is attached and nothing is pinned.
//
// The world (see Datapath's constants): this node 10.0.0.1 with pods a and b, node 2 behind the
// tunnel with pod c, node 3 on the same link without tunnel with pod d, and an outside.

#pragma once

#include "maps/config.h"
#include "maps/endpoints.h"
#include "maps/flows.h"
#include "maps/policy.h"
#include "maps/routes.h"
#include "maps/stages.h"
#include "maps/stats.h"

#include "margay/fd.h"
#include "support/packet.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace margay::testing {

// TC_ACT_*, as a test reads them.
inline constexpr int kOk = 0, kShot = 2, kRedirect = 7, kUnspec = -1;

struct Outcome {
    int verdict = 0;
    Bytes frame;
    std::uint32_t mark = 0;

    Bytes packet() const { return slice(frame, kEthernet); }
};

struct RunOptions {
    std::uint32_t ingress_ifindex = 0;
    std::uint32_t mark = 0;
    std::uint32_t gso_size = 0;
    std::optional<Mac> dst = std::nullopt; // link-layer destination; the interface's own if absent
    std::uint16_t ethertype = 0x0800;
    const char* xdp_note_from = nullptr; // as if XDP had taken off an outer header from there
};

class Datapath : public ::testing::Test {
protected:
    static constexpr const char *kNode = "10.0.0.1", *kNode2 = "10.0.0.2", *kNode3 = "10.0.0.3";
    static constexpr const char* kTunnel = "192.168.1.1"; // this node's tunnel address
    static constexpr const char *kA = "192.168.1.10", *kB = "192.168.1.11";
    static constexpr const char *kC = "192.168.2.20", *kD = "192.168.3.30";
    static constexpr const char* kOutside = "8.8.8.8";
    static constexpr std::uint32_t kSlotA = 5, kSlotB = 6, kPath2 = 9, kPath3 = 10;
    static constexpr std::uint32_t kNodeSlot2 = 2, kNodeSlot3 = 3;
    // Policy slots of a and b; each starts as "allow".
    static constexpr std::uint32_t kEgressA = 11, kIngressA = 12, kEgressB = 13, kIngressB = 14;
    static constexpr std::uint32_t kMtu = 1480;
    static constexpr Mac kMacA{0x0a, 0, 0, 0, 0, 1}, kMacB{0x0a, 0, 0, 0, 0, 2};
    static constexpr Mac kHostMac{0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
    static constexpr Mac kNextHopMac{0x0c, 0, 0, 0, 0, 2}, kUplinkMac{0x0c, 0, 0, 0, 0, 1};

    static void SetUpTestSuite();
    void SetUp() override;

    // Hooks. `packet` begins with the IP header.
    Outcome from_a(const Bytes& packet, const RunOptions& options = {});
    Outcome from_b(const Bytes& packet, const RunOptions& options = {});
    Outcome to_a(const Bytes& packet, const RunOptions& options = {});
    Outcome to_b(const Bytes& packet, const RunOptions& options = {});
    Outcome from_uplink(const Bytes& packet, const RunOptions& options = {});
    Outcome from_node2(const Bytes& inner); // in the tunnel
    Outcome to_uplink(const Bytes& packet, const RunOptions& options = {});
    Outcome run(const std::string& program, std::uint32_t ifindex, const Bytes& packet,
                const RunOptions& options = {});
    std::uint32_t collect(); // all shards; returns the time in jiffies

    // Maps.
    template <typename K, typename V>
    void put(const char* map, const K& key, const V& value)
    {
        write(map, &key, &value);
    }
    template <typename V, typename K>
    std::optional<V> get(const char* map, const K& key)
    {
        V value{};
        return read(map, &key, &value) ? std::optional<V>(value) : std::nullopt;
    }
    void write(const char* map, const void* key, const void* value);
    bool read(const char* map, const void* key, void* value);
    void empty(const char* map); // every element deleted, or zeroed in arrays
    void set_policy(std::uint32_t slot, const char* program); // "allow", "deny", "port80", ...
    void clear_policy(std::uint32_t slot);
    void route(const char* prefix, struct route value);
    void change_endpoint(std::uint32_t slot, auto change)
    {
        auto endpoint = *get<struct endpoint>("endpoints", slot);
        change(endpoint);
        put("endpoints", slot, endpoint);
    }
    void change_config(auto change)
    {
        const std::uint32_t zero = 0;
        auto config = *get<struct config>("config", zero);
        change(config);
        put("config", zero, config);
        for (const auto slot : {kSlotA, kSlotB}) // as the agent
            bump(slot);
    }
    void change_path(std::uint32_t slot, auto change)
    {
        auto path = *get<struct path>("paths", slot);
        change(path);
        put("paths", slot, path);
    }
    void bump(std::uint32_t slot)
    {
        change_endpoint(slot, [](auto& endpoint) { endpoint.generation++; });
    }
    judgement judged(std::uint32_t policy_slot); // what the policy was last asked
    void forget_judged(std::uint32_t policy_slot);
    bool was_judged(std::uint32_t policy_slot);

    struct Entry {
        flow_key key{};
        struct flow flow{};
    };
    std::vector<Entry> flows();
    std::optional<Entry> only_flow(); // fails unless there is exactly one
    std::uint32_t flow_count(std::uint32_t slot);

    std::uint64_t count(reason which);
    std::vector<event> events(); // those since the last call
    // The packet was dropped for this reason, counted once, and reported.
    void expect_drop(const Outcome& run, reason which);

    // An established TCP flow between a and c (or b): SYN, SYN+ACK and ACK have passed.
    void establish_a_c();
    void establish_a_b();
    // A packet of the flow between a and c.
    Outcome a_to_c(std::uint8_t flags = kAck)
    {
        return from_a(tcp_packet(kA, 1000, kC, 80, flags));
    }
    Outcome c_to_a(std::uint8_t flags = kAck)
    {
        return from_node2(tcp_packet(kC, 80, kA, 1000, flags));
    }

    std::uint32_t if_a_ = 0, if_b_ = 0, if_up_ = 0;
    // Loaded once for the process: the kernel takes long to take maps of this size down.
    static inline std::map<std::string, int> maps_;
    static inline std::map<std::string, int> programs_;
    static inline std::uint32_t flows_max_ = 256; // small, so that a test can fill it
    static inline std::vector<std::string> extra_objects_{}; // more programs, by path
    static Mac mac_of(std::uint32_t ifindex);

private:
    static void load(const std::string& path);
    void reset();
    void build_world();
};

flow_dir direction(const struct flow& flow, bool from_initiator);
inline std::uint32_t verb_of(const flow_dir& way)
{
    return way.action & FLOW_VERB;
}
inline std::uint32_t out_of(const flow_dir& way)
{
    return way.action >> FLOW_OUT_SHIFT;
}

} // namespace margay::testing
