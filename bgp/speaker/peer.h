// SPDX-License-Identifier: Apache-2.0
// Peer: one neighbour at work. It joins the pure parts (state machine, codec, tables) with its
// connections and timers, and holds no rule of BGP itself but those of graceful restart that need
// a timer (RFC 4724 4.2).

#pragma once

#include "bgp/speaker/connection.h"
#include "bgp/speaker/session.h"
#include "bgp/speaker/tables.h"
#include "margay/rate_limit.h"

#include <deque>
#include <map>

namespace spdlog {
class logger;
}

namespace margay::bgp {

class Peer;

// What a peer needs of its speaker, which outlives it.
class PeerHost {
public:
    virtual Executor& executor() = 0;
    virtual spdlog::logger& log() = 0;
    virtual const SpeakerConfig& config() const = 0;
    virtual Tables<Prefix4>& ipv4() = 0;
    virtual Tables<Prefix6>& ipv6() = 0;
    virtual UpdateDecoder& decoder() = 0;
    virtual RestartState restart_state() const = 0;
    // Our own table is complete, so that the peer may drop what we did not announce again.
    virtual bool may_end_rib() const = 0;
    virtual void schedule_turn() = 0;
    virtual void on_peer_changed(const Peer& peer) = 0;

protected:
    ~PeerHost() = default;
};

class Peer final : private ConnectionHandler {
public:
    Peer(PeerHost& host, PeerId id, PeerConfig config);
    ~Peer();
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void start();
    void stop(const Notify& notify);
    void abandon();
    // When TCP ends, with or without a NOTIFICATION: no graceful restart was agreed on (RFC 4724 4.2).
    bool drops_our_routes() const { return session_ && !session_->negotiated.peer_restart; }
    void cut(); // at once: last words are for those that we know
    void accept(Connection::Tcp::socket socket);

    bool has_room() const; // for UPDATEs
    void send_updates(std::span<const ByteView> pieces, std::size_t messages);
    // End-of-RIB and the end of a refresh: once all was told that we had when they were due, whatever
    // comes after that.
    void send_what_is_due();
    // Another protocol knows that the peer is gone (BFD: RFC 5882, 9384).
    void lose(const std::string& why);

    // Other filters are for it from now on; the session goes on.
    void set_policy(const std::string& policy);

    PeerId id() const { return id_; }
    const PeerConfig& config() const { return config_; }
    bool up() const { return session_.has_value(); }
    // It has a session, or routes that outlived one.
    bool proven() const { return up() || has_stale(); }
    // Nothing is left of it, and nothing is held against it: a dynamic neighbour may be forgotten.
    bool is_spent() const
    {
        return !proven() && connections_.empty() && !waiting_ && fsm_.state() != State::Idle;
    }
    // Nothing more is to be expected from it at our start (RFC 4724 4.1).
    bool synced() const;
    template <typename P>
    bool carries() const
    {
        return session_ && session_->wire<P>().carried;
    }
    template <typename P>
    ExportView export_view() const
    {
        return export_view_of<P>(*session_, config_, host_.config());
    }
    PeerStatus status() const;

private:
    void on_connected(ConnId id) override;
    void on_frame(ConnId id, const Frame& frame) override;
    void on_bad_frame(ConnId id, const Notify& notify) override;
    void on_lost(ConnId id, std::string why) override;
    void on_drained(ConnId id) override;

    void run(const Actions& actions);
    void run_dial(ConnId id);
    void run_send(const Send& send);
    void run_close(ConnId id);
    void session_up(const SessionUp& up);
    void session_down(const SessionDown& down);
    void input(ConnId id, const Incoming& message);
    void admit();
    void arm();
    void watch_output();
    void changed(); // the state that people see, maybe

    void on_open_frame(ConnId id, const Frame& frame);
    void on_update_frame(ConnId id, const Frame& frame);
    template <typename P>
    void apply(const FamilyUpdate<P>& update);
    template <typename P>
    void learn(const Reach<P>& reach);
    template <typename P>
    bool is_within_limit();
    void note_faults(const Update& update);
    void on_route_refresh(ConnId id, const Frame& frame);
    template <typename P>
    void on_refresh(RouteRefresh::Kind kind);
    template <typename P>
    void refresh();
    template <typename P>
    void on_end_of_rib();
    template <typename P>
    void drop_stale_routes();
    void drop_all_stale_routes();
    void keep_stale_routes(const Session& ended);
    void sort_out_stale_routes(const Negotiated& negotiated);
    template <typename P>
    bool is_told(Due& due);
    template <typename P>
    void send_what_is_due_of();
    void send(const Bytes& message);
    void note_link_local(const Update& update);
    Connection& add_connection(ConnId id);
    Connection* connection(ConnId id) const;
    Connection& connection() const { return *connection(session_->connection); }
    TcpOptions tcp_options() const
    {
        return {config_.password, config_.ttl_security, config_.interface};
    }

    // Calls f.template operator()<P>() for each family of addresses.
    template <typename F>
    static void for_each_family(F f)
    {
        f.template operator()<Prefix4>();
        f.template operator()<Prefix6>();
    }
    template <typename P>
    Tables<P>& tables() const
    {
        return of_family<P>(host_.ipv4(), host_.ipv6());
    }
    template <typename P>
    bool& stale()
    {
        return of_family<P>(stale_[0], stale_[1]);
    }
    bool has_stale() const { return stale_[0] || stale_[1]; }

    PeerHost& host_;
    const PeerId id_;
    PeerConfig config_;
    Fsm fsm_;
    Timer timer_; // the state machine's
    std::optional<Time> armed_; // when it ends; no later than the deadline
    Timer stale_timer_; // stale routes go when it ends
    Timer output_timer_; // looks whether the peer takes what it is told
    std::map<ConnId, std::shared_ptr<Connection>> connections_;
    std::optional<Connection::Tcp::socket> waiting_; // came while the state machine refuses
    std::deque<std::weak_ptr<Connection>> leaving_; // closed, with last words to write
    std::optional<Session> session_;
    bool stale_[2] = {false, false}; // by family: routes that wait to be told again
    Seconds peer_restart_time_{0};

    State shown_state_ = State::Idle;
    std::string shown_why_;
    std::chrono::system_clock::time_point since_;
    MessageCounts sent_;
    MessageCounts received_;
    std::uint64_t established_count_ = 0;
    std::uint64_t update_faults_ = 0;
    std::string last_sent_;
    std::string last_received_;
    RateLimit log_limit_{5, std::chrono::seconds(10)};
};

} // namespace margay::bgp
