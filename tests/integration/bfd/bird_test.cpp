// SPDX-License-Identifier: Apache-2.0
// The monitor against BIRD 2: as the neighbour, over both families, and behind a router.

#include "lab.h"

#include "support/process.h"

#include <csignal>
#include <filesystem>
#include <thread>

namespace margay::bfd::lab {
namespace {

using ::testing::EndsWith;
using namespace std::chrono_literals;

const std::string kNeighbourConfig = "router id 10.77.0.2;\n"
                                     "protocol device {}\n"
                                     "protocol bfd watch {\n"
                                     "  interface \"eth0\" { interval 100 ms; multiplier 3; };\n"
                                     "  neighbor 10.77.0.1 dev \"eth0\" local 10.77.0.2;\n"
                                     "  neighbor fd77::1 dev \"eth0\" local fd77::2;\n"
                                     "}\n";
const std::string kFarConfig = "router id 10.78.0.2;\n"
                               "protocol device {}\n"
                               "protocol bfd watch {\n"
                               "  multihop { interval 100 ms; multiplier 4; };\n"
                               "  neighbor 10.77.0.1 local 10.78.0.2 multihop on;\n"
                               "  neighbor fd77::1 local fd78::2 multihop on;\n"
                               "}\n";

class Bird {
public:
    Bird(const Netns& where, const std::string& config)
        : where_(where), folder_(testing::make_temp_folder("bird"))
    {
        testing::write_file(folder_ + "/bird.conf", config);
        start();
    }
    ~Bird()
    {
        process_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    void start()
    {
        process_ = std::make_unique<testing::Background>(
            &where_, "exec bird -f -c " + folder_ + "/bird.conf -s " + folder_ + "/sock -P " +
                         folder_ + "/pid");
    }
    void signal(int number) { process_->signal(number); }
    void kill()
    {
        process_->signal(SIGKILL);
        process_->wait();
    }
    std::string ask(const std::string& command)
    {
        return testing::run({"birdc", "-s", folder_ + "/sock", command}).out;
    }
    // "Up", "Down", ...: what it says of its session with `peer`.
    std::string state(const std::string& peer)
    {
        std::istringstream lines(ask("show bfd sessions"));
        for (std::string line; std::getline(lines, line);) {
            std::istringstream fields(line);
            std::string address, interface, state;
            if (fields >> address >> interface >> state && address == peer)
                return state;
        }
        return "";
    }

private:
    const Netns& where_;
    std::string folder_;
    std::unique_ptr<testing::Background> process_;
};

struct BirdTest : LabTest {
    std::unique_ptr<Bird> bird;
    std::unique_ptr<Watch> us;
    std::vector<SessionConfig> both{session_with("10.77.0.2", "10.77.0.1"),
                                    session_with("fd77::2", "fd77::1")};

