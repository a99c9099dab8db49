// SPDX-License-Identifier: Apache-2.0
// EtcdKv: Kv on etcd's v3 API, blocking.
//
// Every operation ends within StoreConfig::request_timeout. It first makes sure of a connection,
// trying the endpoints in turn; only then is a write sent, once. So a write that fails before it
// was sent moves on to the next endpoint, and one that fails afterwards is reported (kv.h).

#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "agent/store/channel.h"

namespace margay::store {

class EtcdKv final : public Kv {
public:
    // `config` has been validated.
    EtcdKv(StoreConfig config, std::vector<Endpoint> endpoints);

    Result<std::optional<Entry>> get(const std::string& key) override;
    Result<std::vector<Entry>> list(const std::string& prefix) override;
    Result<TxnResult> create(const std::string& key, const std::string& value) override;
    Result<TxnResult> update(const std::string& key, const std::string& value,
                             std::int64_t mod_revision) override;
    Result<TxnResult> remove(const std::string& key,
                             std::optional<std::int64_t> mod_revision) override;
    Result<TxnResult> put(const std::string& key, const std::string& value,
                          std::optional<std::chrono::seconds> ttl) override;
    void cancel() override;

private:
    using Deadline = std::chrono::system_clock::time_point;
    using Call = std::function<grpc::Status(grpc::ClientContext&)>;
    enum class Kind { Read, Write };
    struct Session {
        std::shared_ptr<grpc::Channel> channel;
        std::unique_ptr<pb::KV::Stub> kv;
        std::unique_ptr<pb::Lease::Stub> lease;
        std::unique_ptr<pb::Auth::Stub> auth;
        std::string token;
    };

    Deadline deadline() const;
    Status connect(Deadline until);
    Status open(Deadline until);
    bool wait_ready(Deadline until);
    Status authenticate(Deadline until);
    void rotate();
    Status call(const std::string& what, Kind kind, Deadline until, const Call& rpc);
    grpc::Status attempt(Deadline until, const Call& rpc);
    Result<pb::RangeResponse> range(const pb::RangeRequest& request, Deadline until);
    Result<pb::TxnResponse> txn(const std::string& key, const pb::TxnRequest& request,
                                Deadline until);
    Result<std::int64_t> grant(std::chrono::seconds ttl, Deadline until);
    Status cancelled() const;

    StoreConfig config_;
    std::vector<Endpoint> endpoints_;
    std::size_t endpoint_ = 0;
    Session session_;

    // cancel() comes from another thread.
    std::atomic<bool> cancelled_{false};
    std::mutex mutex_; // guards `running_`
    grpc::ClientContext* running_ = nullptr;
};

} // namespace margay::store
