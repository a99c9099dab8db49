// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attribute_set.h"

#include "margay/hash.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

namespace margay::bgp {
namespace {

constexpr std::size_t kFirstSlots = 64;

std::uint64_t word_at(const std::uint8_t* from, std::size_t size)
{
    std::uint64_t word = 0;
    std::memcpy(&word, from, std::min<std::size_t>(size, sizeof(word)));
    return word;
}

// Keyed on both sides of each product, so that no peer can choose attributes that all meet in one
// slot: with a constant there, octets that equal it would cancel all that stands before them.
std::uint32_t hash_of(const AttributePool::Key& key, const Ip& next_hop, ByteView octets)
{
    std::uint64_t hash = octets.size();
    const auto add = [&](std::uint64_t word) { hash = mixed(hash ^ key[0], word ^ key[1]); };
    if (next_hop.is_v4()) {
        add(next_hop.v4().value());
    } else {
        add(word_at(next_hop.v6().bytes().data(), 8));
        add(word_at(next_hop.v6().bytes().data() + 8, 8));
    }
    for (std::size_t at = 0; at < octets.size(); at += 8)
        add(word_at(octets.data() + at, octets.size() - at));
    return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

} // namespace

void AttributesPtr::release()
{
    if (set_->pool_)
        set_->pool_->forget(*set_);
    else
        AttributePool::destroy(*set_);
}

AttributePool::AttributePool() : slots_(kFirstSlots)
{
    std::random_device random;
    for (std::uint64_t& word : key_)
        word = std::uint64_t{random()} << 32 | random();
}

// Who still owns a set keeps it, and it goes with him.
AttributePool::~AttributePool()
{
    for (AttributeSet* set : slots_)
        if (set)
            set->pool_ = nullptr;
}

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
    destroy(set);
}

void AttributePool::destroy(AttributeSet& set)
{
    set.~AttributeSet();
    ::operator delete(&set);
}

Attributes rewritten(const AttributeSet& attributes, const Rewrite& rewrite)
{
    Rewrite canonical = rewrite;
    canonical.in_mp_reach = true; // the next hop is not among the canonical octets
    canonical.encoding.four_octet_as = true;
    Bytes octets;
    write_attributes(attributes.octets(), attributes, canonical, octets);
    return decode_canonical(octets, rewrite.next_hop);
}

} // namespace margay::bgp
