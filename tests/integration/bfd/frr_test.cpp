// SPDX-License-Identifier: Apache-2.0
// The monitor against FRR's bfdd, which is the neighbour.

#include "lab.h"

#include "support/process.h"

#include <csignal>
#include <filesystem>

namespace margay::bfd::lab {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

// zebra, which tells bfdd of interfaces, and bfdd.
class Frr {
public:
    explicit Frr(const Netns& where) : where_(where), folder_(testing::make_temp_folder("frr"))
    {
        testing::write_file(folder_ + "/zebra.conf", "");
        testing::write_file(folder_ + "/bfdd.conf",
                            session("10.77.0.1", "10.77.0.2") + session("fd77::1", "fd77::2"));
        (void)testing::run({"chown", "-R", "frr:frr", folder_}); // it drops its rights
        zebra_ = run("zebra", "");
        EXPECT_TRUE(
            testing::eventually([&] { return std::filesystem::exists(folder_ + "/zserv"); }));
        start();
    }
    ~Frr()
    {
        bfdd_.reset();
        zebra_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    void start() { bfdd_ = run("bfdd", " --bfdctl " + folder_ + "/control"); }
    void kill()
    {
        bfdd_->signal(SIGKILL);
        bfdd_->wait();
    }
    void signal(int number) { bfdd_->signal(number); }
    std::string ask(const std::string& command)
    {
        return testing::run({"vtysh", "--vty_socket", folder_, "-d", "bfdd", "-c", command}).out;
    }
    void configure(const std::string& line) // of the session over IPv4
    {
        (void)testing::run({"vtysh", "--vty_socket", folder_, "-d", "bfdd", "-c", "configure", "-c",
                            "bfd", "-c", peer("10.77.0.1", "10.77.0.2"), "-c", line});
    }
    std::string output() const { return bfdd_->output(); }

private:
    static std::string peer(const std::string& address, const std::string& local)
    {
        return "peer " + address + " local-address " + local + " interface eth0";
    }
    static std::string session(const std::string& address, const std::string& local)
    {
        return "bfd\n " + peer(address, local) +
               "\n  receive-interval 100\n  transmit-interval 100\n  detect-multiplier 4\n"
               " exit\nexit\n";
    }
    std::unique_ptr<testing::Background> run(const std::string& program, const std::string& more)
    {
        return std::make_unique<testing::Background>(
            &where_, "exec /usr/lib/frr/" + program + " -i " + folder_ + "/" + program +
                         ".pid -z " + folder_ + "/zserv --vty_socket " + folder_ + " -P 0 -f " +
                         folder_ + "/" + program + ".conf" + more);
    }

    const Netns& where_;
    std::string folder_;
    std::unique_ptr<testing::Background> zebra_, bfdd_;
};

struct FrrTest : LabTest {
    std::unique_ptr<Frr> frr;
    std::unique_ptr<Watch> us;
    std::vector<SessionConfig> both{session_with("10.77.0.2", "10.77.0.1"),
                                    session_with("fd77::2", "fd77::1")};

    void SetUp() override
    {
        LabTest::SetUp();
        if (IsSkipped())
            return;
        frr = std::make_unique<Frr>(*neighbour);
        us = std::make_unique<Watch>(executor);
        us->monitor().set_sessions(both);
        ASSERT_TRUE(until([&] { return all_up(); })) << frr->output();
        ASSERT_TRUE(until([&] { return us->session("10.77.0.2").detection_time == 400ms; }));
    }
    void TearDown() override
    {
        us.reset();
        frr.reset();
        LabTest::TearDown();
    }
    bool all_up() const { return us->up("10.77.0.2") && us->up("fd77::2"); }
    bool frr_says(const std::string& text)
    {
        return frr->ask("show bfd peer 10.77.0.1 json").find(text) != std::string::npos ||
               frr->ask("show bfd peers json").find(text) != std::string::npos;
    }
};

TEST_F(FrrTest, comes_up_over_both_families_and_stays)
{
    EXPECT_TRUE(until([&] { return frr_says("\"status\":\"up\""); }));
    run_for(3s);
    EXPECT_EQ(us->said("10.77.0.2").find("Down"), std::string::npos);
    EXPECT_EQ(us->said("fd77::2").find("Down"), std::string::npos);
    EXPECT_THAT(frr->ask("show bfd peers json"), ::testing::Not(HasSubstr("\"down\"")));
    EXPECT_EQ(us->monitor().drops(), DropCounts{});
}

TEST_F(FrrTest, stopped_bfdd_is_lost_and_comes_back)
{
    frr->signal(SIGSTOP);
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2") && !us->up("fd77::2"); }));
    EXPECT_THAT(us->said("10.77.0.2"), EndsWith("Up, Down!"));
    frr->signal(SIGCONT);
    EXPECT_TRUE(until([&] { return all_up(); }));
}

TEST_F(FrrTest, killed_bfdd_is_lost_and_a_new_one_is_found)
{
    frr->kill();
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2") && !us->up("fd77::2"); }));
    EXPECT_EQ(us->session("fd77::2").failures, 1u);
    frr->start();
    EXPECT_TRUE(until([&] { return all_up(); }));
}

TEST_F(FrrTest, admin_down_is_understood_both_ways)
{
    frr->configure("shutdown");
    ASSERT_TRUE(until([&] { return !us->up("10.77.0.2"); }));
    EXPECT_THAT(us->said("10.77.0.2"), EndsWith("Up, Down"));
    EXPECT_EQ(us->session("10.77.0.2").why_down, "the peer has shut the session down");
    EXPECT_TRUE(us->up("fd77::2"));
    frr->configure("no shutdown");
    ASSERT_TRUE(until([&] { return all_up(); }));

    us->monitor().set_sessions({both[1]});
    EXPECT_TRUE(until([&] { return frr_says("\"remote-diagnostic\":\"administratively down\""); }))
        << frr->ask("show bfd peers json");
    us->monitor().set_sessions(both);
    EXPECT_TRUE(until([&] { return all_up(); }));
}

TEST_F(FrrTest, timers_that_either_side_changes_are_agreed_on_without_a_failure)
{
    frr->configure("receive-interval 350");
    EXPECT_TRUE(until([&] { return us->session("10.77.0.2").transmit_interval == 350ms; }));
    frr->configure("transmit-interval 500");
    EXPECT_TRUE(until([&] { return us->session("10.77.0.2").detection_time == 2s; }));
    both[0].parameters = Parameters{400ms, 600ms, 7};
    us->monitor().set_sessions(both);
    EXPECT_TRUE(until([&] {
        return us->session("10.77.0.2").transmit_interval == 400ms &&
               us->session("10.77.0.2").detection_time == 2400ms;
    }));
    EXPECT_TRUE(until([&] {
        return frr_says("\"remote-transmit-interval\":400") &&
               frr_says("\"remote-receive-interval\":600") &&
               frr_says("\"remote-detect-multiplier\":7");
    })) << frr->ask("show bfd peers json");
    EXPECT_EQ(us->said("10.77.0.2").find("Down"), std::string::npos);
    EXPECT_TRUE(all_up());
}

} // namespace
} // namespace margay::bfd::lab
