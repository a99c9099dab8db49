// SPDX-License-Identifier: Apache-2.0
// FakeKv: Kv in memory, with etcd's rules, for tests of sequential jobs.
//
// A hook runs before every write and may let it through, or inject one of the three things that
// happen in life: somebody else was faster, the store is gone, or the process died (before or
// just after the write). Copies of the table share nothing; two "processes" in a test share one
// FakeKvTable through two FakeKv.

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/kv.h"

namespace margay::testing {

struct FakeKvTable {
    std::map<std::string, store::Entry> entries;
    std::int64_t revision = 1;
    std::map<std::string, std::chrono::seconds> ttls; // of the last put with one

    std::int64_t write(const std::string& key, const std::string& value)
    {
        entries[key] = {key, value, ++revision};
        ttls.erase(key);
        return revision;
    }
    void erase(const std::string& key)
    {
        if (entries.erase(key))
            ++revision;
        ttls.erase(key);
    }
};

class FakeKv final : public store::Kv {
public:
    enum class Fate {
        Normal,
        Conflict,    // the write is refused as if another writer had come first
        Unavailable, // it fails and did not happen
        CrashBefore, // it did not happen, and from here on everything is Unavailable
        CrashAfter,  // it happened, the answer is lost, and everything after is Unavailable
    };
    struct Write {
        int number;     // counts from 1 over all writes of this FakeKv
        std::string op; // "create", "update", "remove", "put"
        std::string key;
        std::string value;
    };

    explicit FakeKv(std::shared_ptr<FakeKvTable> t = std::make_shared<FakeKvTable>())
        : table(std::move(t))
    {
    }

    // Runs before each write. It may also change `table`: that is the other writer of a race.
    std::function<Fate(const Write&)> before_write;
    void fail_write(int number, Fate fate)
    {
        before_write = [number, fate](const Write& w) {
            return w.number == number ? fate : Fate::Normal;
        };
    }
    std::function<void(const std::string& key_or_prefix)> before_read;

    std::shared_ptr<FakeKvTable> table;
    std::vector<Write> writes; // everything that was tried
    bool gone = false;         // the store does not answer (any more)

    Result<std::optional<store::Entry>> get(const std::string& key) override
    {
        if (before_read)
            before_read(key);
        if (gone)
            return unavailable();
        return find(key);
    }

    Result<std::vector<store::Entry>> list(const std::string& prefix) override
    {
        if (before_read)
            before_read(prefix);
        if (gone)
            return unavailable();
        std::vector<store::Entry> found;
        for (auto it = table->entries.lower_bound(prefix);
             it != table->entries.end() && it->first.starts_with(prefix); ++it)
            found.push_back(it->second);
        return found;
    }

    Result<store::TxnResult> create(const std::string& key, const std::string& value) override
    {
        return write({0, "create", key, value}, [&]() -> store::TxnResult {
            if (auto current = find(key))
                return {Errc::Exists, 0, std::move(current)};
            return {{}, table->write(key, value), {}};
        });
    }

    Result<store::TxnResult> update(const std::string& key, const std::string& value,
                                    std::int64_t mod_revision) override
    {
        return write({0, "update", key, value}, [&]() -> store::TxnResult {
            auto current = find(key);
            if (!current)
                return {Errc::NotFound, 0, {}};
            if (current->mod_revision != mod_revision)
                return {Errc::Conflict, 0, std::move(current)};
            return {{}, table->write(key, value), {}};
        });
    }

    Result<store::TxnResult> remove(const std::string& key,
                                    std::optional<std::int64_t> mod_revision = {}) override
    {
        return write({0, "remove", key, ""}, [&]() -> store::TxnResult {
            auto current = find(key);
            if (!current)
                return {Errc::NotFound, 0, {}};
            if (mod_revision && current->mod_revision != *mod_revision)
                return {Errc::Conflict, 0, std::move(current)};
            table->erase(key);
            return {{}, table->revision, {}};
        });
    }

    Result<store::TxnResult> put(const std::string& key, const std::string& value,
                                 std::optional<std::chrono::seconds> ttl = {}) override
    {
        return write({0, "put", key, value}, [&]() -> store::TxnResult {
            const auto revision = table->write(key, value);
            if (ttl)
                table->ttls[key] = *ttl;
            return {{}, revision, {}};
        });
    }

    void cancel() override { gone = true; }

private:
    static Error unavailable() { return {Errc::Unavailable, 0, "the fake store is gone"}; }

    std::optional<store::Entry> find(const std::string& key) const
    {
        const auto it = table->entries.find(key);
        return it == table->entries.end() ? std::nullopt : std::optional(it->second);
    }

    template <typename Action>
    Result<store::TxnResult> write(Write w, Action action)
    {
        if (gone)
            return unavailable();
        w.number = static_cast<int>(writes.size()) + 1;
        writes.push_back(w);
        const Fate fate = before_write ? before_write(w) : Fate::Normal;
        switch (fate) {
        case Fate::Normal:
            return action();
        case Fate::Conflict:
            return store::TxnResult{w.op == "create" ? Errc::Exists : Errc::Conflict, 0,
                                    find(w.key)};
        case Fate::CrashAfter:
            (void)action();
            [[fallthrough]];
        case Fate::CrashBefore:
            gone = true;
            [[fallthrough]];
        case Fate::Unavailable:
            return unavailable();
        }
        return unavailable();
    }
};

} // namespace margay::testing
