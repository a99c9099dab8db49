// SPDX-License-Identifier: Apache-2.0
#include "support/packet.h"

#include "margay/ip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace margay::testing {
namespace {

void put16(Bytes& to, std::size_t value)
{
    to.push_back(static_cast<std::uint8_t>(value >> 8));
    to.push_back(static_cast<std::uint8_t>(value));
}

void put32(Bytes& to, std::uint32_t value)
{
    put16(to, value >> 16);
    put16(to, value & 0xffff);
}

std::uint16_t get16(std::span<const std::uint8_t> from, std::size_t at)
{
    return static_cast<std::uint16_t>(from[at] << 8 | from[at + 1]);
}

void set16(Bytes& in, std::size_t at, std::uint16_t value)
{
    in[at] = static_cast<std::uint8_t>(value >> 8);
    in[at + 1] = static_cast<std::uint8_t>(value);
}

void append(Bytes& to, const Bytes& more)
{
    to.insert(to.end(), more.begin(), more.end());
}

// Data that a misplaced byte would show in.
void append_pattern(Bytes& to, std::size_t count)
{
    for (std::size_t i = 0; i < count; i++)
        to.push_back(static_cast<std::uint8_t>(i * 7 + 1));
}

} // namespace

std::uint32_t addr(std::string_view text)
{
    const auto parsed = Ipv4::parse(text);
    if (!parsed) {
        std::fprintf(stderr, "no address: %.*s\n", static_cast<int>(text.size()), text.data());
        std::abort();
    }
    return parsed->value();
}

std::uint16_t checksum(std::span<const std::uint8_t> bytes)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); i++)
        sum += i % 2 ? bytes[i] : static_cast<std::uint32_t>(bytes[i] << 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

Bytes ipv4(const Ipv4Header& h, const Bytes& payload)
{
    const std::size_t header = 20 + h.options.size();
    Bytes out{static_cast<std::uint8_t>(0x40 | header / 4), h.tos};
    put16(out, header + payload.size());
    put16(out, h.id);
    put16(out, h.frag);
    out.push_back(h.ttl);
    out.push_back(h.proto);
    put16(out, 0);
    put32(out, h.src);
    put32(out, h.dst);
    append(out, h.options);
    set16(out, 10, checksum(out));
    append(out, payload);
    return out;
}

Bytes tcp(std::uint16_t sport, std::uint16_t dport, std::uint8_t flags, std::size_t data)
{
    Bytes out;
    put16(out, sport);
    put16(out, dport);
    put32(out, 1000);
    put32(out, 2000);
    out.push_back(0x50);
    out.push_back(flags);
    put16(out, 8192);
    put32(out, 0);
    append_pattern(out, data);
    return out;
}

Bytes udp(std::uint16_t sport, std::uint16_t dport, std::size_t data)
{
    Bytes out;
    put16(out, sport);
    put16(out, dport);
    put16(out, 8 + data);
    put16(out, 0);
    append_pattern(out, data);
    return out;
}

Bytes icmp(std::uint8_t type, std::uint8_t code, std::uint16_t first, std::uint16_t second,
           const Bytes& data)
{
    Bytes out{type, code, 0, 0};
    put16(out, first);
    put16(out, second);
    append(out, data);
    set16(out, 2, checksum(out));
    return out;
}

Bytes ethernet(const Bytes& payload, std::uint16_t ethertype, const Mac& dst, const Mac& src)
{
    Bytes out(dst.begin(), dst.end());
    out.insert(out.end(), src.begin(), src.end());
    put16(out, ethertype);
    append(out, payload);
    return out;
}

Bytes tcp_packet(std::string_view src, std::uint16_t sport, std::string_view dst,
                 std::uint16_t dport, std::uint8_t flags, std::size_t data)
{
    return ipv4({.src = addr(src), .dst = addr(dst), .proto = 6, .frag = kDf},
                tcp(sport, dport, flags, data));
}

Bytes udp_packet(std::string_view src, std::uint16_t sport, std::string_view dst,
                 std::uint16_t dport, std::size_t data)
{
    return ipv4({.src = addr(src), .dst = addr(dst), .proto = 17}, udp(sport, dport, data));
}

Bytes echo_packet(std::string_view src, std::string_view dst, std::uint16_t id, bool reply)
{
    return ipv4({.src = addr(src), .dst = addr(dst), .proto = 1},
                icmp(reply ? 0 : 8, 0, id, 1, Bytes(24, 0xab)));
}

Bytes ipip(std::string_view src, std::string_view dst, const Bytes& inner)
{
    return ipv4({.src = addr(src), .dst = addr(dst), .proto = 4, .id = 0x7777}, inner);
}

Ipv4Header read_ipv4(std::span<const std::uint8_t> frame, std::size_t offset)
{
    Ipv4Header h;
    if (frame.size() < offset + 20) {
        ADD_FAILURE() << "frame of " << frame.size() << " bytes has no IPv4 header at " << offset;
        return h;
    }
    const auto ip = frame.subspan(offset);
    const std::size_t header = std::size_t{ip[0] & 0x0fu} * 4;
    EXPECT_EQ(ip[0] >> 4, 4);
    if (header < 20 || header > ip.size()) {
        ADD_FAILURE() << "header length " << header;
        return h;
    }
    EXPECT_EQ(checksum(ip.first(header)), 0) << "IPv4 checksum at " << offset;
    h.tos = ip[1];
    h.id = get16(ip, 4);
    h.frag = get16(ip, 6);
    h.ttl = ip[8];
    h.proto = ip[9];
    h.src = std::uint32_t{get16(ip, 12)} << 16 | get16(ip, 14);
    h.dst = std::uint32_t{get16(ip, 16)} << 16 | get16(ip, 18);
    h.options = slice(ip, 20, header - 20);
    return h;
}

std::uint16_t total_length(std::span<const std::uint8_t> frame, std::size_t offset)
{
    return frame.size() < offset + 20 ? std::uint16_t{0} : get16(frame, offset + 2);
}

Bytes slice(std::span<const std::uint8_t> bytes, std::size_t from, std::size_t count)
{
    if (from > bytes.size())
        return {};
    const auto part = bytes.subspan(from, std::min(count, bytes.size() - from));
    return Bytes(part.begin(), part.end());
}

Bytes slice(std::span<const std::uint8_t> bytes, std::size_t from)
{
    return slice(bytes, from, bytes.size());
}

Bytes forwarded(const Bytes& packet)
{
    Ipv4Header header = read_ipv4(packet, 0);
    header.ttl--;
    return ipv4(header, slice(packet, 20 + header.options.size()));
}

} // namespace margay::testing
