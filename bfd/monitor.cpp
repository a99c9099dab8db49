// SPDX-License-Identifier: Apache-2.0
#include "bfd/monitor.h"

#include "bfd/socket.h"
#include "margay/rate_limit.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace margay::bfd {
namespace {

constexpr microseconds kMinInterval = std::chrono::milliseconds(10); // of an event loop's making
constexpr auto kListenRetry = std::chrono::seconds(5);
// Half of the source ports, so that drawing a free one ends soon.
constexpr std::size_t kMaxSessions = 8192;
constexpr std::uint32_t kSourcePorts = 0x10000 - kFirstSourcePort;
// More than a socket's buffer holds.
constexpr std::size_t kBacklog = 1024;

bool is_link_local(const Ip& ip)
{
    return !ip.is_v4() && ip.v6().bytes()[0] == 0xfe && (ip.v6().bytes()[1] & 0xc0) == 0x80;
}

bool is_unspecified(const Ip& ip)
{
    return ip == Ip(Ipv4()) || ip == Ip(Ipv6());
}

Error invalid(const SessionConfig& config, const std::string& what)
{
    return Error{Errc::Invalid, 0, "BFD session with " + config.peer.str() + ": " + what};
}

microseconds rounded(Duration time)
{
    return std::chrono::duration_cast<microseconds>(time);
}

} // namespace

Status check(const SessionConfig& config)
{
    if (config.peer.is_v4() != config.local.is_v4())
        return invalid(config, "local address " + config.local.str() + " is of another family");
    if (is_unspecified(config.peer) || is_unspecified(config.local))
        return invalid(config, "both addresses are needed");
    if (is_link_local(config.peer) || is_link_local(config.local))
        return invalid(config, "link-local addresses are not supported");
    if (config.parameters.detect_mult == 0)
        return invalid(config, "the detect multiplier is at least 1");
    for (const microseconds interval : {config.parameters.min_tx, config.parameters.min_rx})
        if (interval < kMinInterval || interval > kMaxInterval)
            return invalid(config, "an interval of " + std::to_string(interval.count()) +
                                       " us is not within 10 ms and 4294 s");
    return {};
}

class Monitor::Impl final : public std::enable_shared_from_this<Impl> {
public:
    Impl(Executor& executor, std::shared_ptr<spdlog::logger> log, Callbacks callbacks)
        : executor_(executor), log_(std::move(log)), callbacks_(std::move(callbacks)),
          listen_timer_(executor)
    {
    }

    void set_sessions(const std::vector<SessionConfig>& wanted);
    std::vector<SessionStatus> statuses() const;
    const DropCounts& drops() const { return drops_; }
    void stop();

private:
    struct Key {
        Ip peer;
        Ip local;
        bool multihop = false;
        auto operator<=>(const Key&) const = default;
    };
    struct Entry {
        Entry(Executor& executor, const SessionConfig& c, Session s, Sender o)
            : config(c), session(std::move(s)), sender(std::move(o)), timer(executor),
              since(std::chrono::system_clock::now())
        {
        }

        SessionConfig config;
        Session session;
        Sender sender;
        Timer timer;
        std::optional<Time> armed; // when the timer ends; no later than the session's deadline
        bool leaving = false;      // removed; says AdminDown for a while
        bool finished = false;
        std::chrono::system_clock::time_point since;
        std::string send_error;
        std::string drop_reason; // of the peer's packets, until one is taken
        bool error_came_back = false; // by ICMP, and not for each packet: it holds until we hear
        std::uint64_t sent = 0, received = 0, dropped = 0, up_count = 0, failures = 0;
        RateLimit log_limit{5, std::chrono::seconds(10)};
    };
    struct Listener { // of a family and a kind of session
        std::unique_ptr<Receiver> receiver;
        std::string error; // why there is none
    };
    using ListenerKey = std::pair<bool, bool>; // IPv4, multihop

    static Key key_of(const SessionConfig& config)
    {
        return Key{config.peer, config.local, config.multihop};
    }
    static ListenerKey listener_of(const SessionConfig& config)
    {
        return {config.peer.is_v4(), config.multihop};
    }

    void add(const SessionConfig& config);
    void change(Entry& entry, const SessionConfig& config);
    void remove(Entry& entry);
    std::uint32_t draw_discriminator();
    std::uint16_t draw_source_port();

    void listen();
    void open(const ListenerKey& key);
    void on_datagram(bool multihop, const Datagram& datagram);
    std::variant<Entry*, Reject> session_of(bool multihop, const Datagram& datagram,
                                            const Packet& packet);
    void drop(Reject reject, const Datagram& datagram);

