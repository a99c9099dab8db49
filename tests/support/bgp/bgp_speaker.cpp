// SPDX-License-Identifier: Apache-2.0
// bgp_speaker: the library as a process, for tests and benches that need one to kill or to load.
//
//   bgp_speaker --as 64512 --id 10.0.0.1 --listen 10.0.0.1:1790
//     --peer name=b,address=10.0.0.2,port=1790,as=64512,source=10.0.0.1 --announce 10.1.0.0/26
//
// Lines on stdin: announce PREFIX, withdraw PREFIX, count N FIRST/LEN (announces N prefixes from
// there), complete, peers, routes, told PEER, turns, quit (Cease), abort (no Cease). Events go to stdout,
// and at the end what the turns of the event loop cost. SIGTERM is quit. Everything given by --announce is
// complete; with --hold, wait for "complete".

#include "bgp/speaker/speaker.h"
#include "margay/log.h"
#include "margay/loop.h"

#include <CLI/CLI.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/streambuf.hpp>
#include <spdlog/sinks/stdout_sinks.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <sstream>

#include <unistd.h>

namespace margay::bgp {
namespace {

struct Options {
    std::uint32_t as = 64512;
    std::string id;
    std::string listen;
    std::string address4;
    std::string address6;
    std::string cluster_id;
    std::vector<std::string> peers;
    std::vector<std::string> announce;
    bool restarting = false;
    bool hold = false;
    bool quiet = false;
    std::int64_t restart_time = 120;
};

[[noreturn]] void refuse(const std::string& what)
{
    std::cerr << "bgp_speaker: " << what << '\n';
    std::exit(2);
}

Ip ip_of(const std::string& text)
{
    const auto ip = Ip::parse(text);
    return ip ? *ip : (refuse("not an address: " + text), Ip());
}

IpPrefix prefix_of(const std::string& text)
{
    const auto prefix = IpPrefix::parse(text);
    return prefix ? *prefix : (refuse("not a prefix: " + text), IpPrefix());
}

void announce(Speaker& speaker, const IpPrefix& prefix)
{
    prefix.is_v4() ? speaker.announce(prefix.v4()) : speaker.announce(prefix.v6());
}

// "v4", "v6", or "v4+v6".
std::vector<Family> families_of(const std::string& text)
{
    std::vector<Family> families;
    if (text.find("v4") != std::string::npos)
        families.push_back(kIpv4Unicast);
    if (text.find("v6") != std::string::npos)
        families.push_back(kIpv6Unicast);
    return families;
}

NextHopMode next_hop_mode(const std::string& text)
{
    if (text == "self")
        return NextHopMode::Self;
    return text == "keep" ? NextHopMode::Keep : NextHopMode::Auto;
}

void set_peer_field(PeerConfig& peer, const std::string& key, const std::string& value)
{
    const auto number = [&] { return static_cast<std::uint32_t>(std::stoul(value)); };
    if (key == "name")
        peer.name = value;
    else if (key == "address")
        peer.address = ip_of(value);
    else if (key == "port")
        peer.port = static_cast<std::uint16_t>(number());
    else if (key == "as")
        peer.remote_as = Asn{number()};
    else if (key == "source")
        peer.source = ip_of(value);
    else if (key == "passive")
        peer.passive = true;
    else if (key == "client")
        peer.reflector_client = true;
    else if (key == "nogr")
        peer.graceful_restart = false;
    else if (key == "gr-notification")
        peer.restart_on_notification = true;
    else if (key == "hold")
        peer.hold_time = Seconds(number());
    else if (key == "keepalive")
        peer.keepalive_time = Seconds(number());
    else if (key == "restart")
        peer.restart_time = Seconds(number());
    else if (key == "families")
        peer.families = families_of(value);
    else if (key == "password")
        peer.password = value;
    else if (key == "ttl-security")
        peer.ttl_security = static_cast<std::uint8_t>(number());
    else if (key == "local-as")
        peer.local_as = Asn{number()};
    else if (key == "own-as")
        peer.allowed_own_as = static_cast<std::uint8_t>(number());
    else if (key == "next-hop")
        peer.next_hop = next_hop_mode(value);
    else if (key == "no-add-path")
        peer.add_path = false;
    else if (key == "max-prefixes")
        peer.max_prefixes = number();
    else if (key == "delay-open")
        peer.delay_open = std::chrono::milliseconds(number());
    else if (key == "send-hold")
        peer.send_hold_time = Seconds(number());
    else if (key == "retry")
        peer.connect_retry = std::chrono::milliseconds(number());
    else if (key == "idle-hold")
        peer.idle_hold = std::chrono::milliseconds(number());
    else if (key == "first-as")
        peer.enforce_first_as = true;
    else
        refuse("unknown peer field: " + key);
}

PeerConfig peer_of(const std::string& text)
{
    PeerConfig peer;
    std::istringstream fields(text);
    for (std::string field; std::getline(fields, field, ',');) {
        const auto equals = field.find('=');
        set_peer_field(peer, field.substr(0, equals),
                       equals == std::string::npos ? "" : field.substr(equals + 1));
    }
    if (peer.name.empty())
        peer.name = peer.address.str();
    return peer;
}

template <typename P>
void print_changes(std::span<const RouteChangeOf<P>> changes, bool quiet)
{
    for (const RouteChangeOf<P>& change : changes) {
        if (quiet)
            break;
        std::cout << "route " << change.prefix.str();
        for (const NextHop& hop : change.best)
            std::cout << " via " << hop.gateway.str();
        std::cout << " pref " << change.local_pref << '\n';
    }
    std::cout << "routes " << changes.size() << std::endl;
}

Callbacks printing(bool quiet)
{
    Callbacks callbacks;
    callbacks.on_routes = [quiet](auto changes) { print_changes(changes, quiet); };
    callbacks.on_routes6 = [quiet](auto changes) { print_changes(changes, quiet); };
    callbacks.on_peer_state = [](const PeerStatus& status) {
        std::cout << "peer " << status.name << ' ' << name_of(status.state) << ' '
                  << status.why_down << std::endl;
    };
    callbacks.on_initial_sync_done = [] { std::cout << "synced" << std::endl; };
    return callbacks;
}

class Shell {
public:
    Shell(Executor& executor, Speaker& speaker, const LoopStats& loop)
        : executor_(executor), speaker_(speaker), loop_(loop),
          input_(executor, ::dup(STDIN_FILENO)), signals_(executor, SIGTERM, SIGINT)
    {
        signals_.async_wait([this](const boost::system::error_code& error, int) {
            if (!error)
                end(Speaker::Goodbye::Notify);
        });
        read();
    }

private:
    void read()
    {
        boost::asio::async_read_until(input_, buffer_, '\n',
                                      [this](const boost::system::error_code& error, std::size_t) {
                                          if (error)
                                              return; // the end of stdin is not the end of us
                                          std::istream stream(&buffer_);
                                          std::string line;
                                          std::getline(stream, line);
                                          obey(line);
                                          read();
                                      });
    }
    void obey(const std::string& line)
    {
        std::istringstream words(line);
        std::string verb, argument;
        words >> verb >> argument;
        if (verb == "announce")
            announce(speaker_, prefix_of(argument));
        else if (verb == "withdraw")
            withdraw(prefix_of(argument));
        else if (verb == "count")
            announce_many(std::stoul(argument), words);
        else if (verb == "complete")
            speaker_.announcements_complete();
        else if (verb == "peers")
            print_peers();
        else if (verb == "routes")
            print_routes();
        else if (verb == "told")
            print_told(argument);
        else if (verb == "turns")
            print_turns();
        else if (verb == "quit")
            end(Speaker::Goodbye::Notify);
        else if (verb == "abort")
            end(Speaker::Goodbye::None);
        else
            std::cout << "unknown " << verb << std::endl;
    }
    void withdraw(const IpPrefix& prefix)
    {
        prefix.is_v4() ? speaker_.withdraw(prefix.v4()) : speaker_.withdraw(prefix.v6());
    }
    void announce_many(std::size_t count, std::istringstream& words)
    {
        std::string text;
        words >> text;
        const Prefix4 first = prefix_of(text).v4();
        const auto step = static_cast<std::uint32_t>(std::uint64_t{1} << (32 - first.length));
        for (std::size_t i = 0; i < count; ++i) {
            const auto offset = static_cast<std::uint32_t>(i * step);
            speaker_.announce(Prefix4{Ipv4(first.addr.value() + offset), first.length});
        }
    }
    void print_peers() const
    {
        for (const PeerStatus& peer : speaker_.peers())
            std::cout << "peer " << peer.name << ' ' << name_of(peer.state) << " received "
                      << peer.prefixes_received << " advertised " << peer.prefixes_advertised << ' '
                      << peer.why_down << std::endl;
    }
    void print_routes() const
    {
        for (const RouteView& route : speaker_.routes())
            std::cout << route.prefix.str() << " from "
                      << (route.from ? route.from->str() : "ourselves") << ": " << route.why
                      << std::endl;
    }
    void print_told(const std::string& peer) const
    {
        for (const ExportedView& view : speaker_.routes_to(peer))
            std::cout << view.route.prefix.str() << (view.told ? " told" : " not told: ")
                      << view.why << std::endl;
    }
    void print_turns() const
    {
        const std::chrono::duration<double, std::milli> worst = loop_.worst;
        std::cout << "turns " << loop_.turns << " long " << loop_.long_turns << " worst "
                  << worst.count() << " ms" << std::endl;
    }
    void end(Speaker::Goodbye goodbye)
    {
        print_turns(); // nobody waits for the last one
        speaker_.shutdown(goodbye);
        boost::asio::post(executor_, [this] { executor_.stop(); });
    }

