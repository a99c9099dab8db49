// SPDX-License-Identifier: Apache-2.0
#include "margay/ip.h"

#include "margay/hash.h"

#include <charconv>
#include <cstring>
#include <random>

namespace margay {

std::optional<Ipv4> Ipv4::parse(std::string_view text)
{
    in_addr out{};
    if (inet_pton(AF_INET, std::string(text).c_str(), &out) != 1)
        return std::nullopt;
    return from_be(out.s_addr);
}

std::string Ipv4::str() const
{
    char text[INET_ADDRSTRLEN];
    const std::uint32_t wire = be();
    return inet_ntop(AF_INET, &wire, text, sizeof(text));
}

std::optional<Ipv6> Ipv6::parse(std::string_view text)
{
    Bytes out{};
    if (inet_pton(AF_INET6, std::string(text).c_str(), out.data()) != 1)
        return std::nullopt;
    return Ipv6(out);
}

std::string Ipv6::str() const
{
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
}

Ipv4 masked(Ipv4 addr, int length)
{
    if (length <= 0)
        return Ipv4();
    return Ipv4(addr.value() & (~std::uint32_t{0} << (32 - length)));
}

Ipv6 masked(const Ipv6& addr, int length)
{
    Ipv6::Bytes bytes = addr.bytes();
    for (int i = 0; i < 16; i++) {
        const int keep = length - 8 * i;
        if (keep <= 0)
            bytes[static_cast<std::size_t>(i)] = 0;
        else if (keep < 8)
            bytes[static_cast<std::size_t>(i)] &= static_cast<std::uint8_t>(0xff << (8 - keep));
    }
    return Ipv6(bytes);
}

template <typename Addr>
std::optional<Prefix<Addr>> Prefix<Addr>::parse(std::string_view text)
{
    const auto slash = text.find('/');
    const auto addr = Addr::parse(text.substr(0, slash));
    if (!addr)
        return std::nullopt;
    if (slash == std::string_view::npos)
        return host(*addr);
    const std::string_view digits = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (ec != std::errc() || end != digits.data() + digits.size() || length > Addr::kBits)
        return std::nullopt;
    return Prefix{*addr, static_cast<std::uint8_t>(length)};
}

template struct Prefix<Ipv4>;
template struct Prefix<Ipv6>;

std::optional<Ip> Ip::parse(std::string_view text)
{
    if (const auto v4 = Ipv4::parse(text))
        return Ip(*v4);
    if (const auto v6 = Ipv6::parse(text))
        return Ip(*v6);
    return std::nullopt;
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text)
{
    if (const auto v4 = Prefix4::parse(text))
        return IpPrefix(*v4);
    if (const auto v6 = Prefix6::parse(text))
        return IpPrefix(*v6);
    return std::nullopt;
}

} // namespace margay

namespace {

std::uint64_t hash_secret() noexcept
{
    static const std::uint64_t secret = [] {
        std::random_device random;
        return std::uint64_t{random()} << 32 | random();
    }();
    return secret;
}

} // namespace

std::size_t std::hash<margay::Ipv6>::operator()(const margay::Ipv6& a) const noexcept
{
    std::uint64_t halves[2];
    std::memcpy(halves, a.bytes().data(), sizeof(halves));
    const std::uint64_t low = margay::mixed(halves[1] ^ hash_secret(), 0x9e3779b97f4a7c15u);
    return margay::mixed(halves[0] ^ low, hash_secret() | 1);
}
