// SPDX-License-Identifier: Apache-2.0
// Peer: one neighbour at work. It joins the pure parts (state machine, codec, tables) with its
// connections and timers, and holds no rule of BGP itself but those of graceful restart that need
// a timer (RFC 4724 4.2).

#pragma once

#include "bgp/rib/export.h"
#include "bgp/speaker/connection.h"
#include "bgp/speaker/types.h"
#include "bgp/wire/update.h"
#include "margay/rate_limit.h"

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
    virtual Rib& rib() = 0;
    virtual UpdateDecoder& decoder() = 0;
    // The peer with this session is told routes from now on, or no longer.
    virtual void join(const Peer& peer) = 0;
    virtual void leave(const Peer& peer) = 0;
    virtual void refresh(const Peer& peer) = 0;
    virtual bool has_told(const Peer& peer, std::uint64_t change) const = 0;
    virtual std::size_t advertised(const Peer& peer) const = 0;
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
    void accept(Connection::Tcp::socket socket);

    bool has_room() const; // for UPDATEs
    void send_updates(std::span<const ByteView> pieces, std::size_t messages);
    // Once all was told that we had when it was due, whatever comes after that.
    void send_end_of_rib();

    PeerId id() const { return id_; }
    const PeerConfig& config() const { return config_; }
    bool up() const { return session_.has_value(); }
    // Nothing more is to be expected from it at our start (RFC 4724 4.1).
    bool synced() const;
    ExportView export_view() const;
    PeerStatus status() const;

private:
    struct Session {
        ConnId connection = 0;
        Negotiated negotiated;
        Ipv4 local_address;
        bool end_of_rib_sent = false;
        // What it waits for: first that all is decided that was queued, then that all is told.
        std::optional<std::uint64_t> decisions_due;
        std::optional<std::uint64_t> change_due;
        bool end_of_rib_received = false;
    };

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
    void arm();
    void changed(); // the state that people see, maybe

    void on_open_frame(ConnId id, const Frame& frame);
    void on_update_frame(ConnId id, const Frame& frame);
    void apply(const Update& update);
    void learn(const Reach& reach);
    void note_faults(const Update& update);
    void on_end_of_rib();
    void on_route_refresh(ConnId id, const Frame& frame);
    void keep_stale_routes();
    void sort_out_stale_routes(const Negotiated& negotiated);
    void drop_stale_routes();
    Connection& add_connection(ConnId id);
    Connection* connection(ConnId id) const;

    PeerHost& host_;
    const PeerId id_;
    const PeerConfig config_;
    Fsm fsm_;
    Timer timer_; // the state machine's
    std::optional<Time> armed_; // when it ends; no later than the deadline
    Timer stale_timer_; // stale routes go when it ends
    std::map<ConnId, std::shared_ptr<Connection>> connections_;
    std::optional<Session> session_;
    bool stale_ = false; // routes of an earlier session are kept
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
