// SPDX-License-Identifier: Apache-2.0
#include "agent/store/etcd_kv.h"

#include <algorithm>
#include <thread>

#include "agent/store/page_limit.h"

namespace margay::store {
namespace {

using namespace std::chrono_literals;
using SystemClock = std::chrono::system_clock;

Entry to_entry(const mvccpb::KeyValue& kv)
{
    return {kv.key(), kv.value(), kv.mod_revision()};
}

Error to_error(const std::string& what, const grpc::Status& status)
{
    Errc code = Errc::Unavailable;
    switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
        code = Errc::Denied;
        break;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
        code = Errc::Invalid;
        break;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
        code = Errc::Full;
        break;
    default:
        break;
    }
    return {code, 0, what + ": " + describe(status)};
}

// The connection is of no use any more, or its member has lost its cluster.
bool is_connection_loss(const grpc::Status& status)
{
    return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
           status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

void add_get(pb::RequestOp& op, const std::string& key)
{
    op.mutable_request_range()->set_key(key);
}

void add_put(pb::RequestOp& op, const std::string& key, const std::string& value)
{
    op.mutable_request_put()->set_key(key);
    op.mutable_request_put()->set_value(value);
}

// What the failure branch of our transactions, a get, has read.
std::optional<Entry> current_entry(const pb::TxnResponse& response)
{
    if (response.responses().empty() || response.responses(0).response_range().kvs().empty())
        return {};
    return to_entry(response.responses(0).response_range().kvs(0));
}

TxnResult to_result(const pb::TxnResponse& response, Errc when_present)
{
    if (response.succeeded())
        return {{}, response.header().revision(), {}};
    auto current = current_entry(response);
    const Errc refused = current ? when_present : Errc::NotFound;
    return {refused, 0, std::move(current)};
}

} // namespace

EtcdKv::EtcdKv(StoreConfig config, std::vector<Endpoint> endpoints)
    : config_(std::move(config)), endpoints_(std::move(endpoints))
{
}

// --- connection ---

EtcdKv::Deadline EtcdKv::deadline() const
{
    return SystemClock::now() + config_.request_timeout;
}

Status EtcdKv::cancelled() const
{
    return cancelled_ ? Status(Error{Errc::Unavailable, 0, "etcd: cancelled"}) : Status();
}

Status EtcdKv::connect(Deadline until)
{
    Status last = Error{Errc::Unavailable, 0, "etcd: no time left to connect"};
    for (unsigned tries = 0; SystemClock::now() < until; tries++) {
        if (auto stopped = cancelled(); !stopped)
            return stopped;
        last = open(until);
        if (last || last.error().code == Errc::Denied)
            return last;
        rotate();
        if ((tries + 1) % endpoints_.size() == 0)
            std::this_thread::sleep_for(100ms); // a round of refusals takes no time at all
    }
    return last;
}

Status EtcdKv::open(Deadline until)
{
    const Deadline attempt_until = std::min(until, SystemClock::now() + config_.dial_timeout);
    if (!session_.channel) {
        auto channel = open_channel(config_, endpoints_[endpoint_]);
        if (!channel)
            return channel.error();
        session_.channel = std::move(*channel);
        session_.kv = pb::KV::NewStub(session_.channel);
        session_.lease = pb::Lease::NewStub(session_.channel);
        session_.auth = pb::Auth::NewStub(session_.channel);
    }
    if (!wait_ready(attempt_until))
        return Error{Errc::Unavailable, 0,
                     "etcd " + config_.endpoints[endpoint_] + ": cannot connect"};
    if (config_.username.empty() || !session_.token.empty())
        return {};
    return authenticate(attempt_until);
}

// In steps, so that cancel() is heard.
bool EtcdKv::wait_ready(Deadline until)
{
    for (auto state = session_.channel->GetState(true); state != GRPC_CHANNEL_READY;
         state = session_.channel->GetState(true)) {
        if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN)
            return false;
        const auto now = SystemClock::now();
        if (cancelled_ || now >= until)
            return false;
        (void)session_.channel->WaitForStateChange(state, std::min(until, now + 100ms));
    }
    return true;
}

Status EtcdKv::authenticate(Deadline until)
{
    pb::AuthenticateRequest request;
    pb::AuthenticateResponse response;
    request.set_name(config_.username);
    request.set_password(config_.password);
    session_.token.clear();
    const auto status = attempt(until, [&](grpc::ClientContext& context) {
        return session_.auth->Authenticate(&context, request, &response);
    });
    if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
        return Error{Errc::Denied, 0,
                     "etcd: authenticate as " + config_.username + ": " + describe(status)};
    if (!status.ok())
        return to_error("etcd: authenticate as " + config_.username, status);
    session_.token = response.token();
    return {};
}

void EtcdKv::rotate()
{
    session_ = {};
    endpoint_ = (endpoint_ + 1) % endpoints_.size();
}

grpc::Status EtcdKv::attempt(Deadline until, const Call& rpc)
{
    grpc::ClientContext context;
    context.set_deadline(until);
    if (!session_.token.empty())
        context.AddMetadata("token", session_.token);
    {
        const std::lock_guard lock(mutex_);
        running_ = &context;
        if (cancelled_)
            context.TryCancel();
    }
    const auto status = rpc(context);
    const std::lock_guard lock(mutex_);
    running_ = nullptr;
    return status;
}

void EtcdKv::cancel()
{
    cancelled_ = true;
    const std::lock_guard lock(mutex_);
    if (running_)
        running_->TryCancel();
}

