// SPDX-License-Identifier: Apache-2.0
#include "bgp/session/fsm.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

// "dial 1, open 1, close 1": what the machine wants done, in words.
std::string words(const Actions& actions)
{
    std::string text;
    const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
    for (const Action& action : actions) {
        if (const auto* d = std::get_if<Dial>(&action))
            add("dial " + std::to_string(d->connection));
        if (const auto* c = std::get_if<Close>(&action))
            add("close " + std::to_string(c->connection));
        if (const auto* u = std::get_if<SessionUp>(&action))
            add("up " + std::to_string(u->connection));
        if (const auto* d = std::get_if<SessionDown>(&action))
            add(d->keep_routes ? "down keep" : "down");
        if (const auto* s = std::get_if<Send>(&action)) {
            const std::string to = " " + std::to_string(s->connection);
            if (std::holds_alternative<Open>(s->message))
                add("open" + to);
            else if (const auto* n = std::get_if<Notify>(&s->message))
                add("notify" + to + " " + std::to_string(static_cast<int>(n->code)) + "/" +
                    std::to_string(n->subcode) +
                    (n->code == ErrorCode::Fsm && n->data.size() == 1
                         ? " of type " + std::to_string(n->data[0])
                         : ""));
            else
                add("keepalive" + to);
        }
    }
    return text;
}

FsmConfig config(bool passive = false)
{
    FsmConfig c;
    c.session.local_as = Asn{64512};
    c.session.remote_as = Asn{64512};
    c.session.router_id = Ipv4(20);
    c.passive = passive;
    return c;
}

Open peer_open(std::uint32_t identifier = 10)
{
    SessionConfig peer;
    peer.local_as = Asn{64512};
    peer.router_id = Ipv4(identifier);
    peer.hold_time = Seconds(90);
    return make_open(peer, {});
}

struct FsmTest : ::testing::Test {
    Time now{};
    Fsm fsm{config()};

    std::string take(const Actions& actions) { return words(actions); }
    ConnId accept()
    {
        Actions actions;
        const auto id = fsm.accept(now, actions);
        EXPECT_TRUE(id);
        return id.value_or(0);
    }
    void establish() // on connection 1, dialed by us
    {
        take(fsm.start(now));
        take(fsm.dialed(1, now));
        take(fsm.received(1, peer_open(), now));
        EXPECT_EQ(take(fsm.received(1, KeepaliveSeen{}, now)), "up 1");
    }
    std::string wait(Duration time)
    {
        now += time;
        return take(fsm.tick(now));
    }
};

TEST_F(FsmTest, dials_opens_confirms_and_is_established)
{
    EXPECT_EQ(fsm.state(), State::Idle);
    EXPECT_EQ(take(fsm.start(now)), "dial 1");
    EXPECT_EQ(fsm.state(), State::Connect);
    EXPECT_EQ(take(fsm.dialed(1, now)), "open 1");
    EXPECT_EQ(fsm.state(), State::OpenSent);
    EXPECT_EQ(take(fsm.received(1, peer_open(), now)), "keepalive 1");
    EXPECT_EQ(fsm.state(), State::OpenConfirm);
    EXPECT_EQ(take(fsm.received(1, KeepaliveSeen{}, now)), "up 1");
    EXPECT_EQ(fsm.state(), State::Established);
}

TEST_F(FsmTest, silence_may_be_another_password)
{
    FsmConfig signing = config();
    signing.authenticated = true;
    for (const FsmConfig& each : {signing, config()}) {
        fsm = Fsm(each);
        take(fsm.start(now));
        wait(each.connect_timeout);
        EXPECT_THAT(fsm.last_down().text, HasSubstr("timed out"));
        EXPECT_EQ(fsm.last_down().text.find("TCP MD5") != std::string::npos, each.authenticated);
    }
}

TEST_F(FsmTest, passive_peer_waits_and_never_dials)
{
    fsm = Fsm(config(true));
    EXPECT_EQ(take(fsm.start(now)), "");
    EXPECT_EQ(fsm.state(), State::Active);
    EXPECT_EQ(fsm.deadline(), std::nullopt);
    EXPECT_EQ(accept(), 1u);
    take(fsm.received(1, peer_open(), now));
    EXPECT_EQ(take(fsm.received(1, KeepaliveSeen{}, now)), "up 1");
    take(fsm.lost(1, "reset", now));
    EXPECT_EQ(wait(10min), "");
}

