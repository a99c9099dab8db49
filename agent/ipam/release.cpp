// SPDX-License-Identifier: Apache-2.0
// Releasing addresses (calico-facts 2.5): the block first, then the handle's count.
#include "agent/ipam/ipam.h"

namespace margay::ipam {
namespace {

// How many addresses of each handle a release takes away.
std::map<std::string, std::uint64_t> counts(const Block& block,
                                            const std::vector<Release>& requests)
{
    std::map<std::string, std::uint64_t> result;
    std::set<Ipv4> seen;
    for (const Release& request : requests) {
        const Attribute* owner = block.in_use(request.address);
        if (owner && owner->handle && seen.insert(request.address).second)
            result[*owner->handle]++;
    }
    return result;
}

} // namespace

Result<std::vector<Ipv4>> Ipam::release_in(const Prefix4& cidr, const Chooser& choose)
{
    const auto settings = config();
    if (!settings)
        return settings.error();
    for (int i = 0; i < kRetries; i++) {
        auto stored = load(cidr);
        if (!stored)
            return stored.error();
        if (!*stored)
            return std::vector<Ipv4>();
        Block& block = (*stored)->block;
        const std::vector<Release> requests = choose(block);
        const auto counted = counts(block, requests);
        auto not_given = ipam::release(block, requests, clock_.wall());
        if (!not_given)
            return not_given.error();
        if (not_given->size() == requests.size())
            return not_given;
        collect_garbage(block, clock_.wall(), settings->cooldown);
        bool written = false;
        if (!block.affinity && block.empty()) {
            const auto removed = kv_.remove(block_key(cidr), (*stored)->revision);
            if (!removed)
                return removed.error();
            written = removed->done();
        } else {
            const auto saved = save(**stored);
            if (!saved)
                return saved.error();
            written = *saved;
        }
        if (!written)
            continue;
        for (const auto& [handle, count] : counted)
            if (Status ok = count_down(handle, cidr, count); !ok)
                return ok.error();
        return not_given;
    }
    return gave_up("release in block " + cidr.str());
}

Result<std::vector<Ipv4>> Ipam::release(const std::vector<Release>& requests)
{
    std::map<Prefix4, std::vector<Release>> by_block;
    std::vector<Ipv4> not_given;
    for (const Release& request : requests) {
        const auto cidr = containing_block(request.address);
        if (!cidr)
            return cidr.error();
        if (*cidr)
            by_block[**cidr].push_back(request);
        else
            not_given.push_back(request.address);
    }
    for (const auto& [cidr, group] : by_block) {
        const auto rest = release_in(cidr, [&all = group](const Block&) { return all; });
        if (!rest)
            return rest.error();
        not_given.insert(not_given.end(), rest->begin(), rest->end());
    }
    return not_given;
}

Result<bool> Ipam::release_by_handle(const std::string& id)
{
    const auto known = load_handle(id);
    if (!known)
        return known.error();
    if (!*known)
        return false;
    for (const auto& [text, count] : (*known)->handle.blocks) {
        const auto cidr = Prefix4::parse(text);
        if (!cidr)
            continue; // names no block: nothing to free, and tidy_handle() forgets it
        std::uint64_t freed = 0;
        const auto released = release_in(*cidr, [&](const Block& block) {
            std::vector<Release> requests;
            for (const Ipv4 address : addresses_of(block, id))
                requests.push_back({address, id, {}});
            freed = requests.size();
            return requests;
        });
        if (!released)
            return released.error();
        // What the handle counted beyond the truth when we read it.
        if (count > freed)
            if (Status ok = count_down(id, *cidr, count - freed); !ok)
                return ok.error();
    }
    if (Status ok = tidy_handle(id); !ok)
        return ok.error();
    return true;
}

} // namespace margay::ipam
