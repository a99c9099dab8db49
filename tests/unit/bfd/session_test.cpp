// SPDX-License-Identifier: Apache-2.0
#include "bfd/session.h"

#include <gmock/gmock.h>

#include <deque>
#include <tuple>

namespace margay::bfd {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

// "-> Init, send Init F": what the machine wants done, in words. "!" marks a failure.
std::string words(const Actions& actions)
{
    std::string text;
    const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
    for (const Action& action : actions) {
        if (const auto* send = std::get_if<Send>(&action))
            add(std::string("send ") + name_of(send->packet.state) +
                (send->packet.poll ? " P" : "") + (send->packet.final ? " F" : ""));
        else if (const auto* change = std::get_if<StateChanged>(&action))
            add(std::string("-> ") + name_of(change->to) + (change->failure ? "!" : ""));
        else
            add("finished");
    }
    return text;
}

struct SessionTest : ::testing::Test {
    Time now{std::chrono::hours(1)};
    Session session{Parameters{300ms, 200ms, 3}, 77, 1};
    Packet peer; // what it says, but for what a test changes
    Packet sent; // the last one of ours

    SessionTest()
    {
        peer.detect_mult = 4;
        peer.my_discriminator = 99;
        peer.desired_min_tx = 250ms;
        peer.required_min_rx = 350ms;
    }

