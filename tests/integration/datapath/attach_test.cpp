// SPDX-License-Identifier: Apache-2.0
// Attacher on real devices: a veth pair in a namespace of its own, pins in a folder of its own.
#include "agent/datapath/attach.h"

#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <memory>

#include "agent/datapath/libbpf_text.h"
#include "agent/datapath/pins.h"
#include "agent/datapath/probe.h"
#include "counting_program.h"
#include "support/netns.h"

namespace margay::datapath {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// Sends frames into mga; they arrive at mgb's ingress.
void send_frames(int count)
{
    const Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(socket.valid());
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(if_nametoindex("mga"));
    std::array<unsigned char, 64> frame{};
    frame[12] = 0x88; // a local experimental ethertype: the stack ignores it
    frame[13] = 0xb5;
    for (int i = 0; i < count; i++)
        ASSERT_EQ(::sendto(socket.get(), frame.data(), frame.size(), 0,
                           reinterpret_cast<sockaddr*>(&to), sizeof(to)),
                  static_cast<ssize_t>(frame.size()));
}

struct AttachTest : ::testing::TestWithParam<bool> {
    margay::testing::Netns netns{"attach"};
    std::unique_ptr<margay::testing::NetnsScope> scope;
    PinFolder folder;
    std::string links = folder.path() + "/links";
    CountingProgram first;
    CountingProgram second;
    HookId ingress;
    HookId egress;

    bool tcx() const { return GetParam(); }
    AttachKind kind() const { return tcx() ? AttachKind::Tcx : AttachKind::Clsact; }

    void SetUp() override
    {
        capture_libbpf_text();
        if (tcx() && !have_tcx())
            GTEST_SKIP() << "this kernel has no TCX";
        scope = std::make_unique<margay::testing::NetnsScope>(netns);
        ASSERT_TRUE(make_folder(links));
        add_devices();
    }
    void TearDown() override { scope.reset(); }
    void add_devices()
    {
        netns.must("ip link add mga type veth peer name mgb && ip link set mga up && "
                   "ip link set mgb up");
        // Until the kernel has noticed the carrier, what is sent is dropped without a word.
        ASSERT_TRUE(margay::testing::eventually(
            [&] { return bool(netns.exec("ip link show mga | grep 'state UP'")); }));
        ingress = {if_nametoindex("mgb"), Hook::Ingress};
        egress = {if_nametoindex("mgb"), Hook::Egress};
    }
    void add_foreign_filter(bpf_tc_attach_point point) const
    {
        LIBBPF_OPTS(bpf_tc_hook, hook);
        hook.ifindex = static_cast<int>(ingress.ifindex);
        hook.attach_point = point;
        LIBBPF_OPTS(bpf_tc_opts, opts);
        opts.prog_fd = second.ref().fd;
        opts.priority = 50;
        opts.handle = 7;
        ASSERT_EQ(bpf_tc_attach(&hook, &opts), 0);
    }
    Attacher attacher() const { return Attacher(links, tcx()); }
    // Frames wait in a queue where the machine is busy.
    static bool sees(const CountingProgram& program, std::uint64_t frames)
    {
        return margay::testing::eventually([&] { return program.count() >= frames; });
    }
    static void ok(const Status& status) { ASSERT_TRUE(status) << status.error().what; }
};

TEST_P(AttachTest, attached_program_sees_the_packets_and_runs_on_without_the_agent)
{
    {
        Attacher attacher = this->attacher();
        ok(attacher.adopt());
        ok(attacher.attach(ingress, first.ref()));
        EXPECT_THAT(attacher.attachments(),
                    ElementsAre(Pair(ingress, Attachment{kind(), first.ref().id})));
    } // gone without a word, as after SIGKILL
    send_frames(10);
    EXPECT_TRUE(sees(first, 10));
}

TEST_P(AttachTest, adoption_finds_what_an_earlier_run_attached)
{
    {
        Attacher before = attacher();
        ok(before.adopt());
        ok(before.attach(ingress, first.ref()));
        ok(before.attach(egress, second.ref()));
    }
    Attacher after = attacher();
    ok(after.adopt());
    EXPECT_THAT(after.attachments(),
                ElementsAre(Pair(ingress, Attachment{kind(), first.ref().id}),
                            Pair(egress, Attachment{kind(), second.ref().id})));
}

TEST_P(AttachTest, pins_of_a_deleted_device_are_removed_and_its_successor_has_no_program)
{
    {
        Attacher before = attacher();
        ok(before.adopt());
        ok(before.attach(ingress, first.ref()));
    }
    netns.must("ip link del mga");
    add_devices();
    Attacher after = attacher();
    ok(after.adopt());
    EXPECT_THAT(after.attachments(), IsEmpty());
    EXPECT_THAT(*list_folder(links), IsEmpty());
    const auto before = first.count();
    send_frames(5);
    EXPECT_EQ(first.count(), before);
    ok(after.attach(ingress, second.ref()));
    send_frames(5);
    EXPECT_TRUE(sees(second, 5));
}

TEST_P(AttachTest, exchange_under_traffic_loses_no_packet_to_a_gap)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));

    constexpr std::uint64_t kRounds = 200;
    constexpr std::uint64_t kFrames = 20;
    const std::uint64_t before = first.count() + second.count();
    // The sender is another process, so that exchange and packets really overlap.
    const pid_t child = ::fork();
    if (child == 0) {
        for (std::uint64_t i = 0; i < kRounds; i++)
            send_frames(static_cast<int>(kFrames));
        _exit(0);
    }
    for (std::uint64_t i = 0; i < kRounds; i++)
        ok(attacher.attach(ingress, i % 2 == 0 ? second.ref() : first.ref()));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(margay::testing::eventually([&] {
        return first.count() + second.count() >= before + kRounds * kFrames;
    })) << "saw "
        << first.count() + second.count() - before << " of " << kRounds * kFrames;
}

