// SPDX-License-Identifier: Apache-2.0
#include "agent/store/etcd_store.h"

#include <algorithm>

namespace margay::store {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kFirstBackOff = 100ms;
constexpr std::chrono::milliseconds kLongestBackOff = 2000ms;
constexpr std::chrono::milliseconds kPageTimeout = 30s; // a page may be tens of megabytes
constexpr unsigned kMaxListRestarts = 5;

} // namespace

EtcdStore::EtcdStore(Executor& executor, Log log, StoreConfig config,
                     std::vector<Endpoint> endpoints)
    : executor_(executor), log_(std::move(log)), config_(std::move(config)),
      endpoints_(std::move(endpoints)), retry_timer_(executor), probe_timer_(executor),
      watch_timer_(executor), random_(std::random_device{}())
{
    status_.reason = "not started";
}

void EtcdStore::start(Callbacks callbacks)
{
    callbacks_ = std::move(callbacks);
    retry_timer_.start(0ms, [this] { connect(); });
}

void EtcdStore::stop()
{
    retry_timer_.stop();
    probe_timer_.stop();
    watch_timer_.stop();
    link_.reset();
    status_.connected = false;
    status_.reason = "stopped";
}

StoreStatus EtcdStore::status() const
{
    return status_;
}

// --- connect ---

void EtcdStore::connect()
{
    status_.endpoint = config_.endpoints[endpoint_];
    auto link = Link::open(executor_, config_, endpoints_[endpoint_]);
    if (!link)
        return failed(link.error().what);
    link_ = std::move(*link);
    if (config_.username.empty())
        first_read();
    else
        authenticate();
}

void EtcdStore::authenticate()
{
    link_->authenticate(
        config_.username, config_.password, config_.dial_timeout,
        [this](const grpc::Status& status, const std::string& token) { on_token(status, token); });
}

void EtcdStore::on_token(const grpc::Status& status, const std::string& token)
{
    if (!status.ok())
        return failed("authenticate as " + config_.username + ": " + describe(status));
    link_->set_token(token);
    if (status_.connected)
        schedule_probe(); // the token had become stale beside a healthy watch
    else
        first_read();
}

// Linearizable, so that a member without its cluster does not pass for a healthy one.
pb::RangeRequest EtcdStore::small_read() const
{
    pb::RangeRequest request;
    request.set_key(config_.prefix);
    request.set_keys_only(true);
    return request;
}

void EtcdStore::first_read()
{
    link_->range(small_read(), config_.dial_timeout,
                 [this](const grpc::Status& status, pb::RangeResponse& response) {
                     if (!status.ok())
                         return failed(describe(status));
                     check_history(response.header());
                     list();
                 });
}

// Only a report: every connection lists again anyhow.
void EtcdStore::check_history(const pb::ResponseHeader& header)
{
    if (status_.synced && header.revision() < status_.revision)
        log_->warn("etcd went back in history, listing again: revision={} before={}",
                   header.revision(), status_.revision);
    if (cluster_id_ != 0 && header.cluster_id() != cluster_id_)
        log_->warn("etcd is another cluster than before, listing again: cluster={:x} before={:x}",
                   header.cluster_id(), cluster_id_);
    cluster_id_ = header.cluster_id();
}

// --- list ---

void EtcdStore::list()
{
    listing_ = {};
    listing_.limit = PageLimit(config_.page_size);
    listing_.next_key = config_.prefix;
    list_page();
}

void EtcdStore::list_page()
{
    pb::RangeRequest request;
    request.set_key(listing_.next_key);
    request.set_range_end(prefix_end(config_.prefix));
    request.set_limit(listing_.limit.keys());
    request.set_revision(listing_.revision);
    link_->range(
        request, kPageTimeout,
        [this](const grpc::Status& status, pb::RangeResponse& page) { on_page(status, page); });
}

void EtcdStore::on_page(const grpc::Status& status, pb::RangeResponse& page)
{
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && listing_.limit.shrink())
        return list_page();
    if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE &&
        listing_.restarts < kMaxListRestarts) {
        // Compacted past the revision of our first page.
        const unsigned restarts = listing_.restarts + 1;
        list();
        listing_.restarts = restarts;
        return;
    }
    if (!status.ok())
        return failed("list " + config_.prefix + ": " + describe(status));
    if (listing_.revision == 0)
        listing_.revision = page.header().revision();
    for (auto& kv : *page.mutable_kvs())
        listing_.entries.push_back(
            {std::move(*kv.mutable_key()), std::move(*kv.mutable_value()), kv.mod_revision()});
    if (!page.more() || page.kvs().empty())
        return finish_listing();
    listing_.next_key = listing_.entries.back().key + '\0';
    listing_.limit.grow();
    list_page();
}

void EtcdStore::finish_listing()
{
    Listing done = std::exchange(listing_, {});
    status_.revision = done.revision;
    watch(); // before the callbacks: they may call stop()
    if (!status_.synced) {
        status_.synced = true;
        for (const Entry& e : done.entries)
            cache_.put(e.key, e.value, e.mod_revision);
        return callbacks_.on_snapshot(std::move(done.entries), done.revision);
    }
    ++status_.relists;
    auto changes = cache_.replace(std::move(done.entries), done.revision);
    log_->info("etcd listed again: revision={} changes={}", done.revision, changes.size());
    if (!changes.empty())
        callbacks_.on_changes(std::move(changes));
}

