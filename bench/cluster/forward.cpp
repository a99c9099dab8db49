// SPDX-License-Identifier: Apache-2.0
// forward: what it costs to carry a packet from one pod to another, without sockets.
//
//   forward SEND_NETNS SEND_IFACE SOURCE SOURCE_MAC GATEWAY_MAC RECEIVE_NETNS RECEIVE_IFACE
//           DESTINATION FRAMES ROUNDS
//
// An XDP program sends the same UDP frame (98 bytes of Ethernet) out of the sender's interface,
// FRAMES times a round, through BPF_PROG_TEST_RUN with live frames. A tc program counts and drops
// them at the receiver's interface: tc, since packets that were redirected into the namespace do
// not pass native XDP there. Everything runs on the calling CPU when the caller is pinned to one.
// Prints one JSON object: ns a frame counted at the receiver, and the loss, for each round.

#include "margay/fd.h"
#include "margay/ip.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using margay::Fd;

constexpr int kTcxIngress = 46; // BPF_TCX_INGRESS, newer than the headers of Debian 12
constexpr std::size_t kFrameBytes = 98;

[[noreturn]] void die(const std::string& what)
{
    std::fprintf(stderr, "forward: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

void enter(const std::string& netns)
{
    const Fd fd(::open(("/run/netns/" + netns).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid() || ::setns(fd.get(), CLONE_NEWNET) != 0)
        die("network namespace " + netns);
}

unsigned interface(const char* name)
{
    const unsigned index = ::if_nametoindex(name);
    if (index == 0)
        die(std::string("interface ") + name);
    return index;
}

bpf_insn insn(std::uint8_t code, std::uint8_t dst, std::uint8_t src, std::int16_t off,
              std::int32_t imm)
{
    bpf_insn i{};
    i.code = code;
    i.dst_reg = dst & 0xf;
    i.src_reg = src & 0xf;
    i.off = off;
    i.imm = imm;
    return i;
}

Fd load(bpf_prog_type type, const char* name, const std::vector<bpf_insn>& program)
{
    Fd fd(::bpf_prog_load(type, name, "GPL", program.data(), program.size(), nullptr));
    if (!fd.valid())
        die(std::string("load ") + name);
    return fd;
}

// Pages of live frames are used again as the last hop left them, so the program writes the headers
// of every frame anew: r2 = data; r3 = data_end; if (r2 + n > r3) return XDP_DROP; stores; XDP_TX.
Fd load_sender(const std::array<std::uint8_t, kFrameBytes>& frame)
{
    constexpr std::int32_t kHeaderBytes = 44; // Ethernet, IPv4, UDP, rounded up to words
    std::vector<bpf_insn> program = {
        insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(xdp_md, data), 0),
        insn(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(xdp_md, data_end), 0),
        insn(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
        insn(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, kHeaderBytes),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_DROP),
        insn(BPF_JMP | BPF_JGT | BPF_X, 4, 3, kHeaderBytes / 4 + 1, 0),
    };
    for (std::int16_t at = 0; at < kHeaderBytes; at = static_cast<std::int16_t>(at + 4)) {
        std::int32_t word = 0;
        std::memcpy(&word, frame.data() + at, sizeof(word));
        program.push_back(insn(BPF_ST | BPF_MEM | BPF_W, 2, 0, at, word));
    }
    program.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_TX));
    program.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
    return load(BPF_PROG_TYPE_XDP, "forward_send", program);
}

// *(u64 *)(map value 0) += 1; return TC_ACT_SHOT
// Counts frames of our length; the kernel's own (ARP, IPv6) have others.
Fd load_counter(int map)
{
    return load(BPF_PROG_TYPE_SCHED_CLS, "forward_count",
                {insn(BPF_LDX | BPF_W | BPF_MEM, 3, 1, offsetof(__sk_buff, len), 0),
                 insn(BPF_JMP | BPF_JNE | BPF_K, 3, 0, 4, kFrameBytes),
                 insn(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_VALUE, 0, map),
                 insn(0, 0, 0, 0, 0), insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 1),
                 insn(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD),
                 insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 2),
                 insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)});
}

std::array<std::uint8_t, 6> mac(const char* text)
{
    std::array<unsigned, 6> byte{};
    if (std::sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
                    &byte[5]) != 6) {
        std::fprintf(stderr, "forward: '%s' is not a MAC address\n", text);
        std::exit(2);
    }
    std::array<std::uint8_t, 6> out{};
    for (std::size_t i = 0; i < 6; i++)
        out[i] = static_cast<std::uint8_t>(byte[i]);
    return out;
}