    void run(Entry& entry, const Actions& actions);
    void send(Entry& entry, const Packet& packet);
    void on_state(Entry& entry, const StateChanged& change);
    void arm(Entry& entry);
    void on_timer(std::uint32_t discriminator);
    void report();
    SessionStatus status_of(const Entry& entry) const;

    Executor& executor_;
    std::shared_ptr<spdlog::logger> log_;
    Callbacks callbacks_;
    Timer listen_timer_;
    std::unordered_map<std::uint32_t, std::unique_ptr<Entry>> entries_; // by our discriminator
    std::map<Key, Entry*> by_address_;                                  // those that stay
    std::map<ListenerKey, Listener> listeners_;
    std::set<std::uint16_t> source_ports_;
    std::random_device random_;
    std::vector<std::pair<std::uint32_t, SessionEvent>> news_; // for on_state, by discriminator
    DropCounts drops_{};
    RateLimit drop_log_{3, std::chrono::seconds(30)};
    bool stopped_ = false;
};

// ---- Which sessions there are ------------------------------------------------------------------

void Monitor::Impl::set_sessions(const std::vector<SessionConfig>& wanted)
{
    std::map<Key, SessionConfig> by_key;
    for (const SessionConfig& config : wanted) {
        if (const Status fit = check(config); !fit)
            log_->error("session left out: {}", fit.error().what);
        else
            by_key.emplace(key_of(config), config);
    }
    for (auto at = by_address_.begin(); at != by_address_.end();) {
        const auto here = at++;
        if (!by_key.contains(here->first))
            remove(*here->second);
    }
    for (const auto& [key, config] : by_key) {
        const auto found = by_address_.find(key);
        if (found == by_address_.end())
            add(config);
        else if (!(found->second->config == config))
            change(*found->second, config);
    }
    listen();
}

void Monitor::Impl::add(const SessionConfig& config)
{
    if (entries_.size() >= kMaxSessions)
        return log_->error("session left out: there are too many peer={}", config.peer.str());
    const std::uint32_t id = draw_discriminator();
    const std::uint16_t port = config.multihop ? kMultihopPort : kSingleHopPort;
    auto& entry = entries_[id] =
        std::make_unique<Entry>(executor_, config, Session(config.parameters, id, random_()),
                                Sender(config.local, draw_source_port(), config.peer, port));
    by_address_[key_of(config)] = entry.get();
    open(listener_of(config)); // before the peer can answer
    run(*entry, entry->session.start(std::chrono::steady_clock::now()));
}

void Monitor::Impl::change(Entry& entry, const SessionConfig& config)
{
    entry.config = config;
    run(entry, entry.session.change(config.parameters, std::chrono::steady_clock::now()));
}

void Monitor::Impl::remove(Entry& entry)
{
    by_address_.erase(key_of(entry.config));
    entry.leaving = true;
    run(entry, entry.session.shut_down(std::chrono::steady_clock::now()));
}

// RFC 5880 6.3 and its section 9: unique, not 0, and not to be guessed.
std::uint32_t Monitor::Impl::draw_discriminator()
{
    for (;;)
        if (const std::uint32_t drawn = random_(); drawn != 0 && !entries_.contains(drawn))
            return drawn;
}

// RFC 5881 section 4.
std::uint16_t Monitor::Impl::draw_source_port()
{
    for (;;) {
        const auto port = static_cast<std::uint16_t>(kFirstSourcePort + random_() % kSourcePorts);
        if (source_ports_.insert(port).second)
            return port;
    }
}

void Monitor::Impl::stop()
{
    stopped_ = true;
    listen_timer_.stop();
    for (const auto& [key, entry] : by_address_) {
        entry->leaving = true;
        run(*entry, entry->session.shut_down(std::chrono::steady_clock::now()));
    }
    by_address_.clear();
    entries_.clear();
    listeners_.clear();
}

// ---- In ----------------------------------------------------------------------------------------

// Opens what the sessions need and closes what none needs.
void Monitor::Impl::listen()
{
    std::set<ListenerKey> needed;
    for (const auto& [id, entry] : entries_)
        needed.insert(listener_of(entry->config));
    std::erase_if(listeners_, [&](const auto& l) { return !needed.contains(l.first); });
    bool failed = false;
    for (const ListenerKey& key : needed) {
        open(key);
        failed |= !listeners_[key].receiver;
    }
    if (failed)
        listen_timer_.start(kListenRetry, [this] { listen(); });
}

