// SPDX-License-Identifier: Apache-2.0
// KeyedIds: small numbers for keys, counted, and not reused too early.
//
// A number that is given back stays with its key for a grace period: a program that is running, an
// event on its way to a person or a flow that still names it must not find another meaning. The
// same key takes its number back within that time. Numbers adopted from an earlier run wait for
// their users until seal(), and only then does their grace period begin.
//
// Pure: time is an argument.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "margay/clock.h"
#include "margay/result.h"

namespace margay::datapath {

template <typename Key>
class KeyedIds {
public:
    using Time = Clock::Time;

    // Numbers from `first` to `last`; `what` names them in errors.
    KeyedIds(std::uint32_t first, std::uint32_t last, std::chrono::nanoseconds grace,
             std::string what)
        : first_(first), last_(last), grace_(grace), what_(std::move(what)), fresh_(first)
    {
    }

    // False if the number or the key is taken, or the number is out of range: a damaged dictionary.
    bool adopt(const Key& key, std::uint32_t id)
    {
        if (id < first_ || id > last_ || used_.contains(id) || entries_.contains(key))
            return false;
        used_.insert(id);
        entries_.emplace(key, Entry{id, 0, std::nullopt});
        return true;
    }

    // One more user of the key's number.
    Result<std::uint32_t> acquire(const Key& key)
    {
        if (const auto it = entries_.find(key); it != entries_.end()) {
            it->second.users++;
            idle_ -= it->second.idle_since ? 1u : 0u;
            it->second.idle_since.reset();
            return it->second.id;
        }
        const auto id = take();
        if (!id)
            return Error{Errc::Full, 0,
                         "all " + std::to_string(last_ - first_ + 1) + " " + what_ + " are in use"};
        used_.insert(*id);
        entries_.emplace(key, Entry{*id, 1, std::nullopt});
        return *id;
    }

    void release(const Key& key, Time now)
    {
        const auto it = entries_.find(key);
        if (it == entries_.end() || it->second.users == 0 || --it->second.users > 0)
            return;
        it->second.idle_since = now;
        idle_++;
    }

    void seal(Time now)
    {
        for (auto& [key, entry] : entries_)
            if (entry.users == 0 && !entry.idle_since) {
                entry.idle_since = now;
                idle_++;
            }
    }

    // Frees what has been idle for the grace period, and says what that was. The numbers can be
    // taken only after the NEXT call: until then the caller removes what a pinned map says of
    // them, so that no two keys ever stand there with one number.
    std::vector<std::pair<Key, std::uint32_t>> expire(Time now)
    {
        returned_.merge(cooling_);
        cooling_.clear();
        std::vector<std::pair<Key, std::uint32_t>> freed;
        for (auto it = entries_.begin(); idle_ > 0 && it != entries_.end();) {
            const auto& entry = it->second;
            if (entry.idle_since && now - *entry.idle_since >= grace_) {
                used_.erase(entry.id);
                cooling_.insert(entry.id);
                freed.emplace_back(it->first, entry.id);
                it = entries_.erase(it);
                idle_--;
            } else {
                ++it;
            }
        }
        return freed;
    }

    std::vector<std::pair<Key, std::uint32_t>> all() const
    {
        std::vector<std::pair<Key, std::uint32_t>> list;
        for (const auto& [key, entry] : entries_)
            list.emplace_back(key, entry.id);
        return list;
    }
    std::optional<std::uint32_t> find(const Key& key) const
    {
        const auto it = entries_.find(key);
        return it == entries_.end() ? std::nullopt : std::optional(it->second.id);
    }
    bool in_use(const Key& key) const
    {
        const auto it = entries_.find(key);
        return it != entries_.end() && it->second.users > 0;
    }
    std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        std::uint32_t id = 0;
        std::uint32_t users = 0;
        std::optional<Time> idle_since;
    };

    // Numbers never used come first: the longer an old one rests the better.
    std::optional<std::uint32_t> take()
    {
        while (fresh_ <= last_ &&
               (used_.contains(fresh_) || returned_.contains(fresh_) || cooling_.contains(fresh_)))
            fresh_++;
        if (fresh_ <= last_)
            return fresh_++;
        if (returned_.empty())
            return std::nullopt;
        return returned_.extract(returned_.begin()).value();
    }

    std::uint32_t first_;
    std::uint32_t last_;
    std::chrono::nanoseconds grace_;
    std::string what_;
    std::uint32_t fresh_; // all below were used once
    std::map<Key, Entry> entries_;
    std::size_t idle_ = 0; // of them
    std::set<std::uint32_t> used_;
    std::set<std::uint32_t> cooling_;
    std::set<std::uint32_t> returned_;
};

} // namespace margay::datapath