// --- watch ---

void EtcdStore::watch()
{
    pb::WatchRequest request;
    auto& create = *request.mutable_create_request();
    create.set_key(config_.prefix);
    create.set_range_end(prefix_end(config_.prefix));
    create.set_start_revision(status_.revision + 1);
    create.set_progress_notify(true);
    create.set_prev_kv(true);
    create.set_fragment(true);
    fragments_.clear();
    watch_timer_.start(config_.dial_timeout, [this] { failed("etcd does not confirm the watch"); });
    link_->watch(
        request, [this](pb::WatchResponse& response) { on_watch(response); },
        [this](const grpc::Status& status) { failed("watch ended: " + describe(status)); });
}

void EtcdStore::on_watch(pb::WatchResponse& response)
{
    if (response.canceled())
        return on_watch_cancelled(response);
    if (response.created()) {
        watch_timer_.stop();
        set_connected();
        return;
    }
    collect(response);
    if (response.fragment())
        return;
    status_.revision = std::max(status_.revision, response.header().revision());
    std::vector<Change> changes = std::exchange(fragments_, {});
    if (!changes.empty())
        callbacks_.on_changes(std::move(changes));
}

void EtcdStore::on_watch_cancelled(const pb::WatchResponse& response)
{
    if (response.compact_revision() > 0)
        return relist("compacted up to revision " + std::to_string(response.compact_revision()));
    failed("etcd cancelled the watch: " + response.cancel_reason());
}

void EtcdStore::collect(pb::WatchResponse& response)
{
    for (auto& event : *response.mutable_events()) {
        auto& kv = *event.mutable_kv();
        if (!kv.key().starts_with(config_.prefix))
            continue;
        if (event.type() == mvccpb::Event::DELETE) {
            if (cache_.erase(kv.key()))
                fragments_.push_back({std::move(*kv.mutable_key()), {}, kv.mod_revision()});
        } else if (cache_.put(kv.key(), kv.value(), kv.mod_revision())) {
            fragments_.push_back(
                {std::move(*kv.mutable_key()), std::move(*kv.mutable_value()), kv.mod_revision()});
        }
    }
}

// --- probe ---

void EtcdStore::schedule_probe()
{
    probe_timer_.start(config_.probe_interval, [this] { probe(); });
}

void EtcdStore::probe()
{
    // Compared with what was known when it was sent: a watch event may overtake the answer.
    link_->range(
        small_read(), config_.probe_interval,
        [this, known = status_.revision](const grpc::Status& status, pb::RangeResponse& response) {
            on_probe(status, response, known);
        });
}

void EtcdStore::on_probe(const grpc::Status& status, const pb::RangeResponse& response,
                         std::int64_t known)
{
    if (!config_.username.empty() && is_stale_token(status))
        return authenticate();
    if (!status.ok())
        return failed("probe: " + describe(status));
    const bool other_history =
        response.header().revision() < known || response.header().cluster_id() != cluster_id_;
    if (other_history) {
        check_history(response.header());
        return relist("another history");
    }
    schedule_probe();
}

// On the same connection. Until the watch is confirmed the state stays as it is.
void EtcdStore::relist(const std::string& why)
{
    log_->info("etcd watch starts over: reason=\"{}\"", why);
    probe_timer_.stop();
    list();
}

// --- state ---

void EtcdStore::set_connected()
{
    failures_ = 0;
    schedule_probe();
    if (status_.connected)
        return;
    status_.connected = true;
    status_.reason.clear();
    announced_ = true;
    log_->info("etcd in sync: endpoint={} revision={}", status_.endpoint, status_.revision);
    if (callbacks_.on_state)
        callbacks_.on_state(true, {});
}

void EtcdStore::failed(std::string reason)
{
    const bool transition = status_.connected || !announced_;
    probe_timer_.stop();
    watch_timer_.stop();
    listing_ = {};
    fragments_.clear();
    link_.reset();
    status_.connected = false;
    status_.reason = status_.endpoint + ": " + reason;
    endpoint_ = (endpoint_ + 1) % endpoints_.size();
    retry_timer_.start(back_off(), [this] { connect(); });
    if (!transition) {
        log_->debug("etcd attempt failed: endpoint={} reason=\"{}\"", status_.endpoint, reason);
        return;
    }
    announced_ = true;
    log_->warn("etcd lost: endpoint={} reason=\"{}\"", status_.endpoint, reason);
    if (callbacks_.on_state)
        callbacks_.on_state(false, status_.reason);
}

// Full jitter: half to all of the interval, so that a cluster of agents does not come back at
// once. The first try of every endpoint is quick.
std::chrono::milliseconds EtcdStore::back_off()
{
    const unsigned rounds = failures_++ / static_cast<unsigned>(endpoints_.size());
    const auto ceiling = std::min(kFirstBackOff * (1 << std::min(rounds, 6U)), kLongestBackOff);
    std::uniform_int_distribution<std::int64_t> spread(ceiling.count() / 2, ceiling.count());
    return std::chrono::milliseconds(spread(random_));
}

} // namespace margay::store