TEST_F(FsmTest, refused_dial_is_tried_again_after_the_jittered_retry_time)
{
    take(fsm.start(now));
    EXPECT_EQ(take(fsm.lost(1, "connection refused", now)), "");
    EXPECT_EQ(fsm.state(), State::Active);
    EXPECT_EQ(fsm.last_down().kind, DownReason::Kind::ConnectFailed);
    EXPECT_EQ(fsm.last_down().text, "connection refused");
    ASSERT_TRUE(fsm.deadline());
    EXPECT_GE(*fsm.deadline() - now, 3750ms);
    EXPECT_LE(*fsm.deadline() - now, 5000ms);
    EXPECT_EQ(wait(3700ms), "");
    EXPECT_EQ(wait(1300ms), "dial 2");
}

TEST_F(FsmTest, dial_without_answer_is_closed_and_said_so)
{
    take(fsm.start(now));
    EXPECT_EQ(wait(10s), "close 1");
    EXPECT_THAT(fsm.last_down().text, HasSubstr("no answer"));
    EXPECT_EQ(wait(5s), "dial 2");
}

TEST_F(FsmTest, connection_closed_before_the_open_hints_at_the_peers_configuration)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    EXPECT_EQ(take(fsm.lost(1, "closed", now)), "");
    EXPECT_EQ(fsm.last_down().text, "closed, before its OPEN: it may not know us as a peer");
    EXPECT_EQ(wait(5s), "dial 2");
}

TEST_F(FsmTest, error_is_not_hidden_by_the_peer_hanging_up_afterwards)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    take(fsm.received(1, Notify{ErrorCode::Open, open_error::kBadPeerAs, {}}, now));
    EXPECT_EQ(wait(5s), "dial 2");
    take(fsm.dialed(2, now));
    take(fsm.lost(2, "closed", now));
    EXPECT_EQ(fsm.last_down().text, "the peer sent Bad Peer AS (2/2)");
    EXPECT_EQ(wait(5s), "dial 3");
    take(fsm.lost(3, "connection refused", now));
    EXPECT_EQ(fsm.last_down().text, "connection refused");
}

// RFC 4271 8.2.2: what each state answers to a message that it does not expect.
struct Unexpected {
    State state;
    Incoming message;
    const char* answer;
};

class UnexpectedMessage : public FsmTest, public ::testing::WithParamInterface<Unexpected> {};

TEST_P(UnexpectedMessage, is_answered_with_the_subcode_of_the_state)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    if (GetParam().state >= State::OpenConfirm)
        take(fsm.received(1, peer_open(), now));
    if (GetParam().state >= State::Established)
        take(fsm.received(1, KeepaliveSeen{}, now));
    ASSERT_EQ(fsm.state(), GetParam().state);
    EXPECT_EQ(take(fsm.received(1, GetParam().message, now)), GetParam().answer);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc6608, UnexpectedMessage,
    ::testing::Values(
        Unexpected{State::OpenSent, KeepaliveSeen{}, "notify 1 5/1 of type 4, close 1"},
        Unexpected{State::OpenSent, UpdateSeen{}, "notify 1 5/1 of type 2, close 1"},
        Unexpected{State::OpenSent, RefreshSeen{}, "notify 1 5/1 of type 5, close 1"},
        Unexpected{State::OpenConfirm, UpdateSeen{}, "notify 1 5/2 of type 2, close 1"},
        Unexpected{State::OpenConfirm, RefreshSeen{}, "notify 1 5/2 of type 5, close 1"},
        Unexpected{State::OpenConfirm, peer_open(), "notify 1 5/2 of type 1, close 1"},
        Unexpected{State::Established, peer_open(), "notify 1 5/3 of type 1, close 1, down"},
        Unexpected{State::Established, Malformed{{ErrorCode::Update, 1, {}}, ""},
                   "notify 1 3/1, close 1, down"},
        Unexpected{State::OpenSent, Notify{ErrorCode::Cease, 2, {}}, "close 1"},
        Unexpected{State::Established, Notify{ErrorCode::Cease, 2, {}}, "close 1, down"}));

