// SPDX-License-Identifier: Apache-2.0
#include "bgp/rib/path_ids.h"

#include "margay/hash.h"

#include <random>

namespace margay::bgp {

// The numbers are the peer's to choose: the hash is keyed.
std::size_t PathIds::Hash::operator()(const Name& name) const
{
    const std::uint64_t number = std::uint64_t{name.peer} << 32 | name.received;
    return static_cast<std::size_t>(mixed(number ^ key, 0x9e3779b97f4a7c15ull) * (key | 1));
}

PathIds::PathIds()
    : ids_(0, Hash{std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()})
{
}

std::optional<PathId> PathIds::find(const Name& name) const
{
    const auto found = ids_.find(name);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

PathId PathIds::acquire(const Name& name)
{
    const auto [found, fresh] = ids_.try_emplace(name, 0);
    if (fresh) {
        if (free_.empty()) {
            free_.push_back(kFirst + static_cast<PathId>(slots_.size()));
            slots_.emplace_back();
        }
        found->second = free_.back();
        free_.pop_back();
        slots_[found->second - kFirst] = {name, 0};
    }
    ++slots_[found->second - kFirst].paths;
    return found->second;
}

void PathIds::release(PathId id)
{
    if (id < kFirst)
        return;
    Slot& slot = slots_[id - kFirst];
    if (--slot.paths > 0)
        return;
    ids_.erase(slot.name);
    free_.push_back(id);
}

PathIds::Name PathIds::name_of(PathId id) const
{
    return id < kFirst ? Name{static_cast<PeerId>(id), 0} : slots_[id - kFirst].name;
}

} // namespace margay::bgp