TEST_P(AttachTest, equal_program_is_left_alone)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));
    const std::string before = netns.must("tc filter show dev mgb ingress") +
                               ::testing::PrintToString(*list_folder(links));
    ok(attacher.attach(ingress, first.ref()));
    EXPECT_EQ(before, netns.must("tc filter show dev mgb ingress") +
                          ::testing::PrintToString(*list_folder(links)));
}

TEST_P(AttachTest, what_somebody_else_detached_is_noticed_and_attached_again)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));
    ok(attacher.attach(egress, first.ref()));
    EXPECT_FALSE(attacher.drop_lost());
    if (tcx())
        netns.must("bpftool link detach pinned " + links + "/" + std::to_string(ingress.ifindex) +
                   "_ingress");
    else
        netns.must("tc qdisc del dev mgb clsact");
    EXPECT_TRUE(attacher.drop_lost());
    EXPECT_FALSE(attacher.attachments().contains(ingress));
    ok(attacher.attach(ingress, first.ref()));
    const auto before = first.count();
    send_frames(5);
    EXPECT_TRUE(sees(first, before + 5));
}

TEST_P(AttachTest, detached_hook_runs_nothing_and_leaves_neither_pin_nor_qdisc)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));
    ok(attacher.attach(egress, first.ref()));
    ok(attacher.detach_all());
    const auto before = first.count();
    send_frames(5);
    EXPECT_EQ(first.count(), before);
    EXPECT_THAT(*list_folder(links), IsEmpty());
    EXPECT_THAT(netns.must("tc qdisc show dev mgb"),
                ::testing::Not(::testing::HasSubstr("clsact")));
    ok(attacher.detach(ingress)); // twice is fine
}

TEST_P(AttachTest, foreign_filters_and_their_qdisc_stay)
{
    netns.must("tc qdisc add dev mgb clsact");
    add_foreign_filter(BPF_TC_INGRESS);
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));
    send_frames(5);
    EXPECT_TRUE(sees(first, 5));
    ok(attacher.detach_all());
    EXPECT_THAT(netns.must("tc filter show dev mgb ingress"), ::testing::HasSubstr("pref 50"));
}