TEST_F(FsmTest, open_is_refused_with_its_reason_in_words)
{
    const auto answer = [&](const Open& open) {
        fsm = Fsm(config());
        take(fsm.start(now));
        take(fsm.dialed(1, now));
        return take(fsm.received(1, open, now));
    };
    Open open = peer_open();
    open.as = Asn{65001};
    EXPECT_EQ(answer(open), "notify 1 2/2, close 1");
    EXPECT_EQ(fsm.last_down().text, "wrong AS: the peer says 65001, configured is 64512");
    EXPECT_EQ(answer(peer_open(20)), "notify 1 2/3, close 1") << "our own identifier";
    open = peer_open();
    open.capabilities.families = {{2, 1}};
    EXPECT_EQ(answer(open), "notify 1 2/7, close 1");
    EXPECT_EQ(fsm.state(), State::Idle) << "the peer is left alone for a while";
}

TEST_F(FsmTest, errors_back_off_doubling_up_to_the_limit_and_refuse_connections_for_a_moment)
{
    Open wrong = peer_open();
    wrong.as = Asn{1};
    take(fsm.start(now));
    ConnId id = 1;
    for (const Duration expected : {5s, 10s, 20s, 30s, 30s}) {
        take(fsm.dialed(id, now));
        take(fsm.received(id, wrong, now));
        Actions actions;
        EXPECT_FALSE(fsm.accept(now, actions));
        ++id;
        EXPECT_EQ(wait(expected * 3 / 4 - 1ms), "");
        EXPECT_EQ(wait(expected / 4 + 1ms), "dial " + std::to_string(id));
    }
    take(fsm.dialed(id, now));
    take(fsm.received(id, wrong, now));
    Actions actions;
    wait(999ms);
    EXPECT_FALSE(fsm.accept(now, actions));
    wait(1ms);
    EXPECT_TRUE(fsm.accept(now, actions));
}

// RFC 5492 section 3.
class NoCapabilities : public FsmTest {
protected:
    const Notify refused{ErrorCode::Open, open_error::kParameter, {}};

    // The OPEN of the next dial, which is the `id`th.
    Open next_open(ConnId id)
    {
        EXPECT_EQ(wait(30s), "dial " + std::to_string(id));
        for (const Action& action : fsm.dialed(id, now))
            if (const auto* send = std::get_if<Send>(&action))
                return std::get<Open>(send->message);
        return {};
    }
    void SetUp() override
    {
        take(fsm.start(now));
        take(fsm.dialed(1, now));
    }
};

TEST_F(NoCapabilities, are_offered_to_who_does_not_know_the_parameter)
{
    take(fsm.received(1, refused, now));
    EXPECT_THAT(fsm.last_down().text, HasSubstr("asked again without capabilities"));
    EXPECT_EQ(next_open(2).capabilities, Capabilities{});
    Open open = peer_open(); // what it can do counts for nothing, as it was not asked
    EXPECT_EQ(take(fsm.received(2, open, now)), "keepalive 2");
    const Actions up = fsm.received(2, KeepaliveSeen{}, now);
    const Negotiated& session = std::get<SessionUp>(up.at(0)).negotiated;
    EXPECT_FALSE(session.wire.four_octet_as);
    EXPECT_FALSE(session.route_refresh);
    EXPECT_FALSE(session.peer_restart);
    EXPECT_TRUE(session.wire.ipv4.carried);
    take(fsm.lost(2, "gone", now));
    EXPECT_TRUE(next_open(3).capabilities.four_octet_as) << "it may have learned them meanwhile";
}

TEST_F(NoCapabilities, help_nobody_who_refuses_them_too)
{
    take(fsm.received(1, refused, now));
    EXPECT_FALSE(next_open(2).capabilities.four_octet_as);
    take(fsm.lost(2, "reset", now));
    EXPECT_FALSE(next_open(3).capabilities.four_octet_as) << "TCP says nothing of them";
    take(fsm.received(3, refused, now));
    EXPECT_TRUE(next_open(4).capabilities.four_octet_as);
}

TEST_F(NoCapabilities, are_no_answer_to_other_refusals)
{
    take(fsm.received(1, Notify{ErrorCode::Open, open_error::kCapability, {}}, now));
    EXPECT_TRUE(next_open(2).capabilities.four_octet_as);
}

TEST_F(NoCapabilities, are_not_for_who_carries_nothing_without)
{
    FsmConfig ipv6 = config();
    ipv6.session.families = {kIpv6Unicast};
    fsm = Fsm(ipv6);
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    take(fsm.received(1, refused, now));
    EXPECT_TRUE(next_open(2).capabilities.four_octet_as);
}