    void TearDown() override
    {
        us.reset();
        bird.reset();
        LabTest::TearDown();
    }
    void meet()
    {
        bird = std::make_unique<Bird>(*neighbour, kNeighbourConfig);
        us = std::make_unique<Watch>(executor);
        us->monitor().set_sessions(both);
        ASSERT_TRUE(until([&] { return all_up(); }));
        ASSERT_TRUE(until([&] { return agreed(); }));
    }
    bool all_up() const { return us->up("10.77.0.2") && us->up("fd77::2"); }
    bool agreed() const
    {
        return us->session("10.77.0.2").detection_time == 300ms &&
               us->session("fd77::2").detection_time == 300ms;
    }
    bool bird_says(const std::string& state)
    {
        return bird->state("10.77.0.1") == state && bird->state("fd77::1") == state;
    }
};

TEST_F(BirdTest, comes_up_over_both_families_with_the_agreed_timers_and_stays)
{
    meet();
    EXPECT_TRUE(until([&] { return bird_says("Up"); })) << bird->ask("show bfd sessions");
    for (const char* peer : {"10.77.0.2", "fd77::2"}) {
        EXPECT_EQ(us->session(peer).transmit_interval, 100ms);
        EXPECT_EQ(us->session(peer).remote.detect_mult, 3);
    }
    run_for(3s);
    EXPECT_EQ(us->said("10.77.0.2").find("Down"), std::string::npos);
    EXPECT_EQ(us->said("fd77::2").find("Down"), std::string::npos);
    EXPECT_TRUE(bird_says("Up"));
    EXPECT_GT(us->session("10.77.0.2").received, 25u);
}

TEST_F(BirdTest, stopped_bird_is_lost_and_comes_back)
{
    meet();
    bird->signal(SIGSTOP);
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2") && !us->up("fd77::2"); }));
    EXPECT_THAT(us->said("10.77.0.2"), EndsWith("Up, Down!"));
    EXPECT_THAT(us->said("fd77::2"), EndsWith("Up, Down!"));
    EXPECT_EQ(us->session("10.77.0.2").diag, Diag::DetectionTimeExpired);
    bird->signal(SIGCONT);
    EXPECT_TRUE(until([&] { return all_up(); }));
    EXPECT_EQ(us->session("10.77.0.2").up_count, 2u);
}

TEST_F(BirdTest, killed_bird_is_lost_and_a_new_one_is_found)
{
    meet();
    bird->kill();
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2") && !us->up("fd77::2"); }));
    EXPECT_EQ(us->session("10.77.0.2").failures, 1u);
    bird->start();
    EXPECT_TRUE(until([&] { return all_up(); }));
}

TEST_F(BirdTest, bird_sees_that_we_are_gone)
{
    meet();
    ASSERT_TRUE(until([&] { return bird_says("Up"); }));
    we->must("ip link set eth0 down");
    EXPECT_TRUE(until([&] { return bird_says("Down"); }));
}

// By itself it would need 25 s to find out.
TEST_F(BirdTest, bird_is_told_when_a_session_is_removed_and_takes_it_up_again)
{
    both[0].parameters.detect_mult = 255;
    meet();
    ASSERT_TRUE(until([&] { return bird_says("Up"); }));
    us->monitor().set_sessions({both[1]});
    EXPECT_TRUE(
        testing::run_until(executor, [&] { return bird->state("10.77.0.1") == "Down"; }, 20s));
    EXPECT_EQ(bird->state("fd77::1"), "Up");
    us->monitor().set_sessions(both);
    EXPECT_TRUE(until([&] { return all_up() && bird_says("Up"); }));
}

// Version 2.0.12 sends no AdminDown. Others do: frr_test.cpp.
TEST_F(BirdTest, bird_that_is_disabled_falls_silent_and_comes_back)
{
    meet();
    bird->ask("disable watch");
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2") && !us->up("fd77::2"); }));
    EXPECT_EQ(us->session("10.77.0.2").diag, Diag::DetectionTimeExpired);
    bird->ask("enable watch");
    EXPECT_TRUE(until([&] { return all_up() && bird_says("Up"); }));
}

TEST_F(BirdTest, timers_change_under_a_session_that_stays_up)
{
    meet();
    both[0].parameters = Parameters{250ms, 150ms, 5};
    us->monitor().set_sessions(both);
    EXPECT_TRUE(until([&] {
        return us->session("10.77.0.2").transmit_interval == 250ms &&
               us->session("10.77.0.2").detection_time == 450ms;
    }));
    // Interval and timeout, in seconds.
    EXPECT_TRUE(until([&] {
        return bird->ask("show bfd sessions").find("0.150    1.250") != std::string::npos;
    })) << bird->ask("show bfd sessions");
    run_for(1s);
    EXPECT_EQ(us->said("10.77.0.2").find("Down"), std::string::npos);
    EXPECT_TRUE(bird_says("Up"));
}

TEST_F(BirdTest, stall_of_our_own_is_not_taken_for_silence_of_the_peer)
{
    both[0].parameters.detect_mult = both[1].parameters.detect_mult = 50;
    meet();
    Raw junk = inside(*neighbour, [] { return Raw(ip("10.77.0.2"), 50000); });
    Raw junk6 = inside(*neighbour, [] { return Raw(ip("fd77::2"), 50000); });
    const std::uint8_t octet = 0;
    for (int i = 0; i < 5; ++i) {
        for (int n = 0; n < 150; ++n) { // before BIRD's packets, and more than a turn reads
            junk.say(ip("10.77.0.1"), std::span(&octet, 1));
            junk6.say(ip("fd77::1"), std::span(&octet, 1));
        }
        std::this_thread::sleep_for(500ms); // longer than the detection time of 300 ms
        run_for(100ms);
    }
    EXPECT_EQ(us->session("10.77.0.2").failures, 0u);
    EXPECT_EQ(us->session("fd77::2").failures, 0u);
}

TEST_F(BirdTest, multihop_session_comes_up_behind_a_router_and_is_lost_with_it)
{
    bird = std::make_unique<Bird>(*far, kFarConfig);
    us = std::make_unique<Watch>(executor);
    std::vector<SessionConfig> sessions{session_with("10.78.0.2", "10.77.0.1"),
                                        session_with("fd78::2", "fd77::1")};
    for (SessionConfig& session : sessions) {
        session.multihop = true;
        session.min_ttl = 63; // BIRD sends with the system's TTL of 64
    }
    us->monitor().set_sessions(sessions);
    ASSERT_TRUE(until([&] { return us->up("10.78.0.2") && us->up("fd78::2"); }));
    ASSERT_TRUE(until([&] { return us->session("fd78::2").detection_time == 400ms; }));
    neighbour->must("ip link set eth1 down");
    EXPECT_TRUE(until([&] { return !us->up("10.78.0.2") && !us->up("fd78::2"); }));
    EXPECT_THAT(us->said("fd78::2"), EndsWith("Up, Down!"));
}

} // namespace
} // namespace margay::bfd::lab
