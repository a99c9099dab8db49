// SPDX-License-Identifier: Apache-2.0
// Store: the datastore as one snapshot and then a stream of changes.
//
// start() connects in the background and keeps at it for ever. The first complete listing of all
// keys below StoreConfig::prefix is on_snapshot, exactly once in the life of the object; from
// then on there is only on_changes. If the connection is lost, the history compacted, or the
// datastore restored to an older state, the store lists again and itself works out what changed
// since (deletes too), so nobody else needs to know. An entry whose mod_revision and value are
// what was told before is not told again.
//
// All callbacks run on the executor's thread, never from inside start() or stop(), and never
// after stop() or destruction. A guard against the deletion of everything is not made here.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/kv.h"
#include "margay/executor.h"
#include "margay/log.h"
#include "margay/result.h"

namespace margay::store {

struct Change {
    std::string key;
    std::optional<std::string> value; // nullopt: the key is gone
    std::int64_t revision = 0;        // at which it happened, or at which a re-list found it

    bool operator==(const Change&) const = default;
};

// Something in the datastore that could not become a key at all (a manifest file that does not
// parse). Values that are keys but make no sense are for agent/model to judge.
struct Problem {
    std::string source; // "pools.yaml, document 2"
    std::string reason;

    bool operator==(const Problem&) const = default;
};

struct Callbacks {
    std::function<void(std::vector<Entry>, std::int64_t revision)> on_snapshot;
    std::function<void(std::vector<Change>)> on_changes;
    // On every transition. `reason` is empty when connected.
    std::function<void(bool connected, std::string reason)> on_state;
    // The whole list, whenever it changes. May be left empty.
    std::function<void(std::vector<Problem>)> on_problems;
};

struct StoreStatus {
    bool connected = false;
    bool synced = false;       // on_snapshot has been called
    std::int64_t revision = 0; // everything up to here has been told
    std::string endpoint;      // in use, or tried last
    std::string reason;        // why it is not connected
    std::uint64_t relists = 0; // full listings after the first
    std::vector<Problem> problems;
};

enum class StoreType { EtcdV3, File };

struct StoreConfig {
    StoreType type = StoreType::EtcdV3;
    std::string prefix = "/calico/";

    // etcd. "http://host:port" or "https://host:port"; the scheme decides about TLS.
    std::vector<std::string> endpoints;
    std::string username; // both or none
    std::string password;
    std::string ca_file;   // empty: the system's
    std::string cert_file; // both or none
    std::string key_file;
    std::chrono::milliseconds dial_timeout{5000};     // one attempt at one endpoint
    std::chrono::milliseconds request_timeout{10000}; // one Kv operation, fail-over included
    std::chrono::milliseconds keepalive_time{30000};  // HTTP/2 pings on an idle connection
    std::chrono::milliseconds keepalive_timeout{10000};
    // A small linearizable read beside the watch. It finds what keepalive cannot: a member that
    // lost its cluster, a restored datastore, a connection whose retransmissions have backed off.
    std::chrono::milliseconds probe_interval{5000};
    std::size_t page_size = 1000; // keys a Range; halved by itself when a page is too large

    // file
    std::string folder;
};

// Names the variable and the remedy, as in "ETCD_ENDPOINTS is empty: set it to ...".
Status validate(const StoreConfig& config);

class Store {
public:
    virtual ~Store() = default;

    virtual void start(Callbacks callbacks) = 0;
    virtual void stop() = 0;
    virtual StoreStatus status() const = 0;
};

// `executor` must outlive the store.
Result<std::unique_ptr<Store>> make_store(Executor& executor, Log log, const StoreConfig& config);
Result<std::unique_ptr<Kv>> make_kv(const StoreConfig& config);

} // namespace margay::store
