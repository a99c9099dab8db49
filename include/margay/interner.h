// SPDX-License-Identifier: Apache-2.0
// Interner: one shared object for all that is equal. What a hundred thousand things have in common
// is stored once, and compared by its address.

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <unordered_set>
#include <utility>

namespace margay {

// Hash: std::size_t operator()(const T&) const, equal for equal values.
template <typename T, typename Hash>
class Interner {
public:
    using Ptr = std::shared_ptr<const T>;

    // Two results are the same pointer as long as one is held, if and only if they are equal.
    Ptr get(T value)
    {
        if (last_ && *last_ == value) // news come in rows
            return last_;
        const auto known = values_.find(value);
        if (known != values_.end())
            return last_ = *known;
        if (values_.size() >= limit_)
            sweep();
        last_ = std::make_shared<const T>(std::move(value));
        values_.insert(last_);
        return last_;
    }
    std::size_t size() const { return values_.size(); }

private:
    struct HashOf {
        using is_transparent = void;
        std::size_t operator()(const T& value) const { return Hash()(value); }
        std::size_t operator()(const Ptr& value) const { return Hash()(*value); }
    };
    struct Equal {
        using is_transparent = void;
        static const T& of(const T& value) { return value; }
        static const T& of(const Ptr& value) { return *value; }
        template <typename A, typename B>
        bool operator()(const A& a, const B& b) const
        {
            return of(a) == of(b);
        }
    };

    // What nobody holds any more; each value pays for it once.
    void sweep()
    {
        last_.reset();
        std::erase_if(values_, [](const Ptr& value) { return value.use_count() == 1; });
        limit_ = std::max(kLeast, 2 * values_.size());
    }

    static constexpr std::size_t kLeast = 64;
    std::unordered_set<Ptr, HashOf, Equal> values_;
    std::size_t limit_ = kLeast;
    Ptr last_;
};

} // namespace margay
