// SPDX-License-Identifier: Apache-2.0
// The way to one etcd endpoint: channels, and Link, where gRPC's threads end.
//
// A Link is one connection. It starts calls on the executor's thread; one thread of its own waits
// for their ends and posts each to the executor, and does nothing else. There is no fail-over and
// no reconnection here: whoever owns the Link throws it away when it fails and opens another one,
// which also reads the TLS files again.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/store/endpoint.h"
#include "agent/store/store.h"
#include "etcd_rpc.grpc.pb.h"
#include "margay/executor.h"

namespace margay::store {

namespace pb = ::etcdserverpb;

// Larger answers are refused. A listing then asks for fewer keys at a time; a single value of
// this size is an attack or an accident.
constexpr int kMaxMessageBytes = 64 << 20;

// A fresh connection that shares nothing with earlier ones, not even their back-off.
Result<std::shared_ptr<grpc::Channel>> open_channel(const StoreConfig& config,
                                                    const Endpoint& endpoint);

// For people: "UNAVAILABLE: connection refused".
std::string describe(const grpc::Status& status);

// The token is unknown or older than the last change of users and roles: authenticate again.
bool is_stale_token(const grpc::Status& status);

class Link {
public:
    using OnRange = std::function<void(const grpc::Status&, pb::RangeResponse&)>;
    using OnToken = std::function<void(const grpc::Status&, const std::string& token)>;
    using OnWatch = std::function<void(pb::WatchResponse&)>;
    using OnEnd = std::function<void(const grpc::Status&)>;

    static Result<std::unique_ptr<Link>> open(Executor& executor, const StoreConfig& config,
                                              const Endpoint& endpoint);
    // Cancels what is under way. No callback runs afterwards. May be called from a callback.
    ~Link();

    void set_token(std::string token);
    void authenticate(const std::string& name, const std::string& password,
                      std::chrono::milliseconds timeout, OnToken done);
    void range(const pb::RangeRequest& request, std::chrono::milliseconds timeout, OnRange done);
    // One stream at a time: a second call ends the first without a callback. The next response is
    // asked for when `on_response` has returned, so a slow executor slows etcd down.
    void watch(const pb::WatchRequest& request, OnWatch on_response, OnEnd on_end);

    struct Impl;

private:
    explicit Link(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

} // namespace margay::store