void Monitor::Impl::open(const ListenerKey& key)
{
    Listener& listener = listeners_[key];
    if (listener.receiver)
        return;
    const auto [v4, multihop] = key;
    auto receiver =
        std::make_unique<Receiver>(executor_, [this, hops = multihop](const Datagram& datagram) {
            on_datagram(hops, datagram);
        });
    const Status opened = receiver->open(v4, multihop ? kMultihopPort : kSingleHopPort);
    if (opened) {
        listener.receiver = std::move(receiver);
        listener.error.clear();
    } else if (listener.error != opened.error().what) {
        listener.error = opened.error().what;
        log_->error("{}", listener.error);
    }
}

void Monitor::Impl::on_datagram(bool multihop, const Datagram& datagram)
{
    const auto decoded = decode(datagram.payload);
    if (const auto* reject = std::get_if<Reject>(&decoded))
        return drop(*reject, datagram);
    const Packet& packet = std::get<Packet>(decoded);
    const auto found = session_of(multihop, datagram, packet);
    if (const auto* reject = std::get_if<Reject>(&found))
        return drop(*reject, datagram);

    Entry& entry = *std::get<Entry*>(found);
    Actions actions;
    // RFC 5881 section 5: a packet of a neighbour's has passed no router.
    const std::uint8_t min_ttl = multihop ? entry.config.min_ttl : kMaxTtl;
    const auto reject =
        datagram.ttl < min_ttl
            ? Reject::Ttl
            : entry.session.receive(packet, std::chrono::steady_clock::now(), actions);
    if (!reject) {
        ++entry.received;
        entry.send_error.clear();
        entry.drop_reason.clear();
        entry.error_came_back = false;
    } else if (!entry.leaving) { // else it is what the peer said before it heard AdminDown
        ++entry.dropped;
        entry.drop_reason = std::string("packets of the peer are dropped: ") + name_of(*reject);
        drop(*reject, datagram);
    }
    run(entry, actions);
}

// RFC 5880 6.3: by our discriminator alone, once the peer knows it; until then by the addresses.
std::variant<Monitor::Impl::Entry*, Reject>
Monitor::Impl::session_of(bool multihop, const Datagram& datagram, const Packet& packet)
{
    if (packet.your_discriminator == 0) {
        const auto found = by_address_.find(Key{datagram.from, datagram.to, multihop});
        if (found == by_address_.end())
            return Reject::UnknownSource;
        return found->second;
    }
    const auto found = entries_.find(packet.your_discriminator);
    if (found == entries_.end() || found->second->config.multihop != multihop)
        return Reject::UnknownSession;
    return found->second.get();
}

void Monitor::Impl::drop(Reject reject, const Datagram& datagram)
{
    const std::uint64_t total = ++drops_[static_cast<std::size_t>(reject)];
    if (drop_log_.allow(std::chrono::steady_clock::now()))
        log_->warn("packet dropped: {} from={} to={} ttl={} total={} unlogged={}", name_of(reject),
                   datagram.from.str(), datagram.to.str(), datagram.ttl, total,
                   drop_log_.take_suppressed());
}

// ---- Out ---------------------------------------------------------------------------------------

void Monitor::Impl::run(Entry& entry, const Actions& actions)
{
    for (const Action& action : actions) {
        if (const auto* packet = std::get_if<Send>(&action))
            send(entry, packet->packet);
        else if (const auto* change = std::get_if<StateChanged>(&action))
            on_state(entry, *change);
        else
            entry.finished = true;
    }
    arm(entry);
}

void Monitor::Impl::send(Entry& entry, const Packet& packet)
{
    const Status status = entry.sender.send(encode(packet));
    const bool answered = !status && status.error().code == Errc::Unavailable;
    entry.sent += status || answered;
    if (status) {
        if (!entry.error_came_back)
            entry.send_error.clear();
        return;
    }
    if (status.error().code == Errc::Exists) { // somebody else's; the next packet tries another
        source_ports_.erase(entry.sender.source_port());
        entry.sender.set_source_port(draw_source_port());
    }
    if (entry.send_error != status.error().what &&
        entry.log_limit.allow(std::chrono::steady_clock::now()))
        log_->warn("peer not reached peer={}: {}", entry.config.peer.str(), status.error().what);
    entry.send_error = status.error().what;
    entry.error_came_back = answered;
}