Status EtcdKv::call(const std::string& what, Kind kind, Deadline until, const Call& rpc)
{
    for (bool renewed = false;;) {
        if (auto connected = connect(until); !connected)
            return connected.error();
        // A read may be repeated elsewhere, so it does not get all the time at one endpoint.
        const Deadline attempt_until =
            kind == Kind::Read ? std::min(until, SystemClock::now() + config_.dial_timeout) : until;
        const auto status = attempt(attempt_until, rpc);
        if (status.ok())
            return {};
        if (!config_.username.empty() && is_stale_token(status) && !renewed) {
            renewed = true;
            session_.token.clear(); // refused before it was carried out, so writes may try again
            continue;
        }
        if (auto stopped = cancelled(); !stopped)
            return stopped;
        if (!is_connection_loss(status))
            return to_error("etcd: " + what, status);
        rotate();
        if (kind == Kind::Write || SystemClock::now() >= until)
            return to_error("etcd: " + what, status);
    }
}

// --- operations ---

Result<pb::RangeResponse> EtcdKv::range(const pb::RangeRequest& request, Deadline until)
{
    pb::RangeResponse response;
    auto done = call("read " + request.key(), Kind::Read, until, [&](grpc::ClientContext& context) {
        return session_.kv->Range(&context, request, &response);
    });
    if (!done)
        return done.error();
    return response;
}

Result<std::optional<Entry>> EtcdKv::get(const std::string& key)
{
    pb::RangeRequest request;
    request.set_key(key);
    auto response = range(request, deadline());
    if (!response)
        return response.error();
    if (response->kvs().empty())
        return std::optional<Entry>();
    return std::optional(to_entry(response->kvs(0)));
}

Result<std::vector<Entry>> EtcdKv::list(const std::string& prefix)
{
    const Deadline until = deadline();
    std::vector<Entry> entries;
    pb::RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(prefix_end(prefix));
    PageLimit limit(config_.page_size);
    for (;;) {
        request.set_limit(limit.keys());
        auto page = range(request, until);
        if (!page && page.error().code == Errc::Full && limit.shrink())
            continue;
        if (!page)
            return page.error();
        for (const auto& kv : page->kvs())
            entries.push_back(to_entry(kv));
        if (!page->more() || page->kvs().empty())
            return entries;
        if (request.revision() == 0)
            request.set_revision(page->header().revision());
        request.set_key(entries.back().key + '\0');
        limit.grow();
    }
}

Result<pb::TxnResponse> EtcdKv::txn(const std::string& key, const pb::TxnRequest& request,
                                    Deadline until)
{
    pb::TxnResponse response;
    auto done = call("write " + key, Kind::Write, until, [&](grpc::ClientContext& context) {
        return session_.kv->Txn(&context, request, &response);
    });
    if (!done)
        return done.error();
    return response;
}

Result<TxnResult> EtcdKv::create(const std::string& key, const std::string& value)
{
    pb::TxnRequest request;
    auto& absent = *request.add_compare();
    absent.set_key(key);
    absent.set_target(pb::Compare::VERSION);
    absent.set_version(0);
    add_put(*request.add_success(), key, value);
    add_get(*request.add_failure(), key);
    auto response = txn(key, request, deadline());
    if (!response)
        return response.error();
    return to_result(*response, Errc::Exists);
}

Result<TxnResult> EtcdKv::update(const std::string& key, const std::string& value,
                                 std::int64_t mod_revision)
{
    pb::TxnRequest request;
    auto& same = *request.add_compare();
    same.set_key(key);
    same.set_target(pb::Compare::MOD);
    same.set_mod_revision(mod_revision);
    auto& present = *request.add_compare(); // etcd takes a missing key for one of revision 0
    present.set_key(key);
    present.set_target(pb::Compare::VERSION);
    present.set_result(pb::Compare::GREATER);
    present.set_version(0);
    add_put(*request.add_success(), key, value);
    add_get(*request.add_failure(), key);
    auto response = txn(key, request, deadline());
    if (!response)
        return response.error();
    return to_result(*response, Errc::Conflict);
}

Result<TxnResult> EtcdKv::remove(const std::string& key, std::optional<std::int64_t> mod_revision)
{
    pb::TxnRequest request;
    auto& condition = *request.add_compare();
    condition.set_key(key);
    if (mod_revision) {
        condition.set_target(pb::Compare::MOD);
        condition.set_mod_revision(*mod_revision);
    } else { // there at all
        condition.set_target(pb::Compare::VERSION);
        condition.set_result(pb::Compare::GREATER);
        condition.set_version(0);
    }
    request.add_success()->mutable_request_delete_range()->set_key(key);
    add_get(*request.add_failure(), key);
    auto response = txn(key, request, deadline());
    if (!response)
        return response.error();
    return to_result(*response, Errc::Conflict);
}

Result<std::int64_t> EtcdKv::grant(std::chrono::seconds ttl, Deadline until)
{
    pb::LeaseGrantRequest request;
    pb::LeaseGrantResponse response;
    request.set_ttl(std::max<std::int64_t>(ttl.count(), 1));
    auto done = call("grant a lease", Kind::Write, until, [&](grpc::ClientContext& context) {
        return session_.lease->LeaseGrant(&context, request, &response);
    });
    if (!done)
        return done.error();
    return response.id();
}

Result<TxnResult> EtcdKv::put(const std::string& key, const std::string& value,
                              std::optional<std::chrono::seconds> ttl)
{
    const Deadline until = deadline();
    pb::PutRequest request;
    pb::PutResponse response;
    request.set_key(key);
    request.set_value(value);
    if (ttl) {
        auto lease = grant(*ttl, until);
        if (!lease)
            return lease.error();
        request.set_lease(*lease);
    }
    auto done = call("write " + key, Kind::Write, until, [&](grpc::ClientContext& context) {
        return session_.kv->Put(&context, request, &response);
    });
    if (!done)
        return done.error();
    return TxnResult{{}, response.header().revision(), {}};
}

} // namespace margay::store