TEST_F(FsmTest, who_is_not_damped_is_let_in_at_once_and_dialed_after_a_pause)
{
    FsmConfig undamped = config();
    undamped.idle_hold_min = undamped.idle_hold_max = 0s;
    fsm = Fsm(undamped);
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    take(fsm.received(1, Malformed{{ErrorCode::Update, 1, {}}, ""}, now));
    EXPECT_EQ(wait(749ms), "");
    EXPECT_EQ(accept(), 2u);
    EXPECT_EQ(wait(251ms), "dial 3");
}

// ---- Timers ----

TEST_F(FsmTest, hold_time_is_the_lesser_of_both_and_keepalives_come_at_a_third_of_it)
{
    establish();
    EXPECT_EQ(wait(22s), "");
    EXPECT_EQ(wait(8s), "keepalive 1") << "90 s from the peer's OPEN, a third, jittered";
    EXPECT_EQ(wait(30s), "keepalive 1");
    EXPECT_EQ(wait(30s), "notify 1 4/0, close 1, down");
    EXPECT_EQ(fsm.last_down().kind, DownReason::Kind::HoldExpired);
}

TEST_F(FsmTest, keepalive_and_update_restart_the_hold_timer_and_route_refresh_does_not)
{
    establish();
    wait(80s);
    take(fsm.received(1, UpdateSeen{}, now));
    wait(80s);
    take(fsm.received(1, KeepaliveSeen{}, now));
    wait(80s);
    ASSERT_EQ(fsm.state(), State::Established);
    take(fsm.received(1, RefreshSeen{}, now));
    wait(10s);
    EXPECT_NE(fsm.state(), State::Established);
}

TEST_F(FsmTest, keepalives_are_a_second_apart_at_least)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    Open open = peer_open();
    open.hold_time = Seconds(3);
    take(fsm.received(1, open, now));
    take(fsm.received(1, KeepaliveSeen{}, now));
    for (int i = 0; i < 20; ++i) {
        take(fsm.received(1, UpdateSeen{}, now));
        EXPECT_EQ(wait(999ms), "");
        EXPECT_EQ(wait(1ms), "keepalive 1");
    }
}

TEST_F(FsmTest, hold_time_zero_means_no_timers)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    Open open = peer_open();
    open.hold_time = Seconds(0);
    take(fsm.received(1, open, now));
    take(fsm.received(1, KeepaliveSeen{}, now));
    EXPECT_EQ(fsm.deadline(), std::nullopt);
}

TEST_F(FsmTest, peer_without_a_hold_time_has_to_confirm_within_the_open_timeout)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    Open open = peer_open();
    open.hold_time = Seconds(0);
    take(fsm.received(1, open, now));
    EXPECT_EQ(wait(239s), "");
    EXPECT_EQ(wait(1s), "notify 1 4/0, close 1");
}

TEST_F(FsmTest, peer_that_accepts_and_says_nothing_runs_into_the_open_timeout)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    EXPECT_EQ(wait(239s), "");
    EXPECT_EQ(wait(1s), "notify 1 4/0, close 1");
    EXPECT_THAT(fsm.last_down().text, HasSubstr("sent no OPEN"));
}

// ---- Collisions (RFC 4271 6.8) ----

TEST_F(FsmTest, higher_identifier_keeps_its_own_connection)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    const ConnId incoming = accept();
    EXPECT_EQ(take(fsm.received(incoming, peer_open(10), now)), "") << "until the winner speaks";
    EXPECT_EQ(take(fsm.received(1, peer_open(10), now)), "notify 2 6/7, close 2, keepalive 1");
    EXPECT_EQ(wait(2s), "") << "nothing waits for an answer any more";
}

TEST_F(FsmTest, winner_that_stays_silent_gives_way)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    const ConnId incoming = accept();
    take(fsm.received(incoming, peer_open(10), now));
    EXPECT_EQ(take(fsm.received(incoming, KeepaliveSeen{}, now)), "") << "it has heard our OPEN";
    EXPECT_EQ(wait(999ms), "");
    EXPECT_EQ(wait(1ms), "keepalive 2, up 2");
    EXPECT_EQ(wait(999ms), "");
    EXPECT_EQ(wait(1ms), "notify 1 6/7, close 1") << "it is nobody's any more";
    EXPECT_EQ(fsm.state(), State::Established);
}