TEST_P(AttachTest, filter_that_somebody_adds_to_our_qdisc_keeps_it)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ok(attacher.attach(ingress, first.ref()));
    (void)netns.exec("tc qdisc add dev mgb clsact"); // with TCX it is not there yet
    add_foreign_filter(BPF_TC_EGRESS);
    ok(attacher.detach_all());
    EXPECT_THAT(netns.must("tc filter show dev mgb egress"), ::testing::HasSubstr("pref 50"));
}

TEST_P(AttachTest, absent_device_is_not_found)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    const Status status = attacher.attach({99999, Hook::Ingress}, first.ref());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::NotFound);
}

TEST_P(AttachTest, other_kind_takes_over_and_leaves_one_program)
{
    {
        Attacher before(links, !tcx());
        ok(before.adopt());
        ok(before.attach(ingress, first.ref()));
    }
    Attacher after = attacher();
    ok(after.adopt());
    ok(after.attach(ingress, second.ref()));
    const auto old_count = first.count();
    send_frames(5);
    EXPECT_EQ(first.count(), old_count);
    EXPECT_TRUE(sees(second, 5));
    EXPECT_THAT(after.attachments(),
                ElementsAre(Pair(ingress, Attachment{kind(), second.ref().id})));
    ok(after.detach_all());
    EXPECT_THAT(*list_folder(links), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, AttachTest, ::testing::Values(true, false),
                         [](const auto& param) { return param.param ? "tcx" : "clsact"; });

struct XdpTest : AttachTest {
    CountingProgram xdp{BPF_PROG_TYPE_XDP};
    CountingProgram other{BPF_PROG_TYPE_XDP};
    HookId hook;
    void SetUp() override
    {
        AttachTest::SetUp();
        if (!IsSkipped())
            hook = {ingress.ifindex, Hook::Xdp};
    }
};

TEST_P(XdpTest, native_program_is_adopted_with_its_mode_and_exchanged)
{
    {
        Attacher before = attacher();
        ok(before.adopt());
        const auto runs = before.attach_xdp(hook.ifindex, XdpMode::Native, xdp.ref());
        ASSERT_TRUE(runs) << runs.error().what;
        EXPECT_TRUE(*runs);
    }
    Attacher after = attacher();
    ok(after.adopt());
    EXPECT_THAT(after.attachments(),
                ElementsAre(Pair(hook, Attachment{AttachKind::XdpNative, xdp.ref().id})));
    ASSERT_TRUE(after.attach_xdp(hook.ifindex, XdpMode::Native, other.ref()));
    send_frames(5);
    EXPECT_TRUE(sees(other, 5));
    ok(after.detach_all());
    EXPECT_THAT(*list_folder(links), IsEmpty());
}

TEST_P(XdpTest, mode_can_change_and_off_detaches)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    ASSERT_TRUE(attacher.attach_xdp(hook.ifindex, XdpMode::Native, xdp.ref()));
    ASSERT_TRUE(attacher.attach_xdp(hook.ifindex, XdpMode::Generic, xdp.ref()));
    EXPECT_THAT(attacher.attachments(),
                ElementsAre(Pair(hook, Attachment{AttachKind::XdpGeneric, xdp.ref().id})));
    const auto off = attacher.attach_xdp(hook.ifindex, XdpMode::Off, xdp.ref());
    ASSERT_TRUE(off);
    EXPECT_FALSE(*off);
    EXPECT_THAT(netns.must("ip link show dev mgb"), ::testing::Not(::testing::HasSubstr("xdp")));
}

TEST_P(XdpTest, auto_leaves_veth_to_the_tc_hook)
{
    Attacher attacher = this->attacher();
    ok(attacher.adopt());
    const auto runs = attacher.attach_xdp(hook.ifindex, XdpMode::Auto, xdp.ref());
    ASSERT_TRUE(runs);
    EXPECT_FALSE(*runs);
    EXPECT_THAT(attacher.attachments(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpTest, ::testing::Values(true));

} // namespace
} // namespace margay::datapath
