// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/ids.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;

// Events name policies for people, and people read them later.
constexpr auto kPolicyGrace = 60s;
// Longer than kClassGrace: classes with the bit are gone before the bit is given to another set.
constexpr auto kSetGrace = 60s;
constexpr auto kEndpointGrace = 60s;

id_key key_of_id(id_space space, const IdHash& hash)
{
    id_key key{};
    key.space = space;
    std::copy(hash.begin(), hash.end(), key.hash);
    return key;
}

} // namespace

IdHash id_hash(std::string_view name)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_Digest(name.data(), name.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1)
        std::abort(); // out of memory
    IdHash hash{};
    std::copy_n(digest.begin(), hash.size(), hash.begin());
    return hash;
}

Ids::Ids(Tables& tables)
    : tables_(tables), policies_(1, POLICY_SLOTS - 1, kPolicyGrace, "policy slots"),
      sets_(0, CLASS_SET_MAX - 1, kSetGrace, "address sets"),
      endpoints_(1, ENDPOINT_SLOTS - 1, kEndpointGrace, "endpoint slots")
{
}

KeyedIds<IdHash>& Ids::pool(id_space space)
{
    return space == ID_POLICY ? policies_ : space == ID_SET ? sets_ : endpoints_;
}

const KeyedIds<IdHash>& Ids::pool(id_space space) const
{
    return const_cast<Ids*>(this)->pool(space);
}

void Ids::adopt()
{
    std::vector<std::pair<id_key, id_value>> known;
    tables_.ids.each_actual([&](const id_key& k, const id_value& v) { known.emplace_back(k, v); });
    for (const auto& [key, value] : known) {
        IdHash hash{};
        std::copy(std::begin(key.hash), std::end(key.hash), hash.begin());
        const bool valid = key.space >= ID_POLICY && key.space <= ID_ENDPOINT;
        // What is not adopted is stale, and goes at the first flush after seal().
        if (valid && pool(static_cast<id_space>(key.space)).adopt(hash, value.id))
            tables_.ids.set(key, value);
    }
}

void Ids::seal(Clock::Time now)
{
    policies_.seal(now);
    sets_.seal(now);
    endpoints_.seal(now);
}

Result<std::uint32_t> Ids::acquire(id_space space, const IdHash& hash)
{
    const auto id = pool(space).acquire(hash);
    if (id)
        tables_.ids.set(key_of_id(space, hash), id_value{*id});
    return id;
}

void Ids::release(id_space space, const IdHash& hash, Clock::Time now)
{
    pool(space).release(hash, now);
}

std::optional<std::uint32_t> Ids::find(id_space space, const IdHash& hash) const
{
    return pool(space).find(hash);
}

std::vector<std::pair<IdHash, std::uint32_t>> Ids::expire(id_space space, Clock::Time now)
{
    auto freed = pool(space).expire(now);
    for (const auto& [hash, id] : freed)
        tables_.ids.erase(key_of_id(space, hash));
    return freed;
}

} // namespace margay::datapath