    Executor& executor_;
    Speaker& speaker_;
    const LoopStats& loop_;
    boost::asio::posix::stream_descriptor input_;
    boost::asio::signal_set signals_;
    boost::asio::streambuf buffer_;
};

int run(const Options& options)
{
    Executor executor;
    auto log =
        std::make_shared<spdlog::logger>("bgp", std::make_shared<spdlog::sinks::stderr_sink_st>());
    SpeakerConfig config;
    config.local_as = Asn{options.as};
    config.router_id = ip_of(options.id).v4();
    config.restarting = options.restarting;
    config.restart_time = Seconds(options.restart_time);
    config.listen_port = 0;
    if (!options.address4.empty())
        config.address4 = ip_of(options.address4).v4();
    if (!options.address6.empty())
        config.address6 = ip_of(options.address6).v6();
    if (!options.cluster_id.empty())
        config.cluster_id = ip_of(options.cluster_id).v4();
    if (const auto colon = options.listen.rfind(':'); colon != std::string::npos) {
        if (colon > 0) // ":179" is all addresses
            config.listen_address = ip_of(options.listen.substr(0, colon));
        config.listen_port =
            static_cast<std::uint16_t>(std::stoul(options.listen.substr(colon + 1)));
    }
    Speaker speaker(executor, log, config, printing(options.quiet));
    if (const Status status = speaker.listen(); !status)
        log->error("{}", status.error().what);
    for (const std::string& prefix : options.announce)
        announce(speaker, prefix_of(prefix));
    if (!options.hold)
        speaker.announcements_complete();
    std::vector<PeerConfig> peers;
    for (const std::string& text : options.peers)
        peers.push_back(peer_of(text));
    LoopStats loop;
    const auto before = thread_cpu_time();
    speaker.set_peers(std::move(peers)); // margayd does it in a turn
    loop.note(thread_cpu_time() - before);
    Shell shell(executor, speaker, loop);
    margay::run(executor, loop);
    return 0;
}

} // namespace
} // namespace margay::bgp

