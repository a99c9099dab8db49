// SPDX-License-Identifier: Apache-2.0
// Peering: the BGP speaker as the datastore wants it.
//
// The speaker begins when the own address and AS are known; it begins anew, with graceful restart,
// when one of them changes. Peers and announcements are handed on as they change: a session whose
// configuration is as before is not touched, and other filters or pools only change what is told.
//
// A session that should have a password does not start without it, nor does a listen range let anybody in.
// The files are read whenever sessions are handed on, and now and then while a session needs one.

#pragma once

#include "agent/bfd_watch.h"
#include "agent/bgp/rules.h"
#include "agent/config/config.h"
#include "agent/hop_interfaces.h"
#include "agent/kernel/resolve.h"
#include "agent/model/wanted.h"
#include "bgp/speaker/speaker.h"
#include "margay/log.h"
#include "margay/rate_limit.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay {

class Peering {
public:
    struct Callbacks {
        std::function<void(std::span<const bgp::RouteChange>)> on_routes;
        std::function<void()> on_settled; // bgp::Callbacks::on_initial_sync_done
        // A speaker begins or ends: what the one before told is old from now on.
        std::function<void()> on_new_speaker;
        std::function<void(const bgp::PeerStatus&)> on_peer; // each change of a session
        std::function<void(std::span<const bgp::RouteChange6>)> on_routes6;
    };

    // `restarting`: a previous run left routes in force.
    Peering(Executor& executor, Log log, const config::Config& config, std::string node,
            bool restarting, kernel::Resolver& resolver, kernel::Resolver6& resolver6,
            Callbacks callbacks);

    // After every turn that changed something of BGP.
    void apply(const model::Changes& changes);
    // While the own Node is away it is being repaired, and sessions go on with what they have. Without
    // it there are no peers either, so that news waits, the latest of each, for the next apply().
    void hold(bool held) { held_ = held; }

    // Addresses with which we are configured to have a session.
    const std::set<Ipv4>& peer_addresses() const { return peer_addresses_; }
    // All sessions that are wanted, by the names of their peers.
    const std::map<std::string, model::BgpSession>& sessions() const { return sessions_; }
    // Those of them that did not start, and why.
    const std::map<std::string, std::string>& refused() const { return refused_; }
    const bgp::Speaker* speaker() const { return speaker_.get(); }
    const std::optional<bgp::SpeakerConfig>& running() const { return running_; }
    std::string trouble() const; // the listener's, or why there is no BGP; empty when all is well
    std::vector<std::string> warnings() const; // one a session, filter or setting that is wrong

    // By the peers' addresses: what BFD says of them; empty where it is not wanted.
    std::map<Ip, std::string> bfd_states() const { return bfd_.states(); }

    // Of the resolvers': what leads to next hops counts in the decision (RFC 4271 9.1.2).
    void on_targets(const std::vector<Ipv4>& targets) { note_targets(resolver_, targets); }
    void on_targets(const std::vector<Ipv6>& targets) { note_targets(resolver6_, targets); }

    void shutdown(bgp::Speaker::Goodbye goodbye);

private:
    bgp::Callbacks speaker_callbacks();
    template <typename A>
    void note_targets(const kernel::ResolverOf<A>& resolver, const std::vector<A>& targets);
    void take(const model::Changes& changes);
    std::optional<bgp::SpeakerConfig> wanted_config();
    void apply_announcements(const model::Changes& changes);
    bool apply_rules(const model::Changes& changes);
    void set_filters();
    std::string interface_of(const model::AnyPrefix& own) const;
    void announce(const Prefix4& prefix);
    void restart(const bgp::SpeakerConfig& config);
    void hand_over_peers();
    using Passwords = std::map<model::SecretKeyRef, Result<std::string>>;
    const Result<std::string>& password_of(const model::SecretKeyRef& secret, Passwords& read);
    void add_peer(const std::string& name, const model::BgpSession& session, Passwords& read,
                  std::vector<bgp::PeerConfig>& into);
    void hand_over_ranges(Passwords& read);
    bool uses_filter(const std::string& name) const;
    void note_missing_filters();
    void on_peer_state(const bgp::PeerStatus& peer);
    void on_bfd_lost(const Ip& address, const std::string& why);

    Executor& executor_;
    Log log_;
    const config::Config& config_;
    std::string node_;
    bool restarting_;
    kernel::Resolver& resolver_;
    kernel::Resolver6& resolver6_;
    Callbacks callbacks_;
    model::LocalBgp local_{};
    bool local_known_ = false;
    bool held_ = false;
    model::Changes waiting_; // while held
    std::map<std::string, model::BgpSession> sessions_;
    bgp_rules::Rules rules_;
    std::map<Prefix4, model::Announcement> announcements_;
    std::set<Ipv4> peer_addresses_;
    std::optional<bgp::SpeakerConfig> running_;
    std::string trouble_;
    std::string cluster_trouble_; // the own Node's routeReflectorClusterID
    std::map<std::string, std::string> refused_; // by peer
    std::map<std::string, std::string> filter_warnings_; // by peer
    std::map<IpPrefix, std::string> refused_ranges_; // why nobody is let in from there
    std::map<IpPrefix, std::string> range_warnings_;
    std::map<std::string, std::string> told_; // by peer, why it is down; empty: up
    RateLimit neighbours_log_{20, std::chrono::seconds(1)}; // they come and go as they like
    std::set<std::string> warned_; // of warnings(), what is in the log
    Timer passwords_timer_;
    HopInterfaces hops_;
    const bgp_rules::InterfaceOf interface_of_hop_;
    std::unique_ptr<bgp::Speaker> speaker_;
    BfdWatch bfd_;
};

// CALICO_ROUTER_ID: empty is the node's address, "hash" comes from the node's name (facts 6.2).
Ipv4 router_id(const std::string& setting, const std::string& node, Ipv4 address);

// The session in the library's words.
bgp::PeerConfig peer_config(const std::string& name, const model::BgpSession& session,
                            const std::string& password, const config::Config& settings);

// What whoever comes from the range becomes.
bgp::PeerRange peer_range(const config::ListenRange& range, std::uint32_t own_as,
                          const std::string& password, bgp::Seconds hold);

// "BGPPeer rack-1", or "mesh": where a session comes from, for people.
std::string origin_text(const model::BgpSession& session);

} // namespace margay
