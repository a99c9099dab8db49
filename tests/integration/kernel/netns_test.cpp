// SPDX-License-Identifier: Apache-2.0
#include "support/netns.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace margay::testing {
namespace {

struct NetnsTest : ::testing::Test {
    void SetUp() override
    {
        if (!is_root())
            GTEST_SKIP() << "needs root";
    }
};

TEST_F(NetnsTest, two_namespaces_joined_by_a_veth_pair_reach_each_other)
{
    const Netns a("a");
    const Netns b("b");
    add_veth(a, "eth0", b, "eth1");
    a.must("ip addr add 10.9.0.1/24 dev eth0");
    b.must("ip addr add 10.9.0.2/24 dev eth1");

    EXPECT_TRUE(a.exec("ping -c 1 -W 5 10.9.0.2"));
    EXPECT_FALSE(a.exec("ping -c 1 -W 1 10.9.0.3"));
}

TEST_F(NetnsTest, scope_enters_and_leaves)
{
    const Netns a("a");
    a.must("ip link add mgbr0 type bridge");

    EXPECT_FALSE(run_command("ip link show mgbr0"));
    inside(a, [] { EXPECT_TRUE(run_command("ip link show mgbr0")); });
    EXPECT_FALSE(run_command("ip link show mgbr0"));
}

TEST_F(NetnsTest, namespace_is_gone_with_its_object)
{
    std::string path;
    {
        const Netns a("a");
        path = a.path();
        EXPECT_EQ(::access(path.c_str(), F_OK), 0);
    }
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(NetnsTest, background_process_ends_with_its_object_and_keeps_its_output)
{
    const Netns a("a");
    pid_t pid = -1;
    {
        const Background job(&a, "echo hello; sleep 1000");
        pid = job.pid();
        EXPECT_TRUE(eventually([&] { return job.output() == "hello\n"; }));
        EXPECT_EQ(::kill(pid, 0), 0);
    }
    EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(NetnsTest, command_status_tells_exit_from_signal)
{
    EXPECT_EQ(run_command("exit 3").status, 3);
    EXPECT_EQ(run_command("kill -9 $$").status, 128 + SIGKILL);
}

} // namespace
} // namespace margay::testing
