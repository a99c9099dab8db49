// SPDX-License-Identifier: Apache-2.0
// Addresses and prefixes as values: parse, print, order, contain.
//
// An Ipv4 holds its number in host order, so that arithmetic and comparison mean what they say;
// `be()` is the one way to the wire and to BPF maps. An Ipv6 holds its 16 bytes in wire order.

#pragma once

#include <arpa/inet.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace margay {

class Ipv4 {
public:
    static constexpr int kBits = 32;

    constexpr Ipv4() = default;
    constexpr explicit Ipv4(std::uint32_t host_order) : value_(host_order) {}
    static Ipv4 from_be(std::uint32_t network_order) { return Ipv4(ntohl(network_order)); }
    // Dotted quad only, no leading zeros in doubt (inet_pton's rule).
    static std::optional<Ipv4> parse(std::string_view text);

    constexpr std::uint32_t value() const { return value_; }
    std::uint32_t be() const { return htonl(value_); }
    std::string str() const;
    constexpr bool is_zero() const { return value_ == 0; }

    constexpr auto operator<=>(const Ipv4&) const = default;

private:
    std::uint32_t value_ = 0;
};

class Ipv6 {
public:
    static constexpr int kBits = 128;
    using Bytes = std::array<std::uint8_t, 16>;

    constexpr Ipv6() = default;
    constexpr explicit Ipv6(const Bytes& wire) : bytes_(wire) {}
    static std::optional<Ipv6> parse(std::string_view text);

    constexpr const Bytes& bytes() const { return bytes_; }
    std::string str() const;
    constexpr bool is_zero() const { return bytes_ == Bytes{}; }
    // fe80::/10: says nothing without an interface.
    constexpr bool is_link_local() const { return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80; }

    constexpr auto operator<=>(const Ipv6&) const = default;

private:
    Bytes bytes_{};
};

// Masks `addr` to its first `length` bits.
Ipv4 masked(Ipv4 addr, int length);
Ipv6 masked(const Ipv6& addr, int length);

// "address/length". `addr` may carry host bits (a Node's address does); `network()` clears them.
template <typename Addr>
struct Prefix {
    using Address = Addr;

    Addr addr{};
    std::uint8_t length = 0;

    // "a.b.c.d/len"; a bare address means a host prefix.
    static std::optional<Prefix> parse(std::string_view text);
    static Prefix host(const Addr& a) { return Prefix{a, Addr::kBits}; }

    Prefix network() const { return Prefix{masked(addr, length), length}; }
    bool contains(const Addr& a) const { return masked(a, length) == masked(addr, length); }
    bool contains(const Prefix& p) const { return p.length >= length && contains(p.addr); }
    bool overlaps(const Prefix& p) const { return contains(p) || p.contains(*this); }
    std::string str() const { return addr.str() + "/" + std::to_string(length); }

    auto operator<=>(const Prefix&) const = default;
};

using Prefix4 = Prefix<Ipv4>;
using Prefix6 = Prefix<Ipv6>;
extern template struct Prefix<Ipv4>;
extern template struct Prefix<Ipv6>;

// An address of either family.
class Ip {
public:
    Ip() = default;
    Ip(Ipv4 a) : addr_(a) {}
    Ip(Ipv6 a) : addr_(a) {}
    static std::optional<Ip> parse(std::string_view text);

    bool is_v4() const { return addr_.index() == 0; }
    const Ipv4& v4() const { return std::get<0>(addr_); }
    const Ipv6& v6() const { return std::get<1>(addr_); }
    bool is_link_local6() const { return !is_v4() && v6().is_link_local(); }
    std::string str() const { return is_v4() ? v4().str() : v6().str(); }

    auto operator<=>(const Ip&) const = default;

private:
    std::variant<Ipv4, Ipv6> addr_;
};

// A prefix of either family.
class IpPrefix {
public:
    IpPrefix() = default;
    IpPrefix(const Prefix4& prefix) : prefix_(prefix) {}
    IpPrefix(const Prefix6& prefix) : prefix_(prefix) {}
    static std::optional<IpPrefix> parse(std::string_view text);

    bool is_v4() const { return prefix_.index() == 0; }
    const Prefix4& v4() const { return std::get<0>(prefix_); }
    const Prefix6& v6() const { return std::get<1>(prefix_); }
    static IpPrefix host(const Ip& ip)
    {
        return ip.is_v4() ? IpPrefix(Prefix4::host(ip.v4())) : IpPrefix(Prefix6::host(ip.v6()));
    }
    std::uint8_t length() const { return is_v4() ? v4().length : v6().length; }
    Ip address() const { return is_v4() ? Ip(v4().addr) : Ip(v6().addr); }
    IpPrefix network() const
    {
        return is_v4() ? IpPrefix(v4().network()) : IpPrefix(v6().network());
    }
    std::string str() const { return is_v4() ? v4().str() : v6().str(); }

    auto operator<=>(const IpPrefix&) const = default;

private:
    std::variant<Prefix4, Prefix6> prefix_;
};

} // namespace margay

template <>
struct std::hash<margay::Ipv4> {
    std::size_t operator()(const margay::Ipv4& a) const noexcept { return a.value() * 0x9e3779b1u; }
};
template <>
struct std::hash<margay::Prefix4> {
    std::size_t operator()(const margay::Prefix4& p) const noexcept
    {
        return (std::uint64_t{p.addr.value()} << 8 | p.length) * 0x9e3779b97f4a7c15u;
    }
};
template <>
struct std::hash<margay::Ipv6> {
    // With a secret of the process: of so many addresses peers could choose those that meet.
    std::size_t operator()(const margay::Ipv6& a) const noexcept;
};
template <>
struct std::hash<margay::Prefix6> {
    std::size_t operator()(const margay::Prefix6& p) const noexcept
    {
        return std::hash<margay::Ipv6>()(p.addr) ^ (p.length * 0x9e3779b97f4a7c15u);
    }
};
