// SPDX-License-Identifier: Apache-2.0
// Hostile: a speaker of ours and a raw peer before it, whose octets are the test's own.

#pragma once

#include "support/bgp/raw_peer.h"

#include <optional>
#include <vector>

namespace margay::bgp::lab {

constexpr std::uint16_t kOurPort4 = 1790;
constexpr int kOurHost = 1, kRawHost = 3;
constexpr Asn kRawAs{65001};

inline Bytes together(std::initializer_list<Bytes> parts)
{
    Bytes all;
    for (const Bytes& part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

// A message with any length and type in its header, true or not.
inline Bytes raw_message(std::size_t length, std::uint8_t type, const Bytes& body = {})
{
    Bytes bytes(16, 0xff);
    ByteWriter writer(bytes);
    writer.u16(static_cast<std::uint16_t>(length));
    writer.u8(type);
    writer.bytes(body);
    return bytes;
}
inline Bytes whole_message(std::uint8_t type, const Bytes& body = {})
{
    return raw_message(kHeaderSize + body.size(), type, body);
}

inline Bytes update_message(const Bytes& withdrawn, const Bytes& attributes, const Bytes& nlri)
{
    Bytes body;
    ByteWriter writer(body);
    writer.u16(static_cast<std::uint16_t>(withdrawn.size()));
    writer.bytes(withdrawn);
    writer.u16(static_cast<std::uint16_t>(attributes.size()));
    writer.bytes(attributes);
    writer.bytes(nlri);
    return whole_message(2, body);
}

// What a speaker has for the raw peer when nothing else is said: it waits.
inline PeerConfig hostile_peer(Asn as = kRawAs)
{
    PeerConfig peer = peer_config(kOurHost, kRawHost, kOurPort4);
    peer.remote_as = as;
    peer.passive = true;
    return peer;
}

struct Hostile {
    Executor executor;
    Node node{executor, kOurHost, kOurPort4};
    std::optional<RawPeer> raw;
    std::optional<Notify> told; // the NOTIFICATION that came
    std::vector<RawMessage> heard; // everything
    std::size_t updates = 0, keepalives = 0;
    std::size_t begins = 0, ends_of_refresh = 0; // RFC 7313

    explicit Hostile(Asn as = kRawAs) : Hostile(hostile_peer(as)) {}
    explicit Hostile(const PeerConfig& peer)
    {
        node.speaker().set_peers({peer});
        raw.emplace(executor, kRawHost, kOurHost, kOurPort4);
    }
    bool until(const std::function<bool()>& done)
    {
        return run_until(executor, [&] {
            listen();
            return done();
        });
    }
    void listen()
    {
        for (const RawMessage& message : raw->messages()) {
            heard.push_back(message);
            updates += message.type == MessageType::Update;
            keepalives += message.type == MessageType::Keepalive;
            begins += message.type == MessageType::RouteRefresh && message.body[2] == 1;
            ends_of_refresh += message.type == MessageType::RouteRefresh && message.body[2] == 2;
            if (message.type == MessageType::Notification)
                told = decode_notification(message.body);
        }
    }
    bool ends()
    {
        return until([&] { return raw->ended(); });
    }
    bool comes_to(State state)
    {
        return until([&] { return node.peer().state == state; });
    }
};

} // namespace margay::bgp::lab
