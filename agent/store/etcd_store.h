// SPDX-License-Identifier: Apache-2.0
// EtcdStore: Store on etcd's v3 API, on the executor's thread.
//
//   connect   open a Link to the next endpoint, authenticate, one small linearizable read
//   list      all keys below the prefix, page by page, at one revision
//   watch     from the revision after the listing; a probe runs beside it
//   failed    throw the Link away, wait a little (at most 2 s), connect to the next endpoint
//
// Every new connection lists again. That costs one listing, and pays for never having to prove
// that the datastore behind it is still the one we knew: it may have been compacted past us,
// restored from a backup, or wiped.

#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "agent/store/cache.h"
#include "agent/store/channel.h"
#include "agent/store/page_limit.h"

namespace margay::store {

class EtcdStore final : public Store {
public:
    // `config` has been validated.
    EtcdStore(Executor& executor, Log log, StoreConfig config, std::vector<Endpoint> endpoints);

    void start(Callbacks callbacks) override;
    void stop() override;
    StoreStatus status() const override;

private:
    void connect();
    void authenticate();
    void on_token(const grpc::Status& status, const std::string& token);
    void first_read();

    void list();
    void list_page();
    void on_page(const grpc::Status& status, pb::RangeResponse& page);
    void finish_listing();

    void watch();
    void on_watch(pb::WatchResponse& response);
    void on_watch_cancelled(const pb::WatchResponse& response);
    void collect(pb::WatchResponse& response);

    void schedule_probe();
    void probe();
    void on_probe(const grpc::Status& status, const pb::RangeResponse& response,
                  std::int64_t known);
    void relist(const std::string& why);

    void set_connected();
    void failed(std::string reason);
    void check_history(const pb::ResponseHeader& header);
    pb::RangeRequest small_read() const;
    std::chrono::milliseconds back_off();

    Executor& executor_;
    Log log_;
    StoreConfig config_;
    std::vector<Endpoint> endpoints_;
    Callbacks callbacks_;
    Cache cache_;
    StoreStatus status_;

    std::unique_ptr<Link> link_;
    std::size_t endpoint_ = 0;
    unsigned failures_ = 0;  // in a row
    bool announced_ = false; // on_state has told the present state
    Timer retry_timer_;
    Timer probe_timer_;
    Timer watch_timer_; // etcd must confirm a watch
    std::minstd_rand random_;

    struct Listing {
        std::vector<Entry> entries;
        std::string next_key;
        std::int64_t revision = 0; // 0 until the first page
        PageLimit limit{1};
        unsigned restarts = 0; // compacted while listing
    } listing_;
    std::vector<Change> fragments_; // of a response that is not complete yet
    std::uint64_t cluster_id_ = 0;
};

} // namespace margay::store
