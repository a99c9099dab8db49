// SPDX-License-Identifier: Apache-2.0
// Kv: the datastore as a blocking key-value table, for jobs that are a sequence of reads and
// compare-and-swap writes (startup, the IPAM claim protocol). Never call it on the executor: run
// such jobs on a Worker.
//
// Keys are whole paths ("/calico/ipam/v2/config"), values are bytes. A mod_revision is the token
// of a compare-and-swap: it changes with every write of its key. With etcd it is the cluster's
// revision of the last write; with the file store compare it for equality only.
//
// Two kinds of "no":
//   - The store answered, and the condition of the write did not hold: a TxnResult whose
//     `refused` says why. That is a normal outcome of a race, not an error.
//   - The store did not answer, or refuses us: Error Unavailable, Denied or Invalid. A write that
//     ends in Unavailable MAY HAVE HAPPENED; read again before you decide.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "margay/result.h"

namespace margay::store {

struct Entry {
    std::string key;
    std::string value;
    std::int64_t mod_revision = 0;

    bool operator==(const Entry&) const = default;
};

struct TxnResult {
    // Not set: written (or removed). Exists: create() found the key. Conflict: it has another
    // mod_revision. NotFound: update() or remove() of a key that is not there.
    std::optional<Errc> refused;
    std::int64_t revision = 0;    // mod_revision of the key after our write; 0 when refused
    std::optional<Entry> current; // when refused: what the store holds, unless NotFound

    bool done() const { return !refused; }
    // The same for callers who only want to go on or give up.
    Status status(std::string_view what) const
    {
        return refused ? Status(Error{*refused, 0, std::string(what)}) : Status();
    }
};

class Kv {
public:
    virtual ~Kv() = default;

    virtual Result<std::optional<Entry>> get(const std::string& key) = 0;
    // All keys that begin with `prefix`, in byte order, as of one revision.
    virtual Result<std::vector<Entry>> list(const std::string& prefix) = 0;

    virtual Result<TxnResult> create(const std::string& key, const std::string& value) = 0;
    virtual Result<TxnResult> update(const std::string& key, const std::string& value,
                                     std::int64_t mod_revision) = 0;
    // Without a mod_revision: whatever is there.
    virtual Result<TxnResult> remove(const std::string& key,
                                     std::optional<std::int64_t> mod_revision = {}) = 0;
    // Unconditional; with `ttl` the key vanishes by itself unless it is put again.
    virtual Result<TxnResult> put(const std::string& key, const std::string& value,
                                  std::optional<std::chrono::seconds> ttl = {}) = 0;

    // The only member that another thread may call: the operation under way and all later ones
    // end with Unavailable, soon.
    virtual void cancel() = 0;
};

} // namespace margay::store
