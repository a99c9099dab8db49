// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attribute_set.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

namespace margay::bgp {
namespace {

constexpr std::size_t kFirstSlots = 64;

std::uint64_t mixed(std::uint64_t a, std::uint64_t b)
{
    const auto product =
        static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15ull) * (b ^ 0xc2b2ae3d27d4eb4full);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word_at(const std::uint8_t* from, std::size_t size)
{
    std::uint64_t word = 0;
    std::memcpy(&word, from, std::min<std::size_t>(size, sizeof(word)));
    return word;
}

// Keyed, so that no peer can choose attributes that all meet in one slot.
std::uint32_t hash_of(std::uint64_t key, const Ip& next_hop, ByteView octets)
{
    std::uint64_t hash = mixed(key, octets.size());
    if (next_hop.is_v4())
        hash = mixed(hash, next_hop.v4().value());
    else
        hash = mixed(mixed(hash, word_at(next_hop.v6().bytes().data(), 8)),
                     word_at(next_hop.v6().bytes().data() + 8, 8));
    for (std::size_t at = 0; at < octets.size(); at += 8)
        hash = mixed(hash, word_at(octets.data() + at, octets.size() - at));
    return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

} // namespace

void AttributesPtr::release()
{
    set_->pool_.forget(*set_);
}

AttributePool::AttributePool() : slots_(kFirstSlots)
{
    std::random_device random;
    key_ = std::uint64_t{random()} << 32 | random();
}

// Sets that are still owned are leaked rather than left dangling; nobody should have one by now.
AttributePool::~AttributePool() = default;

AttributeSet** AttributePool::slot_of(std::uint32_t hash, const Ip& next_hop, ByteView octets)
{
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    for (; slots_[at]; at = (at + 1) & mask) {
        const AttributeSet& set = *slots_[at];
        if (set.hash_ == hash && set.next_hop == next_hop &&
            std::ranges::equal(set.octets(), octets))
            break;
    }
    return &slots_[at];
}

AttributesPtr AttributePool::intern(const AttributeSummary& summary, ByteView octets)
{
    const std::uint32_t hash = hash_of(key_, summary.next_hop, octets);
    AttributeSet** slot = slot_of(hash, summary.next_hop, octets);
    if (*slot)
        return AttributesPtr(**slot);
    if ((count_ + 1) * 3 > slots_.size() * 2) {
        grow();
        slot = slot_of(hash, summary.next_hop, octets);
    }
    void* memory = ::operator new(sizeof(AttributeSet) + octets.size());
    auto* set = new (memory) AttributeSet(*this, summary);
    set->hash_ = hash;
    set->size_ = octets.size();
    std::ranges::copy(octets, reinterpret_cast<std::uint8_t*>(set + 1));
    *slot = set;
    ++count_;
    return AttributesPtr(*set);
}

AttributesPtr AttributePool::intern(const Attributes& attributes)
{
    Bytes octets;
    encode_attributes(attributes, octets);
    check_attributes(octets, WireSession{}, scratch_);
    scratch_.summary.next_hop = attributes.next_hop;
    return intern(scratch_.summary, scratch_.octets);
}

void AttributePool::grow()
{
    std::vector<AttributeSet*> old(slots_.size() * 2);
    old.swap(slots_);
    const std::size_t mask = slots_.size() - 1;
    for (AttributeSet* set : old) {
        if (!set)
            continue;
        std::size_t at = set->hash_ & mask;
        while (slots_[at])
            at = (at + 1) & mask;
        slots_[at] = set;
    }
}

// Those behind it move up, so that no probe ends early.
void AttributePool::forget(AttributeSet& set)
{
    const std::size_t mask = slots_.size() - 1;
    std::size_t hole = set.hash_ & mask;
    while (slots_[hole] != &set)
        hole = (hole + 1) & mask;
    for (std::size_t at = (hole + 1) & mask; slots_[at]; at = (at + 1) & mask) {
        const std::size_t home = slots_[at]->hash_ & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slots_[hole] = slots_[at];
            hole = at;
        }
    }
    slots_[hole] = nullptr;
    --count_;
    set.~AttributeSet();
    ::operator delete(&set);
}

} // namespace margay::bgp