TEST_F(FsmTest, winner_that_speaks_late_takes_over_until_there_is_a_session)
{
    for (const bool up : {false, true}) {
        fsm = Fsm(config());
        take(fsm.start(now));
        take(fsm.dialed(1, now));
        const ConnId incoming = accept();
        take(fsm.received(incoming, peer_open(10), now));
        EXPECT_EQ(wait(1s), "keepalive 2");
        if (up) {
            EXPECT_EQ(take(fsm.received(incoming, KeepaliveSeen{}, now)), "up 2");
        }
        EXPECT_EQ(take(fsm.received(1, peer_open(10), now)),
                  up ? "close 2, down keep, keepalive 1" : "notify 2 6/7, close 2, keepalive 1")
            << "graceful restart was agreed on: then it replaces the session";
    }
}

TEST_F(FsmTest, winner_that_is_lost_leaves_the_other_to_be_answered)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    const ConnId incoming = accept();
    take(fsm.received(incoming, peer_open(10), now));
    take(fsm.lost(1, "reset", now));
    EXPECT_EQ(wait(1s), "keepalive 2");
    EXPECT_EQ(take(fsm.received(incoming, KeepaliveSeen{}, now)), "up 2");
}

TEST_F(FsmTest, open_that_is_held_back_is_still_the_only_one)
{
    for (const Incoming& second : {Incoming(peer_open(10)), Incoming(UpdateSeen{})}) {
        fsm = Fsm(config());
        take(fsm.start(now));
        take(fsm.dialed(1, now));
        const ConnId incoming = accept();
        take(fsm.received(incoming, peer_open(10), now));
        const std::string type = std::holds_alternative<Open>(second) ? "1" : "2";
        EXPECT_EQ(take(fsm.received(incoming, second, now)),
                  "notify 2 5/1 of type " + type + ", close 2");
    }
}

TEST_F(FsmTest, lower_identifier_gives_its_own_connection_up)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    const ConnId incoming = accept();
    EXPECT_EQ(take(fsm.received(incoming, peer_open(30), now)),
              "notify 1 6/7, close 1, keepalive 2");
    EXPECT_EQ(take(fsm.received(incoming, KeepaliveSeen{}, now)), "up 2");
}

TEST_F(FsmTest, collision_with_a_connection_in_open_confirm_is_settled_the_same_way)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    take(fsm.received(1, peer_open(30), now));
    const ConnId incoming = accept();
    EXPECT_EQ(take(fsm.received(incoming, peer_open(30), now)),
              "notify 1 6/7, close 1, keepalive 2");
}

TEST_F(FsmTest, equal_identifiers_are_decided_by_the_as)
{
    SessionConfig ours = config().session;
    Open peer = peer_open(20);
    peer.as = Asn{64511};
    EXPECT_TRUE(our_connection_survives(ours, peer));
    peer.as = Asn{64513};
    EXPECT_FALSE(our_connection_survives(ours, peer));
}

TEST_F(FsmTest, open_of_the_peer_ends_a_dial_in_progress)
{
    take(fsm.start(now));
    const ConnId incoming = accept();
    EXPECT_EQ(take(fsm.received(incoming, peer_open(), now)), "close 1, keepalive 2");
    EXPECT_EQ(take(fsm.dialed(1, now)), "") << "it completed after it was given up";
}

TEST_F(FsmTest, loser_of_a_collision_is_no_reason_to_back_off)
{
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    const ConnId incoming = accept();
    EXPECT_EQ(take(fsm.received(1, Notify{ErrorCode::Cease, cease::kCollision, {}}, now)),
              "close 1");
    EXPECT_EQ(take(fsm.received(incoming, peer_open(30), now)), "keepalive 2");
}

TEST_F(FsmTest, second_incoming_connection_replaces_one_that_has_not_spoken_yet)
{
    fsm = Fsm(config(true));
    take(fsm.start(now));
    EXPECT_EQ(accept(), 1u);
    Actions actions;
    EXPECT_EQ(fsm.accept(now, actions), 2u);
    EXPECT_EQ(words(actions), "close 1, open 2");
    take(fsm.received(2, peer_open(), now));
    actions.clear();
    EXPECT_FALSE(fsm.accept(now, actions)) << "one in OpenConfirm is not given up";
}