void Monitor::Impl::on_state(Entry& entry, const StateChanged& change)
{
    entry.since = std::chrono::system_clock::now();
    entry.up_count += change.to == State::Up;
    entry.failures += change.failure;
    if (entry.log_limit.allow(std::chrono::steady_clock::now()))
        log_->info("session {} peer={} local={} was={} diag=\"{}\" why=\"{}\" unlogged={}",
                   name_of(change.to), entry.config.peer.str(), entry.config.local.str(),
                   name_of(change.from), name_of(change.diag), change.why,
                   entry.log_limit.take_suppressed());
    if (entry.leaving)
        return; // the caller knows
    if (news_.empty())
        boost::asio::post(executor_, [self = weak_from_this()] {
            if (const auto alive = self.lock())
                alive->report();
        });
    news_.emplace_back(entry.session.discriminator(),
                       SessionEvent{entry.config.peer, entry.config.local, entry.config.multihop,
                                    change.to, change.diag, change.failure, change.why});
}

// The caller may change anything in a callback, even end us; of a session that is gone nothing is
// said any more.
void Monitor::Impl::report()
{
    for (const auto& [id, event] : std::exchange(news_, {})) {
        const auto found = entries_.find(id);
        if (stopped_ || found == entries_.end() || found->second->leaving)
            continue;
        if (callbacks_.on_state)
            callbacks_.on_state(event);
    }
}

// ---- Time --------------------------------------------------------------------------------------

void Monitor::Impl::arm(Entry& entry)
{
    const auto deadline = entry.session.deadline();
    if (!deadline) {
        entry.timer.stop();
        entry.armed.reset();
        return;
    }
    if (entry.armed && *entry.armed <= *deadline)
        return; // early is no harm, and most packets only move the deadline away
    entry.armed = deadline;
    const Duration wait = *deadline - std::chrono::steady_clock::now();
    entry.timer.start(std::max(wait, Duration(0)),
                      [this, id = entry.session.discriminator()] { on_timer(id); });
}

// A timer that is late, because this process was, must not find a peer silent whose packets wait in
// the socket.
void Monitor::Impl::on_timer(std::uint32_t discriminator)
{
    Entry& entry = *entries_.at(discriminator);
    entry.armed.reset();
    if (const auto& receiver = listeners_[listener_of(entry.config)].receiver)
        receiver->drain(kBacklog);
    run(entry, entry.session.tick(std::chrono::steady_clock::now()));
    if (!entry.finished)
        return;
    source_ports_.erase(entry.sender.source_port());
    entries_.erase(discriminator);
    listen();
}

// ---- Views -------------------------------------------------------------------------------------

std::vector<SessionStatus> Monitor::Impl::statuses() const
{
    std::vector<SessionStatus> statuses;
    statuses.reserve(by_address_.size());
    for (const auto& [key, entry] : by_address_)
        statuses.push_back(status_of(*entry));
    return statuses;
}

SessionStatus Monitor::Impl::status_of(const Entry& entry) const
{
    const Session& session = entry.session;
    SessionStatus status;
    status.config = entry.config;
    status.state = session.state();
    status.diag = session.diag();
    status.remote = session.remote();
    status.since = entry.since;
    status.transmit_interval = rounded(session.transmit_interval());
    status.detection_time = rounded(session.detection_time());
    status.discriminator = session.discriminator();
    status.source_port = entry.sender.source_port();
    status.sent = entry.sent;
    status.received = entry.received;
    status.dropped = entry.dropped;
    status.up_count = entry.up_count;
    status.failures = entry.failures;
    if (session.state() == State::Up)
        return status;
    // What keeps us from speaking or hearing says more than that nothing is heard.
    const std::string& deaf = listeners_.at(listener_of(entry.config)).error;
    for (const std::string& why : {deaf, entry.drop_reason, entry.send_error, session.why_down()})
        if (status.why_down.empty())
            status.why_down = why;
    return status;
}

// ---- The handle --------------------------------------------------------------------------------

Monitor::Monitor(Executor& executor, std::shared_ptr<spdlog::logger> log, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(executor, std::move(log), std::move(callbacks)))
{
}

Monitor::~Monitor()
{
    impl_->stop();
}

void Monitor::set_sessions(const std::vector<SessionConfig>& sessions)
{
    impl_->set_sessions(sessions);
}

std::vector<SessionStatus> Monitor::sessions() const
{
    return impl_->statuses();
}

const DropCounts& Monitor::drops() const
{
    return impl_->drops();
}

} // namespace margay::bfd