std::uint16_t ip_checksum(const iphdr& header)
{
    std::array<std::uint16_t, sizeof(header) / 2> words{};
    std::memcpy(words.data(), &header, sizeof(header));
    std::uint32_t sum = 0;
    for (const std::uint16_t word : words)
        sum += word;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

std::array<std::uint8_t, kFrameBytes> build_frame(char** argv)
{
    std::array<std::uint8_t, kFrameBytes> frame{};
    ethhdr eth{};
    std::memcpy(eth.h_source, mac(argv[4]).data(), 6);
    std::memcpy(eth.h_dest, mac(argv[5]).data(), 6);
    eth.h_proto = htons(ETH_P_IP);
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tot_len = htons(kFrameBytes - sizeof(eth));
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    ip.saddr = margay::Ipv4::parse(argv[3]).value_or(margay::Ipv4()).be();
    ip.daddr = margay::Ipv4::parse(argv[8]).value_or(margay::Ipv4()).be();
    ip.check = ip_checksum(ip);
    udphdr udp{};
    udp.source = htons(40000);
    udp.dest = htons(9);
    udp.len = htons(kFrameBytes - sizeof(eth) - sizeof(ip));
    std::memcpy(frame.data(), &eth, sizeof(eth));
    std::memcpy(frame.data() + sizeof(eth), &ip, sizeof(ip));
    std::memcpy(frame.data() + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
    return frame;
}

std::uint64_t read_count(int map)
{
    const std::uint32_t key = 0;
    std::uint64_t value = 0;
    if (::bpf_map_lookup_elem(map, &key, &value) != 0)
        die("read the counter");
    return value;
}

// The last frames are still in queues when the run returns.
std::uint64_t settled_count(int map)
{
    std::uint64_t before = read_count(map);
    for (;;) {
        ::usleep(20000);
        const std::uint64_t now = read_count(map);
        if (now == before)
            return now;
        before = now;
    }
}

void send(int program, unsigned ifindex, std::array<std::uint8_t, kFrameBytes>& frame,
          std::uint32_t frames)
{
    xdp_md context{};
    context.data_end = static_cast<std::uint32_t>(frame.size());
    context.ingress_ifindex = ifindex;
    bpf_test_run_opts opts{};
    opts.sz = sizeof(opts);
    opts.data_in = frame.data();
    opts.data_size_in = static_cast<std::uint32_t>(frame.size());
    opts.ctx_in = &context;
    opts.ctx_size_in = sizeof(context);
    opts.repeat = static_cast<int>(frames);
    opts.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    opts.batch_size = 64;
    if (::bpf_prog_test_run_opts(program, &opts) != 0)
        die("send live frames");
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 11) {
        std::fprintf(stderr, "usage: forward SEND_NETNS SEND_IFACE SOURCE SOURCE_MAC GATEWAY_MAC "
                             "RECEIVE_NETNS RECEIVE_IFACE DESTINATION FRAMES ROUNDS\n");
        return 2;
    }
    const auto frames = static_cast<std::uint32_t>(std::strtoul(argv[9], nullptr, 10));
    const int rounds = std::atoi(argv[10]);
    const Fd map(::bpf_map_create(BPF_MAP_TYPE_ARRAY, "forward_count", 4, 8, 1, nullptr));
    const Fd counter = load_counter(map.get());
    enter(argv[6]);
    const Fd link(::bpf_link_create(counter.get(), static_cast<int>(interface(argv[7])),
                                    static_cast<bpf_attach_type>(kTcxIngress), nullptr));
    if (!link.valid())
        die(std::string("attach to ") + argv[7]);
    enter(argv[1]);
    const unsigned out = interface(argv[2]);
    auto frame = build_frame(argv);
    const Fd sender = load_sender(frame);

    send(sender.get(), out, frame, frames / 10 + 1); // warm-up: flows, neighbours, caches
    (void)settled_count(map.get());
    std::printf("{\"frames\":%u,\"ns\":[", frames);
    for (int round = 0; round < rounds; round++) {
        const std::uint64_t before = read_count(map.get());
        const auto start = std::chrono::steady_clock::now();
        send(sender.get(), out, frame, frames);
        const auto spent = std::chrono::steady_clock::now() - start;
        const std::uint64_t counted = settled_count(map.get()) - before;
        const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count();
        if (counted != frames) {
            std::fprintf(stderr, "forward: %llu of %u frames arrived: no figure\n",
                         static_cast<unsigned long long>(counted), frames);
            return 1;
        }
        std::printf("%s%.1f", round > 0 ? "," : "",
                    static_cast<double>(ns) / static_cast<double>(frames));
    }
    std::printf("]}\n");
    return 0;
}
