// SPDX-License-Identifier: Apache-2.0
// RawPeer: a TCP connection to a speaker that says exactly what it is told to.

#pragma once

#include "bgp/wire/message.h"
#include "support/bgp/lab.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <optional>
#include <vector>

namespace margay::bgp::lab {

struct RawMessage {
    MessageType type = MessageType::Keepalive;
    Bytes body;
};

class RawPeer {
public:
    RawPeer(Executor& executor, int own, int host, std::uint16_t port) : socket_(executor)
    {
        using boost::asio::ip::tcp;
        const auto at = [](int h, std::uint16_t p) {
            return tcp::endpoint(boost::asio::ip::address_v4(lab_address(h).v4().value()), p);
        };
        socket_.open(tcp::v4());
        socket_.bind(at(own, 0));
        socket_.connect(at(host, port));
        socket_.set_option(tcp::no_delay(true));
        socket_.non_blocking(true);
    }
    // A connection that the speaker has opened.
    explicit RawPeer(boost::asio::ip::tcp::socket socket) : socket_(std::move(socket))
    {
        socket_.non_blocking(true);
    }

    boost::asio::ip::tcp::socket& socket() { return socket_; }
    void say(const Bytes& bytes)
    {
        boost::system::error_code ignored;
        socket_.write_some(boost::asio::buffer(bytes), ignored);
    }
    Bytes hear()
    {
        Bytes bytes(65536);
        boost::system::error_code error;
        bytes.resize(socket_.read_some(boost::asio::buffer(bytes), error));
        ended_ |= error && error != boost::asio::error::would_block;
        return bytes;
    }

    // What came since the last call, taken apart.
    std::vector<RawMessage> messages()
    {
        const Bytes more = hear();
        stream_.insert(stream_.end(), more.begin(), more.end());
        std::vector<RawMessage> found;
        for (;;) {
            const auto next = next_frame(stream_, kMaxExtendedMessage);
            const Frame* frame = std::get_if<Frame>(&next);
            if (!frame)
                return found;
            found.push_back({frame->type, Bytes(frame->body.begin(), frame->body.end())});
            stream_.erase(stream_.begin(),
                          stream_.begin() + static_cast<std::ptrdiff_t>(frame->size));
        }
    }
    // The other side closed, and everything it had said was heard.
    bool ended() const { return ended_; }

private:
    boost::asio::ip::tcp::socket socket_;
    Bytes stream_;
    bool ended_ = false;
};

// An OPEN of the peer at `host`, with what a speaker of ours offered at first.
inline Open raw_open_of(int host, Asn as = Asn{64512}, Seconds hold_time = Seconds(240))
{
    SessionConfig config;
    config.local_as = as;
    config.router_id = lab_address(host).v4();
    config.hold_time = hold_time;
    config.add_path = false;
    Open open = make_open(config, {});
    open.capabilities.extended_message = open.capabilities.enhanced_refresh = false;
    return open;
}
inline Bytes message_of(const Open& open)
{
    Bytes bytes;
    encode_open_message(open, bytes);
    return bytes;
}
inline Bytes raw_open(int host, Asn as = Asn{64512}, Seconds hold_time = Seconds(240))
{
    return message_of(raw_open_of(host, as, hold_time));
}

// That and the KEEPALIVE that agrees to what the other side says.
inline Bytes raw_greeting(int host, Asn as = Asn{64512})
{
    Bytes bytes = raw_open(host, as);
    encode_keepalive(bytes);
    return bytes;
}

} // namespace margay::bgp::lab
