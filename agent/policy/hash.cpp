// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/hash.h"

#include <openssl/sha.h>

#include <algorithm>
#include <string>

namespace margay::policy {

namespace {

// A change of the encoding below changes every id: raise it with the encoding.
constexpr std::uint64_t kEncoding = 1;

// Numbers are 8 bytes, little-endian; strings and lists carry their length in front, so that no
// two Programs encode alike.
class Encoder {
public:
    void put(std::uint64_t n)
    {
        for (int i = 0; i < 8; ++i)
            bytes_.push_back(static_cast<char>(n >> (8 * i)));
    }
    void put(const std::string& s)
    {
        put(s.size());
        bytes_ += s;
    }
    void put(const Prefix4& net)
    {
        put(net.addr.value());
        put(net.length);
    }
    void put(const PortRange& r)
    {
        put(r.first);
        put(r.last);
    }
    void put(const NamedPort& p)
    {
        put(p.port);
        put(p.set);
    }
    void put(const Icmp& icmp)
    {
        put(icmp.type);
        put_optional(icmp.code);
    }
    void put(const Side& s)
    {
        put_list(s.nets);
        put_list(s.not_nets);
        put_list(s.sets);
        put_list(s.not_sets);
        put_list(s.ports);
        put_list(s.named_ports);
        put(s.match_no_port ? 1u : 0u);
        put_list(s.not_ports);
        put_list(s.not_named_ports);
    }
    void put(const Rule& r)
    {
        put(static_cast<std::uint64_t>(r.action));
        put_optional(r.protocol);
        put_optional(r.not_protocol);
        put_optional(r.icmp);
        put_optional(r.not_icmp);
        put(r.source);
        put(r.destination);
    }
    void put(const Policy& p)
    {
        put(p.name);
        put_list(p.rules);
    }
    void put(const Tier& t)
    {
        put(t.name);
        put_list(t.policies);
        put(static_cast<std::uint64_t>(t.end));
    }
    template <typename T>
    void put_list(const std::vector<T>& items)
    {
        put(items.size());
        for (const auto& item : items)
            put(item);
    }
    template <typename T>
    void put_optional(const std::optional<T>& value)
    {
        put(value ? 1u : 0u);
        if (value)
            put(*value);
    }

    const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

} // namespace

ProgramHash canonical_hash(const Program& program)
{
    Encoder encoder;
    encoder.put(kEncoding);
    encoder.put_list(program.tiers);
    encoder.put_list(program.profiles);

    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    const auto& bytes = encoder.bytes();
    SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());

    ProgramHash hash{};
    std::copy_n(digest.begin(), hash.size(), hash.begin());
    return hash;
}

std::string to_hex(const ProgramHash& hash)
{
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const auto byte : hash) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 0xf];
    }
    return text;
}

} // namespace margay::policy