// ---- Graceful restart, as helper (RFC 4724 4.2) ----

TEST_F(FsmTest, lost_connection_keeps_routes_only_if_graceful_restart_was_agreed)
{
    establish();
    EXPECT_EQ(take(fsm.lost(1, "connection reset", now)), "down keep");

    FsmConfig without = config();
    without.session.graceful_restart = false;
    fsm = Fsm(without);
    establish();
    EXPECT_EQ(take(fsm.lost(1, "connection reset", now)), "down");
}

TEST_F(FsmTest, established_session_survives_a_new_connection_until_its_open)
{
    establish();
    const ConnId late = accept();
    EXPECT_EQ(fsm.state(), State::Established);
    EXPECT_EQ(take(fsm.lost(late, "closed", now)), "") << "the peer gave its late dial up";
    EXPECT_EQ(fsm.state(), State::Established);

    const ConnId restarted = accept();
    EXPECT_EQ(take(fsm.received(restarted, peer_open(), now)), "close 1, down keep, keepalive 3");
    EXPECT_EQ(take(fsm.received(restarted, KeepaliveSeen{}, now)), "up 3");
}

TEST_F(FsmTest, replaced_session_keeps_the_routes_of_any_family)
{
    FsmConfig ipv6 = config();
    ipv6.session.families = {kIpv6Unicast};
    fsm = Fsm(ipv6);
    Open open = peer_open();
    open.capabilities.families = {kIpv6Unicast};
    open.capabilities.graceful_restart->entries = {{kIpv6Unicast, true}};
    take(fsm.start(now));
    take(fsm.dialed(1, now));
    take(fsm.received(1, open, now));
    ASSERT_EQ(take(fsm.received(1, KeepaliveSeen{}, now)), "up 1");
    const ConnId restarted = accept();
    EXPECT_EQ(take(fsm.received(restarted, open, now)), "close 1, down keep, keepalive 2");
}

TEST_F(FsmTest, established_session_without_graceful_restart_refuses_a_new_connection)
{
    FsmConfig without = config();
    without.session.graceful_restart = false;
    fsm = Fsm(without);
    establish();
    const ConnId second = accept();
    EXPECT_EQ(take(fsm.received(second, peer_open(), now)), "notify 2 6/7, close 2");
    EXPECT_EQ(fsm.state(), State::Established);
}

TEST_F(FsmTest, lost_session_is_dialed_again_soon)
{
    establish();
    take(fsm.lost(1, "reset", now));
    EXPECT_EQ(wait(1s), "dial 2");
}

TEST_F(FsmTest, open_carries_the_restart_state_of_the_moment)
{
    fsm.set_restart_state({true, true});
    take(fsm.start(now));
    const Actions actions = fsm.dialed(1, now);
    ASSERT_EQ(actions.size(), 1u);
    const auto& open = std::get<Open>(std::get<Send>(actions[0]).message);
    ASSERT_TRUE(open.capabilities.graceful_restart);
    EXPECT_TRUE(open.capabilities.graceful_restart->restarting);
    EXPECT_TRUE(open.capabilities.graceful_restart->forwarding_kept(kIpv4Unicast));
    EXPECT_EQ(open.capabilities.graceful_restart->restart_time, Seconds(120));
}

// ---- End ----

TEST_F(FsmTest, stop_notifies_and_abandon_leaves_without_a_word)
{
    establish();
    EXPECT_EQ(take(fsm.stop(shutdown_notice(cease::kAdminShutdown, ""))),
              "notify 1 6/2, close 1, down");
    EXPECT_EQ(fsm.state(), State::Idle);
    EXPECT_EQ(wait(10min), "");

    fsm = Fsm(config());
    establish();
    EXPECT_EQ(take(fsm.abandon()), "close 1, down");
}

TEST_F(FsmTest, events_of_a_connection_that_is_gone_do_nothing)
{
    establish();
    take(fsm.lost(1, "reset", now));
    EXPECT_THAT(fsm.received(1, KeepaliveSeen{}, now), IsEmpty());
    EXPECT_THAT(fsm.lost(1, "again", now), IsEmpty());
    EXPECT_EQ(fsm.last_down().text, "reset");
}

} // namespace
} // namespace margay::bgp