    std::string take(const Actions& actions)
    {
        for (const Action& action : actions)
            if (const auto* send = std::get_if<Send>(&action))
                sent = send->packet;
        return words(actions);
    }
    std::string hear(Packet packet)
    {
        Actions actions;
        packet.your_discriminator = session.remote().discriminator == 0 ? 0 : 77;
        const auto reject = session.receive(packet, now, actions);
        return take(actions) + (reject ? std::string("dropped: ") + name_of(*reject) : "");
    }
    std::string hear(State state)
    {
        peer.state = state;
        return hear(peer);
    }
    std::string hear_final()
    {
        Packet packet = peer;
        packet.final = true;
        return hear(packet);
    }
    // With its answer to our Poll.
    void establish()
    {
        take(session.start(now));
        hear(State::Down);
        ASSERT_EQ(hear(State::Up), "-> Up, send Up P");
        ASSERT_EQ(hear_final(), "");
        ASSERT_EQ(hear(State::Up), "");
    }
    std::string wait(Duration time)
    {
        now += time;
        return take(session.tick(now));
    }
    // Jumps to deadline after deadline, up to `time` from now, and says what happens there.
    std::string run(Duration time)
    {
        const Time end = now + time;
        std::string text;
        while (session.deadline() && *session.deadline() <= end) {
            now = std::max(now, *session.deadline());
            const std::string here = take(session.tick(now));
            if (!here.empty())
                text += (text.empty() ? "" : ", ") + here;
        }
        now = end;
        return text;
    }
};

// ---- States (6.2, 6.8.6) ----

TEST_F(SessionTest, three_way_handshake_from_either_side)
{
    EXPECT_EQ(take(session.start(now)), "send Down");
    EXPECT_EQ(sent.my_discriminator, 77u);
    EXPECT_EQ(sent.your_discriminator, 0u);
    EXPECT_EQ(hear(State::Down), "-> Init, send Init");
    EXPECT_EQ(sent.your_discriminator, 99u);
    EXPECT_EQ(hear(State::Init), "-> Up, send Up P");

    session = Session(Parameters{}, 78, 1);
    take(session.start(now));
    EXPECT_EQ(hear(State::Init), "-> Up, send Up P");
    EXPECT_EQ(session.why_down(), "");
}

TEST(NextStateTest, every_pair_of_states_leads_where_the_rfc_says)
{
    constexpr State kOff = State::AdminDown, kDown = State::Down, kInit = State::Init,
                    kUp = State::Up;
    // Ours, then what a peer in AdminDown, Down, Init and Up makes of it.
    constexpr State kTable[4][4] = {
        {kOff, kOff, kOff, kOff},
        {kDown, kInit, kUp, kDown},
        {kDown, kInit, kUp, kUp},
        {kDown, kDown, kUp, kUp},
    };
    for (const State ours : {kOff, kDown, kInit, kUp})
        for (const State theirs : {kOff, kDown, kInit, kUp})
            EXPECT_EQ(next_state(ours, theirs),
                      kTable[static_cast<std::size_t>(ours)][static_cast<std::size_t>(theirs)])
                << name_of(ours) << ' ' << name_of(theirs);
}

TEST_F(SessionTest, peer_that_goes_down_takes_us_down_and_it_is_a_failure)
{
    establish();
    peer.diag = Diag::DetectionTimeExpired;
    EXPECT_EQ(hear(State::Down), "-> Down!, send Down P");
    EXPECT_EQ(session.diag(), Diag::NeighborSignaledDown);
    EXPECT_EQ(sent.diag, Diag::NeighborSignaledDown);
    EXPECT_EQ(session.why_down(),
              "the peer says that the session is down: control detection time expired");
    EXPECT_EQ(hear(State::Down), "-> Init, send Init P") << "and it comes back";
    EXPECT_EQ(hear(State::Init), "-> Up, send Up P");
    EXPECT_EQ(session.diag(), Diag::None);
}

TEST_F(SessionTest, peer_that_is_shut_down_takes_us_down_and_it_is_no_failure)
{
    establish();
    EXPECT_EQ(hear(State::AdminDown), "-> Down, send Down P");
    EXPECT_EQ(session.diag(), Diag::NeighborSignaledDown);
    EXPECT_EQ(session.why_down(), "the peer has shut the session down");
    EXPECT_EQ(hear(State::AdminDown), "") << "and as long as it says so we stay";
    EXPECT_EQ(session.state(), State::Down);
}

TEST_F(SessionTest, peer_that_is_shut_down_from_the_start_is_said_to_be_so)
{
    take(session.start(now));
    EXPECT_EQ(hear(State::AdminDown), "");
    EXPECT_EQ(session.why_down(), "the peer has shut the session down");
}

TEST_F(SessionTest, restarted_peer_is_noticed_at_its_first_packet)
{
    establish();
    peer.my_discriminator = 100;
    EXPECT_EQ(hear(State::Down), "-> Down!, send Down P");
    EXPECT_EQ(sent.your_discriminator, 100u);
}

TEST_F(SessionTest, authenticated_packet_changes_nothing)
{
    take(session.start(now));
    peer.authenticated = true;
    EXPECT_EQ(hear(State::Down), "dropped: authenticated, and nothing is agreed on");
    EXPECT_EQ(session.state(), State::Down);
    EXPECT_EQ(session.remote().discriminator, 0u);
    EXPECT_EQ(session.detection_time(), 0ms);
}

TEST_F(SessionTest, removal_says_admin_down_for_the_peers_detection_time)
{
    establish();
    EXPECT_EQ(take(session.shut_down(now)), "-> AdminDown, send AdminDown P");
    EXPECT_EQ(sent.diag, Diag::AdminDown);
    Packet poll = peer;
    poll.poll = true;
    EXPECT_EQ(hear(poll), "dropped: our session is administratively down");
    EXPECT_EQ(run(2900ms), "send AdminDown P, send AdminDown P, send AdminDown P");
    EXPECT_EQ(run(100ms), "finished");
}

TEST_F(SessionTest, peer_cannot_hold_a_removed_session_for_long)
{
    establish();
    peer.required_min_rx = kMaxInterval;
    hear(peer);
    take(session.shut_down(now));
    EXPECT_THAT(run(30s), ::testing::EndsWith("finished"));
}

// ---- Detection (6.8.4) ----

TEST_F(SessionTest, detection_time_is_the_peers_multiplier_times_the_slower_interval)
{
    struct Row {
        std::uint8_t mult;
        microseconds their_tx, our_rx;
        Duration time;
    };
    for (const Row& row :
         {Row{4, 250ms, 200ms, 1000ms}, Row{4, 100ms, 200ms, 800ms}, Row{1, 0ms, 200ms, 200ms},
          Row{255, kMaxInterval, 10ms, 255 * Duration(kMaxInterval)}}) {
        session = Session(Parameters{300ms, row.our_rx, 9}, 77, 1);
        take(session.start(now));
        peer.detect_mult = row.mult;
        peer.desired_min_tx = row.their_tx;
        hear(State::Down);
        EXPECT_EQ(session.detection_time(), row.time);
    }
}

TEST_F(SessionTest, silent_peer_is_lost_when_the_detection_time_is_over_and_not_before)
{
    establish();
    EXPECT_THAT(wait(999ms), ::testing::Not(HasSubstr("->")));
    EXPECT_EQ(wait(1ms), "-> Down!, send Down P");
    EXPECT_EQ(session.diag(), Diag::DetectionTimeExpired);
    EXPECT_EQ(sent.diag, Diag::DetectionTimeExpired);
    EXPECT_EQ(sent.your_discriminator, 0u) << "6.8.1: what it was is forgotten";
    EXPECT_EQ(session.why_down(), "nothing heard from the peer for 1000 ms (detection time)");
}

TEST_F(SessionTest, each_packet_starts_the_detection_time_anew)
{
    establish();
    for (int i = 0; i < 20; ++i) {
        EXPECT_THAT(run(900ms), ::testing::Not(HasSubstr("->")));
        hear(State::Up);
    }
    EXPECT_EQ(session.state(), State::Up);
}

TEST_F(SessionTest, deadline_is_never_later_than_the_detection_time)
{
    establish();
    peer.required_min_rx = 60s;
    hear(peer);
    ASSERT_TRUE(session.deadline());
    EXPECT_EQ(*session.deadline(), now + 1000ms);
}

TEST_F(SessionTest, peer_that_falls_silent_in_init_is_no_failure)
{
    take(session.start(now));
    hear(State::Down);
    EXPECT_THAT(run(1000ms), HasSubstr("-> Down"));
    EXPECT_EQ(session.diag(), Diag::DetectionTimeExpired);
    EXPECT_EQ(session.state(), State::Down);
}

TEST_F(SessionTest, peer_that_falls_silent_while_down_is_forgotten)
{
    take(session.start(now));
    peer.required_min_rx = 0ms;
    hear(State::AdminDown);
    EXPECT_EQ(session.remote().discriminator, 99u);
    EXPECT_EQ(run(999ms), "") << "it wants no packets";
    EXPECT_EQ(run(1ms), "send Down") << "what it wanted is forgotten";
    EXPECT_EQ(session.remote().discriminator, 0u);
}

// ---- Transmission (6.8.2, 6.8.3, 6.8.7) ----

TEST(JitterTest, is_within_75_and_100_percent_or_90_where_one_packet_decides)
{
    std::minstd_rand random(5);
    for (const auto& [mult, most] :
         {std::pair{std::uint8_t{3}, 1000ms}, {std::uint8_t{1}, 900ms}}) {
        Duration least = 1h, longest = 0s;
        for (int i = 0; i < 5000; ++i) {
            const Duration drawn = jittered(1000ms, mult, random);
            least = std::min(least, drawn);
            longest = std::max(longest, drawn);
        }
        EXPECT_GE(least, 750ms);
        EXPECT_LT(least, 755ms);
        EXPECT_LE(longest, most);
        EXPECT_GT(longest, most - 5ms);
    }
}

TEST_F(SessionTest, sends_once_a_second_while_not_up_however_fast_it_may)
{
    session = Session(Parameters{10ms, 10ms, 3}, 77, 1);
    take(session.start(now));
    EXPECT_EQ(sent.desired_min_tx, 1s);
    EXPECT_EQ(sent.required_min_rx, 10ms);
    int count = 0;
    for (const Time end = now + 60s; *session.deadline() < end; ++count) {
        now = *session.deadline();
        EXPECT_EQ(take(session.tick(now)), "send Down");
    }
    EXPECT_GE(count, 59);
    EXPECT_LE(count, 80);
}

TEST_F(SessionTest, up_session_sends_at_the_slower_of_what_we_want_and_the_peer_takes)
{
    establish();
    EXPECT_EQ(sent.desired_min_tx, 300ms);
    EXPECT_EQ(session.transmit_interval(), 350ms);
    const Time last = now;
    hear(State::Up);
    EXPECT_GE(*session.deadline() - last, 262ms);
    EXPECT_LE(*session.deadline() - last, 350ms);
    peer.required_min_rx = 100ms;
    hear(State::Up);
    EXPECT_EQ(session.transmit_interval(), 300ms);
}

TEST_F(SessionTest, longer_own_interval_stays_slow_when_up)
{
    session = Session(Parameters{2s, 200ms, 3}, 77, 1);
    take(session.start(now));
    EXPECT_EQ(sent.desired_min_tx, 2s);
    hear(State::Down);
    EXPECT_EQ(hear(State::Init), "-> Up, send Up") << "nothing was changed: no Poll";
}

TEST_F(SessionTest, peer_that_takes_more_is_sent_more_at_once)
{
    establish();
    peer.required_min_rx = 60s;
    hear(State::Up);
    now += 900ms;
    peer.required_min_rx = 100ms;
    hear(State::Up);
    EXPECT_EQ(wait(0ms), "send Up") << "300 ms after the last packet are over";
}

TEST_F(SessionTest, packets_of_the_peer_do_not_move_ours)
{
    establish();
    wait(350ms);
    const Time next = *session.deadline();
    for (int i = 0; i < 10; ++i)
        hear(State::Up);
    EXPECT_EQ(*session.deadline(), next);
}

TEST_F(SessionTest, peer_that_takes_none_is_sent_none_but_answers)
{
    establish();
    peer.required_min_rx = 0ms;
    hear(State::Up);
    EXPECT_EQ(run(999ms), "");
    Packet poll = peer;
    poll.poll = true;
    EXPECT_EQ(hear(poll), "send Up F");
    EXPECT_EQ(run(999ms), "");
    EXPECT_EQ(hear(State::Down), "-> Down!, send Down P") << "nor is a change kept from it";
}

TEST_F(SessionTest, peer_in_demand_mode_is_sent_nothing_while_both_are_up)
{
    establish();
    peer.demand = true;
    hear(State::Up);
    EXPECT_EQ(run(999ms), "");
    take(session.change(Parameters{400ms, 200ms, 3}, now));
    EXPECT_EQ(wait(0ms), "send Up P") << "but a Poll Sequence is";
    EXPECT_EQ(hear_final(), "");
    EXPECT_EQ(run(999ms), "");
    EXPECT_EQ(hear(State::Down), "-> Down!, send Down P");
    EXPECT_THAT(run(1s), HasSubstr("send Down")) << "nobody is in demand mode who is not Up";
    EXPECT_FALSE(sent.demand);
}

TEST_F(SessionTest, demand_bit_of_a_peer_that_is_not_up_means_nothing)
{
    take(session.start(now));
    peer.demand = true;
    hear(State::Down);
    EXPECT_THAT(run(999ms), HasSubstr("send Init"));
}

// ---- Poll Sequences (6.5, 6.8.3) ----

TEST_F(SessionTest, poll_is_answered_with_a_final_at_once_in_every_state)
{
    take(session.start(now));
    peer.poll = true;
    EXPECT_EQ(hear(State::AdminDown), "send Down F");
    EXPECT_EQ(hear(State::Down), "-> Init, send Init F");
    EXPECT_EQ(hear(State::Up), "-> Up, send Up F");
    EXPECT_EQ(sent.desired_min_tx, 300ms) << "with the new parameters";
    peer.poll = false;
    EXPECT_EQ(run(350ms), "send Up P") << "a packet has one of both bits";
}

TEST_F(SessionTest, poll_goes_on_until_its_final)
{
    establish();
    take(session.change(Parameters{500ms, 200ms, 3}, now));
    EXPECT_EQ(run(350ms), "send Up P");
    hear(State::Up);
    EXPECT_EQ(run(350ms), "send Up P");
    hear_final();
    EXPECT_EQ(run(500ms), "send Up");
}

TEST_F(SessionTest, slower_transmission_waits_for_the_final)
{
    establish();
    take(session.change(Parameters{5s, 200ms, 3}, now));
    EXPECT_EQ(session.transmit_interval(), 350ms);
    run(350ms);
    EXPECT_EQ(sent.desired_min_tx, 5s);
    EXPECT_EQ(session.transmit_interval(), 350ms);
    hear_final();
    EXPECT_EQ(session.transmit_interval(), 5s);
}

TEST_F(SessionTest, faster_transmission_does_not_wait)
{
    establish();
    peer.required_min_rx = 1ms;
    hear(State::Up);
    take(session.change(Parameters{50ms, 200ms, 3}, now));
    EXPECT_EQ(session.transmit_interval(), 50ms);
}

TEST_F(SessionTest, shorter_detection_time_waits_for_the_final)
{
    peer.desired_min_tx = 10ms;
    establish();
    EXPECT_EQ(session.detection_time(), 800ms);
    take(session.change(Parameters{300ms, 20ms, 3}, now));
    run(350ms);
    EXPECT_EQ(sent.required_min_rx, 20ms);
    EXPECT_EQ(session.detection_time(), 800ms);
    hear_final();
    EXPECT_EQ(session.detection_time(), 80ms);
}

TEST_F(SessionTest, longer_detection_time_does_not_wait)
{
    establish();
    take(session.change(Parameters{300ms, 2s, 3}, now));
    EXPECT_EQ(session.detection_time(), 8s);
}

TEST_F(SessionTest, final_that_answers_nothing_changes_nothing)
{
    establish();
    take(session.change(Parameters{5s, 200ms, 3}, now));
    hear_final(); // before our Poll is out
    EXPECT_EQ(session.transmit_interval(), 350ms);
    EXPECT_EQ(run(350ms), "send Up P");
}

TEST_F(SessionTest, second_change_waits_until_the_first_is_agreed_on)
{
    establish();
    take(session.change(Parameters{400ms, 200ms, 3}, now));
    run(350ms);
    take(session.change(Parameters{600ms, 200ms, 3}, now));
    run(350ms);
    EXPECT_EQ(sent.desired_min_tx, 400ms);
    hear_final();
    EXPECT_EQ(session.transmit_interval(), 400ms);
    EXPECT_FALSE(sent.desired_min_tx == 600ms) << "a late Final would be taken for its answer";
    hear(State::Up);
    EXPECT_EQ(run(400ms), "send Up P");
    EXPECT_EQ(sent.desired_min_tx, 600ms);
    EXPECT_EQ(session.transmit_interval(), 400ms);
    hear_final();
    EXPECT_EQ(session.transmit_interval(), 600ms);
}

TEST_F(SessionTest, second_change_does_not_wait_for_ever)
{
    peer.detect_mult = 255;
    establish();
    take(session.change(Parameters{400ms, 200ms, 3}, now));
    run(350ms);
    hear_final();
    take(session.change(Parameters{600ms, 200ms, 3}, now));
    run(1100ms);
    EXPECT_EQ(sent.desired_min_tx, 400ms);
    run(500ms);
    EXPECT_EQ(sent.desired_min_tx, 600ms);
}

TEST_F(SessionTest, session_that_goes_down_while_it_polls_is_slow_at_once)
{
    establish();
    take(session.change(Parameters{5s, 20ms, 3}, now));
    run(350ms);
    EXPECT_EQ(hear(State::Down), "-> Down!, send Down P");
    EXPECT_EQ(session.transmit_interval(), 5s);
    EXPECT_EQ(session.detection_time(), 1000ms);
}

TEST_F(SessionTest, new_multiplier_is_told_and_shuts_out_no_packet)
{
    establish();
    take(session.change(Parameters{300ms, 200ms, 1}, now));
    EXPECT_EQ(run(350ms), "send Up P");
    EXPECT_EQ(sent.detect_mult, 1);
    EXPECT_EQ(session.detection_time(), 1000ms);
}

TEST_F(SessionTest, same_parameters_are_no_change)
{
    establish();
    take(session.change(Parameters{300ms, 200ms, 3}, now));
    EXPECT_EQ(run(350ms), "send Up");
}

// ---- Two of ours, and a hostile one ----

// Two sessions with a way between them that takes 5 ms and may lose packets.
struct Pair {
    Time now{std::chrono::hours(1)};
    Session a, b;
    std::deque<std::tuple<Time, bool, Packet>> way; // when it arrives, whether at b, what
    bool broken = false;
    int failures = 0;