int main(int argc, char** argv)
{
    margay::bgp::Options options;
    CLI::App app("A BGP speaker for tests and benches");
    app.add_option("--as", options.as);
    app.add_option("--id", options.id)->required();
    app.add_option("--listen", options.listen, "address:port, or :port for all addresses");
    app.add_option("--address4", options.address4,
                   "IPv4 next hop of ours on IPv6 sessions; else of the interface");
    app.add_option("--address6", options.address6,
                   "IPv6 next hop of ours on IPv4 sessions; else of the interface");
    app.add_option("--cluster-id", options.cluster_id, "as a reflector; else the identifier");
    app.add_option(
        "--peer", options.peers,
        "name=,address=,port=,as=,source=,families=v4+v6,passive,client,nogr,gr-notification,hold=,"
        "keepalive=,restart=,retry=,password=,ttl-security=,local-as=,own-as=,"
        "next-hop=auto|self|keep,no-add-path,max-prefixes=,delay-open=,send-hold=,idle-hold=,first-"
        "as");
    app.add_option("--announce", options.announce);
    app.add_option("--restart-time", options.restart_time);
    app.add_flag("--restarting", options.restarting);
    app.add_flag("--hold", options.hold, "announcements are not complete before \"complete\"");
    app.add_flag("--quiet", options.quiet, "count routes instead of printing them");
    CLI11_PARSE(app, argc, argv);
    return margay::bgp::run(options);
}
