// SPDX-License-Identifier: Apache-2.0
// Speaker: BGP for one node. Sockets, sessions, tables; everything on the caller's executor.
//
// The caller says which peers there are and what to announce; the speaker says what is reachable.
// All calls are cheap: work is queued and done in later turns of the event loop, each with a
// bounded budget, so that thousands of routes never delay a KEEPALIVE. Callbacks come from those
// turns, never from inside a call. RFCs: 1997, 2385, 2545, 2918, 4271, 4456, 4486, 4724, 4760, 5082, 5492,
// 5701, 6286, 6608, 6793, 7313, 7606, 7607, 7911, 8538, 8654, 8950, 9003, 9072, 9384, 9687.
//
// A restarting caller sets SpeakerConfig::restarting, announces what it had announced before, and
// calls announcements_complete(); End-of-RIB goes out after that, and only then do the peers drop
// what was not announced again.

#pragma once

#include "bgp/speaker/types.h"
#include "margay/executor.h"
#include "margay/result.h"

#include <memory>
#include <vector>

namespace spdlog {
class logger;
}

namespace margay::bgp {

class Speaker {
public:
    Speaker(Executor& executor, std::shared_ptr<spdlog::logger> log, SpeakerConfig config,
            Callbacks callbacks);
    ~Speaker(); // as shutdown(Goodbye::None)
    Speaker(const Speaker&) = delete;
    Speaker& operator=(const Speaker&) = delete;

    // Opens the listening socket. When the port is taken the error says so and the speaker goes
    // on with the sessions that it dials itself, and tries again every few seconds.
    Status listen();
    bool listening() const;

    // The peers as they shall be. Sessions whose PeerConfig is unchanged are not touched.
    void set_peers(std::vector<PeerConfig> peers);
    // From where a peer may come that is not configured; of several ranges the most specific one counts. A
    // dynamic neighbour whose range still says the same of it is not touched.
    void set_ranges(std::vector<PeerRange> ranges);

    void announce(const Prefix4& prefix, const Announcement& announcement = {});
    void announce(const Prefix6& prefix, const Announcement& announcement = {});
    void withdraw(const Prefix4& prefix);
    void withdraw(const Prefix6& prefix);
    void announcements_complete();

    // Of a next hop that is watched (Callbacks::watch_next_hop): whether anything leads there now.
    void set_next_hop(const Ip& hop, bool reachable);

    // A new filter is applied to everything that was received or sent before.
    void set_import_filter(RouteFilter filter);
    void set_export_filter(RouteFilter filter);

    std::vector<PeerStatus> peers() const;
    std::vector<RouteView> routes() const;
    // What the peer is told, and what it is not and why; empty when it has no session.
    std::vector<ExportedView> routes_to(const std::string& peer) const;
    // The same in portions, each of which takes some milliseconds at most; not in the order of prefixes.
    Portion<RouteView> routes(const RouteQuery& query, const RouteCursor& from) const;
    Portion<ExportedView> routes_to(const std::string& peer, const RouteQuery& query,
                                    const RouteCursor& from) const;
    TableCounts table_counts() const;
    std::vector<LostNextHop> lost_next_hops() const; // that nothing leads to
    // Another protocol found the peer unreachable (BFD, RFC 5882): its session ends at once.
    void lose_peer(const std::string& peer, const std::string& why);
    bool initial_sync_done() const;
    std::uint64_t refused_connections() const; // of whom we know nothing, or who is one too many
    std::vector<RefusedConnection> refused() const; // the latest, by address

    enum class Goodbye {
        Notify, // Cease: the peers withdraw our routes at once
        Restart, // we come back: Cease to those alone who would not keep our routes (RFC 4724)
        None, // TCP ends without a word
    };
    void shutdown(Goodbye goodbye);

private:
    class Impl;
    std::shared_ptr<Impl> impl_; // shared only with posted turns, which find it gone
};

} // namespace margay::bgp
