// SPDX-License-Identifier: Apache-2.0
// Reading a netlink message: its fixed header, and Attributes, found by type and read with their
// size checked.

#pragma once

#include "margay/ip.h"

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>

namespace margay::kernel {

// What lies between nlmsghdr and the attributes; nullptr if the message is too short for it.
template <typename T>
const T* fixed_header(const nlmsghdr* message)
{
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(T)))
        return nullptr;
    return static_cast<const T*>(NLMSG_DATA(message));
}

// Views into the message; valid as long as its buffer. Types above kMaxType are not looked for.
class Attributes {
public:
    static constexpr std::size_t kMaxType = 80;

    // `fixed` is the size of the header between nlmsghdr and the attributes.
    Attributes(const nlmsghdr* message, std::size_t fixed)
    {
        const std::size_t start = NLMSG_HDRLEN + NLMSG_ALIGN(fixed);
        if (message->nlmsg_len > start)
            scan(reinterpret_cast<const char*>(message) + start, message->nlmsg_len - start);
    }
    // A nested attribute.
    explicit Attributes(const nlattr* nested) { scan(data(nested), size(nested)); }
    Attributes(const char* bytes, std::size_t length) { scan(bytes, length); }

    const nlattr* find(std::size_t type) const { return type <= kMaxType ? found_[type] : nullptr; }

    template <typename T>
    std::optional<T> get(std::size_t type) const
    {
        const nlattr* attribute = find(type);
        if (!attribute || size(attribute) != sizeof(T))
            return std::nullopt;
        T value;
        std::memcpy(&value, data(attribute), sizeof(value));
        return value;
    }
    std::optional<std::uint32_t> u32(std::size_t type) const { return get<std::uint32_t>(type); }
    std::optional<Ipv4> ipv4(std::size_t type) const { return address<Ipv4>(type); }
    template <typename A>
    std::optional<A> address(std::size_t type) const
    {
        const auto value = get<Wire<A>>(type);
        return value ? std::optional(from_wire(*value)) : std::nullopt;
    }
    std::string text(std::size_t type) const
    {
        const nlattr* attribute = find(type);
        if (!attribute)
            return {};
        return std::string(data(attribute), ::strnlen(data(attribute), size(attribute)));
    }

    static const char* data(const nlattr* a)
    {
        return reinterpret_cast<const char*>(a) + NLA_HDRLEN;
    }
    static std::size_t size(const nlattr* a) { return a->nla_len - std::size_t{NLA_HDRLEN}; }

private:
    template <typename A>
    using Wire = std::conditional_t<std::is_same_v<A, Ipv4>, std::uint32_t, Ipv6::Bytes>;
    static Ipv4 from_wire(std::uint32_t address) { return Ipv4::from_be(address); }
    static Ipv6 from_wire(const Ipv6::Bytes& address) { return Ipv6(address); }

    void scan(const char* bytes, std::size_t left)
    {
        while (left >= NLA_HDRLEN) {
            const auto* attribute = reinterpret_cast<const nlattr*>(bytes);
            if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > left)
                return;
            const std::size_t type = attribute->nla_type & NLA_TYPE_MASK;
            if (type <= kMaxType)
                found_[type] = attribute;
            const std::size_t step = NLA_ALIGN(attribute->nla_len);
            if (step >= left)
                return;
            bytes += step;
            left -= step;
        }
    }

    std::array<const nlattr*, kMaxType + 1> found_{};
};

} // namespace margay::kernel