    Pair(const Parameters& p, const Parameters& q) : a(p, 1, 11), b(q, 2, 12)
    {
        take(true, a.start(now));
        take(false, b.start(now));
    }
    void take(bool from_a, const Actions& actions)
    {
        for (const Action& action : actions) {
            if (const auto* send = std::get_if<Send>(&action); send && !broken)
                way.emplace_back(now + 5ms, from_a, send->packet);
            if (const auto* change = std::get_if<StateChanged>(&action))
                failures += change->failure;
        }
    }
    void run(Duration time)
    {
        for (const Time end = now + time; now < end; now += 1ms) {
            while (!way.empty() && std::get<0>(way.front()) <= now) {
                const auto [at, to_b, packet] = way.front();
                way.pop_front();
                Actions actions;
                EXPECT_FALSE((to_b ? b : a).receive(packet, now, actions));
                take(!to_b, actions);
            }
            take(true, a.tick(now));
            take(false, b.tick(now));
        }
    }
    bool up() const { return a.state() == State::Up && b.state() == State::Up; }
};

TEST(SessionPairTest, two_come_up_agree_fail_and_come_back)
{
    Pair pair(Parameters{50ms, 60ms, 3}, Parameters{40ms, 100ms, 5});
    pair.run(3s);
    ASSERT_TRUE(pair.up());
    EXPECT_EQ(pair.a.transmit_interval(), 100ms);
    EXPECT_EQ(pair.b.transmit_interval(), 60ms);
    EXPECT_EQ(pair.a.detection_time(), 5 * 60ms);
    EXPECT_EQ(pair.b.detection_time(), 3 * 100ms);
    pair.broken = true;
    pair.run(400ms);
    EXPECT_EQ(pair.a.state(), State::Down);
    EXPECT_EQ(pair.b.state(), State::Down);
    EXPECT_EQ(pair.failures, 2);
    pair.broken = false;
    pair.run(3s);
    EXPECT_TRUE(pair.up());
}

TEST(SessionPairTest, timers_change_in_both_directions_without_a_failure)
{
    Pair pair(Parameters{100ms, 100ms, 2}, Parameters{100ms, 100ms, 2});
    pair.run(3s);
    std::mt19937 random(3);
    for (int i = 0; i < 200; ++i) {
        const auto any = [&] { return std::chrono::milliseconds(20 + random() % 500); };
        Session& one = random() % 2 ? pair.a : pair.b;
        pair.take(&one == &pair.a,
                  one.change(Parameters{any(), any(), static_cast<std::uint8_t>(1 + random() % 4)},
                             pair.now));
        pair.run(std::chrono::milliseconds(random() % 800));
        ASSERT_TRUE(pair.up()) << i;
    }
    EXPECT_EQ(pair.failures, 0);
}

TEST_F(SessionTest, hostile_packets_are_answered_with_one_each_at_most_and_nothing_is_late)
{
    take(session.start(now));
    std::mt19937 random(7);
    const auto interval = [&] {
        constexpr std::uint32_t kEdges[] = {0, 1, 1000, 1000000, 0xffffffff};
        return microseconds(kEdges[random() % 5]);
    };
    for (int i = 0; i < 100'000; ++i) {
        Packet packet;
        packet.state = static_cast<State>(random() % 4);
        packet.diag = static_cast<Diag>(random() % 32);
        packet.poll = random() % 2;
        packet.final = random() % 2;
        packet.demand = random() % 2;
        packet.authenticated = random() % 8 == 0;
        packet.detect_mult = static_cast<std::uint8_t>(1 + random() % 255);
        packet.my_discriminator = static_cast<std::uint32_t>(1 + random() % 3);
        packet.desired_min_tx = interval();
        packet.required_min_rx = interval();
        Actions actions;
        (void)session.receive(packet, now, actions);
        ASSERT_LE(actions.size(), 2u);
        now += std::chrono::microseconds(random() % 2000);
        if (session.deadline() && *session.deadline() <= now) {
            ASSERT_LE(session.tick(now).size(), 3u);
            ASSERT_TRUE(!session.deadline() || *session.deadline() > now) << "no busy loop";
        }
        ASSERT_GE(session.transmit_interval(), session.state() == State::Up ? 300ms : 1000ms);
    }
}

} // namespace
} // namespace margay::bfd
