// SPDX-License-Identifier: Apache-2.0
// Daemon: a BGP daemon of somebody else's, told and asked in one language.
//
// A DaemonConfig says what it shall do and LearnedPath what it knows; how that is written and read
// is its adapter's (bird.cpp, frr.cpp, gobgp.cpp, openbgpd.cpp). A config that a daemon does not
// understand makes start() fail with the daemon's own words.
//
// To add a daemon: an adapter, and its row in daemon_kinds().

#pragma once

#include "bgp/wire/types.h"
#include "margay/ip.h"
#include "margay/result.h"
#include "support/bgp/place.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp::lab {

// What a daemon announces, in the notation that all of them share.
struct Route {
    std::string prefix;
    std::vector<std::string> communities; // "64512:5"
    std::vector<std::string> large;       // "64512:1:2" (RFC 8092)
    std::vector<std::string> targets;     // "64512:7": route targets (RFC 4360)

    bool carries_communities() const
    {
        return !communities.empty() || !large.empty() || !targets.empty();
    }
};

// A session as the daemon sees it. It dials, and waits.
struct Neighbor {
    Ip address;
    Asn as;
    bool client = false; // of the daemon as a reflector
    std::string password{}; // RFC 2385
    std::vector<Family> families{kIpv4Unicast};
    std::optional<Seconds> restart_time{}; // RFC 4724
    std::optional<Seconds> hold_time{};
    bool four_octet_as = true;
    bool add_path = false;          // both ways
    bool extended_next_hop = false; // RFC 8950
    bool extended_messages = false; // RFC 8654
    bool enhanced_refresh = false;  // RFC 7313
    bool extended_parameters = false; // RFC 9072: says as much as it can
    bool restart_on_notification = false; // RFC 8538, beside restart_time
    int ttl_security = 0; // RFC 5082: hops to us at most
};

struct DaemonConfig {
    int host = 2; // lab_address(host) is its address and router id
    Asn as{64512};
    std::vector<Neighbor> neighbors;
    std::vector<Route> routes;
};

// A path that it has from a neighbour.
struct LearnedPath {
    std::string next_hop;
    std::string as_path; // "64512 4200000003"
    std::optional<std::uint32_t> local_pref;
    std::set<std::string> communities;
    std::set<std::string> large;
    std::set<std::string> targets;
    std::string originator_id;
    std::vector<std::string> clusters;
};

class Daemon {
public:
    virtual ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    // Comes back when it answers, or with its last words when it does not.
    Status start(const DaemonConfig& config);
    // After kill(): as the machine's supervisor would, to go on with what the neighbours kept.
    Status restart();
    void kill() { process_.kill(); } // SIGKILL
    void stop() { process_.terminate(); }

    void announce(const Route& route);
    void withdraw(const std::string& prefix);

    bool up(const Ip& neighbor);
    std::string about(const Ip& neighbor); // all that it says of a session, for people
    std::string log() const;
    // What it says that its OPEN offers, on one line: the proof that it lacks something.
    virtual std::string offers(const Ip& neighbor) = 0;
    virtual std::vector<LearnedPath> learned(const std::string& prefix, const Ip& neighbor) = 0;
    virtual void refresh(const Ip& neighbor) = 0; // asks for everything again
    // Ends the session by a NOTIFICATION, and begins another.
    virtual void reset(const Ip& neighbor) = 0;
    // Ends the session with a text for people (RFC 9003).
    virtual void shut(const Ip& neighbor, const std::string& text) = 0;

protected:
    using Words = std::vector<std::string>;

    Daemon();

    virtual Words command(bool after_a_crash) const = 0;
    virtual std::string text_of(const DaemonConfig& config) const = 0;
    virtual bool answers() = 0;
    virtual Words ask_about(const Ip& neighbor) const = 0;
    // `route` has come to config().routes, or has left it; the file is written already.
    virtual void changed(const Route& route, bool there) = 0;
    // For what a config cannot say.
    virtual void started() {}

    static std::string ask(const Words& command); // both outputs
    std::string in_folder(const std::string& name) const { return folder_ + "/" + name; }
    std::string config_file() const { return in_folder("config"); }
    const DaemonConfig& config() const { return config_; }
    std::size_t index_of(const Ip& neighbor) const;

private:
    Status start_process(bool after_a_crash);
    void write_config() const;
    std::string last_words() const;

    std::string folder_;
    DaemonConfig config_;
    Contained process_;
};

struct DaemonKind {
    std::string_view name; // as in the names of tests
    std::string_view title;
    std::unique_ptr<Daemon> (*make)();
};
const std::vector<DaemonKind>& daemon_kinds();

std::unique_ptr<Daemon> make_bird();
std::unique_ptr<Daemon> make_frr();
std::unique_ptr<Daemon> make_gobgp();
std::unique_ptr<Daemon> make_openbgpd();

// For adapters.
std::string own_address(const DaemonConfig& config, const Neighbor& neighbor);
bool is_internal(const DaemonConfig& config, const Neighbor& neighbor);
bool has_family(const Neighbor& neighbor, Family family);
bool is_v6(const std::string& prefix);
// What stands after the line that contains `from`, up to `to`, on one line.
std::string between(const std::string& text, std::string_view from, std::string_view to);
std::vector<std::string> split(const std::string& text, std::string_view separators);

} // namespace margay::bgp::lab
