// SPDX-License-Identifier: Apache-2.0
// AttributeSet: the path attributes of a route, stored once however many routes have them.
//
// Equal attributes are one object, so that "the same as before" is a comparison of pointers and a
// full table costs a set for every few prefixes. A set is immutable: who changes a route makes
// another set. Everything here belongs to the thread of the pool.

#pragma once

#include "bgp/wire/attributes.h"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace margay::bgp {

class AttributePool;

class AttributeSet : public AttributeSummary {
public:
    ByteView octets() const { return {bytes(), size_}; } // canonical, see AttributeList
    ByteView as_path() const { return octets().subspan(path_at, path_size); }
    Attributes decode() const { return decode_canonical(octets(), next_hop); }

    AttributeSet(const AttributeSet&) = delete;
    AttributeSet& operator=(const AttributeSet&) = delete;

private:
    friend class AttributePool;
    friend class AttributesPtr;

    AttributeSet(AttributePool& pool, const AttributeSummary& summary)
        : AttributeSummary(summary), pool_(&pool)
    {
    }
    const std::uint8_t* bytes() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }

    AttributePool* pool_; // null once it is gone
    std::uint32_t references_ = 0;
    std::uint32_t hash_ = 0;
    std::size_t size_ = 0;
};

// Null, or one of the owners of a set.
class AttributesPtr {
public:
    AttributesPtr() = default;
    AttributesPtr(std::nullptr_t) {}
    AttributesPtr(const AttributesPtr& other) : set_(other.set_)
    {
        if (set_)
            ++set_->references_;
    }
    AttributesPtr(AttributesPtr&& other) noexcept : set_(std::exchange(other.set_, nullptr)) {}
    AttributesPtr& operator=(AttributesPtr other) noexcept
    {
        std::swap(set_, other.set_);
        return *this;
    }
    ~AttributesPtr()
    {
        if (set_ && --set_->references_ == 0)
            release();
    }

    explicit operator bool() const { return set_ != nullptr; }
    const AttributeSet& operator*() const { return *set_; }
    const AttributeSet* operator->() const { return set_; }
    const AttributeSet* get() const { return set_; }
    bool operator==(const AttributesPtr&) const = default; // the same octets, if of one pool

private:
    friend class AttributePool;
    explicit AttributesPtr(AttributeSet& set) : set_(&set) { ++set.references_; }
    void release();

    AttributeSet* set_ = nullptr;
};

class AttributePool {
public:
    using Key = std::array<std::uint64_t, 2>;

    AttributePool();
    ~AttributePool();
    AttributePool(const AttributePool&) = delete;
    AttributePool& operator=(const AttributePool&) = delete;

    AttributesPtr intern(const AttributeSummary& summary, ByteView octets);
    AttributesPtr intern(const Attributes& attributes);
    std::size_t size() const { return count_; }

private:
    friend class AttributesPtr;
    void forget(AttributeSet& set);
    static void destroy(AttributeSet& set);
    AttributeSet** slot_of(std::uint32_t hash, const Ip& next_hop, ByteView octets);
    void grow();

    // Open addressing with linear probing; a power of two, at most two thirds full.
    std::vector<AttributeSet*> slots_;
    std::size_t count_ = 0;
    Key key_{}; // of the hash
    AttributeList scratch_;
};

// As a peer will read it that reads four octets of an AS number.
Attributes rewritten(const AttributeSet& attributes, const Rewrite& rewrite);

} // namespace margay::bgp
