// SPDX-License-Identifier: Apache-2.0
// The state machine of a peer: any events in any order, from a caller that does what it is told.
#include "bgp/session/fsm.h"
#include "fuzz/input.h"

#include <set>
#include <utility>

namespace margay::fuzz {
namespace {

using namespace bgp;
using std::chrono::milliseconds;

class Caller {
public:
    explicit Caller(Input& input) : input_(input), fsm_(config(input)) {}

    void run()
    {
        while (!input_.at_end())
            step();
        take(fsm_.stop(Notify{ErrorCode::Cease, cease::kPeerRemoved, {}}));
        claim(connections_.empty() && !up_, "nothing is left after a stop");
    }

private:
    static FsmConfig config(Input& input);
    void step();
    void tick(milliseconds later);
    void take(const Actions& actions);
    void take(const Action& action);
    ConnId some_connection();
    Incoming some_message();
    Open some_open();

    Input& input_;
    Fsm fsm_;
    Time now_{std::chrono::hours(1)};
    bool started_ = false;
    std::set<ConnId> connections_;
    std::set<ConnId> dialing_;
    std::optional<ConnId> up_;
};

FsmConfig Caller::config(Input& input)
{
    const std::uint8_t choice = input.u8();
    FsmConfig config;
    config.session.local_as = Asn{64512};
    config.session.remote_as = Asn{choice & 1 ? 64512u : 64513u};
    config.session.router_id = Ipv4(100);
    if (choice & 2)
        config.session.families.push_back(kIpv6Unicast);
    config.session.graceful_restart = choice & 4;
    config.session.restart_on_notification = choice & 8;
    config.passive = choice & 16;
    config.delay_open = choice & 32 ? milliseconds(700) : milliseconds(0);
    config.session.hold_time = choice & 64 ? Seconds(0) : Seconds(90);
    return config;
}

void Caller::step()
{
    switch (input_.below(10)) {
    case 0:
        if (!std::exchange(started_, true))
            take(fsm_.start(now_));
        return;
    case 1: {
        Actions actions;
        if (const auto id = fsm_.accept(now_, actions))
            claim(connections_.insert(*id).second, "a connection has a number of its own");
        return take(actions);
    }
    case 2: {
        const ConnId id = some_connection();
        dialing_.erase(id);
        return take(fsm_.dialed(id, now_));
    }
    case 3: {
        const ConnId id = some_connection();
        connections_.erase(id); // it is gone before the machine hears of it
        dialing_.erase(id);
        return take(fsm_.lost(id, "reset", now_));
    }
    case 4:
        return tick(milliseconds(input_.u8()));
    case 5:
        return tick(milliseconds(100 * input_.u16()));
    case 6:
        if (input_.below(8) != 0)
            return;
        started_ = false;
        return take(fsm_.stop(Notify{ErrorCode::Cease, input_.u8(), {}}));
    default: {
        const ConnId id = some_connection();
        if (!dialing_.contains(id))
            take(fsm_.received(id, some_message(), now_));
    }
    }
}

void Caller::tick(milliseconds later)
{
    now_ += later;
    take(fsm_.tick(now_));
    claim(!fsm_.deadline() || *fsm_.deadline() > now_, "what was due is done");
}

void Caller::take(const Actions& actions)
{
    for (const Action& action : actions)
        take(action);
    claim((fsm_.state() == State::Established) == up_.has_value(),
          "the state says whether it is up");
    claim(connections_.size() <= 4, "connections are few");
    claim(started_ || connections_.empty(), "who is stopped has no connections");
}

void Caller::take(const Action& action)
{
    if (const auto* dial = std::get_if<Dial>(&action)) {
        claim(connections_.insert(dial->connection).second, "a connection has a number of its own");
        dialing_.insert(dial->connection);
    } else if (const auto* send = std::get_if<Send>(&action)) {
        claim(connections_.contains(send->connection), "a closed connection is not written to");
        claim(!dialing_.contains(send->connection), "one that is not up is not written to");
    } else if (const auto* close = std::get_if<Close>(&action)) {
        claim(connections_.erase(close->connection) == 1, "a connection is closed once");
        dialing_.erase(close->connection);
    } else if (const auto* up = std::get_if<SessionUp>(&action)) {
        claim(!up_, "at most one session is up");
        claim(connections_.contains(up->connection), "a session has a connection");
        up_ = up->connection;
    } else if (const auto* down = std::get_if<SessionDown>(&action)) {
        claim(up_.has_value(), "what goes down was up");
        claim(!connections_.contains(*up_), "a session's connection ends before it");
        (void)down;
        up_.reset();
    }
}

// Now and then one that never was, or is no more.
ConnId Caller::some_connection()
{
    const std::size_t choice = input_.below(8);
    if (choice >= connections_.size())
        return static_cast<ConnId>(choice);
    return *std::next(connections_.begin(), static_cast<std::ptrdiff_t>(choice));
}

Incoming Caller::some_message()
{
    switch (input_.below(8)) {
    case 0:
        return UpdateSeen{};
    case 1:
        return RefreshSeen{};
    case 2:
        return Notify{static_cast<ErrorCode>(input_.below(9)),
                      static_cast<std::uint8_t>(input_.below(12)),
                      {}};
    case 3:
        return Malformed{Notify{static_cast<ErrorCode>(input_.below(9)),
                                static_cast<std::uint8_t>(input_.below(12)),
                                {}},
                         ""};
    case 4:
    case 5:
        return KeepaliveSeen{};
    default:
        return some_open();
    }
}

Open Caller::some_open()
{
    const std::uint8_t choice = input_.u8();
    Open open;
    open.as = Asn{choice & 1 ? 64512u : 64513u};
    open.hold_time = choice & 2 ? Seconds(0) : Seconds(3 + choice);
    open.identifier = Ipv4(choice & 4 ? 99 : choice & 8 ? 101 : 100);
    if (choice & 16)
        open.capabilities.families = {kIpv4Unicast, kIpv6Unicast};
    if (choice & 32) {
        GracefulRestart restart;
        restart.restart_time = Seconds(120);
        restart.notification = choice & 64;
        restart.entries.push_back({choice & 128 ? kIpv4Unicast : kIpv6Unicast, true});
        open.capabilities.graceful_restart = restart;
    }
    return open;
}

} // namespace

void run_fsm(Octets octets)
{
    Input input(octets.first(octets.size() < 4096 ? octets.size() : 4096));
    Caller(input).run();
}

} // namespace margay::fuzz
