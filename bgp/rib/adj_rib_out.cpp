// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/adj_rib_out.h"

namespace margay::bgp {
namespace {

// Prefixes of one batch by what is said about them.
struct Batch {
    std::vector<Prefix4> withdrawn;
    std::vector<std::pair<AttributesPtr, std::vector<Prefix4>>> announced;

    std::vector<Prefix4>& with(const AttributesPtr& attributes)
    {
        for (auto& [known, prefixes] : announced)
            if (known == attributes || *known == *attributes)
                return prefixes;
        return announced.emplace_back(attributes, std::vector<Prefix4>{}).second;
    }
};

std::size_t encode_withdrawn(std::span<const Prefix4> rest, Bytes& out)
{
    std::size_t messages = 0;
    for (; !rest.empty(); ++messages)
        rest = rest.subspan(encode_withdraw(rest, out));
    return messages;
}

} // namespace

void AdjRibOut::touch(const Prefix4& prefix)
{
    if (is_pending_.insert(prefix).second)
        pending_.push_back(prefix);
}

void AdjRibOut::forget_contents()
{
    for (auto& [prefix, told] : advertised_)
        told = nullptr;
}

void AdjRibOut::clear()
{
    advertised_.clear();
    pending_.clear();
    is_pending_.clear();
}

std::size_t AdjRibOut::fill(const Policy& policy, const WireSession& session, std::size_t budget,
                            Bytes& out)
{
    Batch batch;
    for (; budget > 0 && !pending_.empty(); --budget) {
        const Prefix4 prefix = pending_.front();
        pending_.pop_front();
        is_pending_.erase(prefix);
        const AttributesPtr attributes = policy(prefix);
        const auto told = advertised_.find(prefix);
        if (attributes) {
            if (told == advertised_.end() || !told->second || !(*told->second == *attributes))
                batch.with(attributes).push_back(prefix);
        } else if (told != advertised_.end()) {
            batch.withdrawn.push_back(prefix);
            advertised_.erase(told);
        }
    }
    std::size_t messages = 0;
    for (const auto& [attributes, prefixes] : batch.announced) {
        std::span<const Prefix4> rest(prefixes);
        while (!rest.empty()) {
            const std::size_t count = encode_announce(*attributes, session, rest, out);
            if (count == 0) { // too large for a message: the peer must not keep an older path
                for (const Prefix4& prefix : rest)
                    if (advertised_.erase(prefix) > 0)
                        batch.withdrawn.push_back(prefix);
                break;
            }
            for (const Prefix4& prefix : rest.first(count))
                advertised_[prefix] = attributes;
            rest = rest.subspan(count);
            ++messages;
        }
    }
    return messages + encode_withdrawn(batch.withdrawn, out);
}

} // namespace margay::bgp
