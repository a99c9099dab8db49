// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Floors: a program that does nothing, and two that make of a packet the same octets as ours do, with
// every address a constant. No lookups, no policy, no state: what ours cost above these is what
// ours add.

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/net.h"

/* As in tests/bpf/datapath: this node, node 2 and its MACs, pod a's MACs. */
#define NODE bpf_htonl(0x0a000001)
#define NODE2 bpf_htonl(0x0a000002)
static const __u8 uplink_macs[12] = {0x0c, 0, 0, 0, 0, 2, 0x0c, 0, 0, 0, 0, 1};
static const __u8 pod_macs[12] = {0x0a, 0, 0, 0, 0, 1, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee};

/* Interfaces, filled in before loading. */
const volatile struct {
    __u32 uplink, pod;
} out SEC(".rodata.out") = {};

static __always_inline void count_hop(struct iphdr* ip)
{
    __u32 sum = ip->check + bpf_htons(0x0100);

    ip->check = (__u16)(sum + (sum >= 0xffff));
    ip->ttl--;
}

static __always_inline __u16 checksum(const struct iphdr* ip)
{
    const __u32* words = (const void*)ip;
    __u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)~sum;
}

SEC("tc")
int noop(struct __sk_buff* skb __attribute__((unused)))
{
    return TC_ACT_OK;
}

SEC("tc")
int bare_encap(struct __sk_buff* skb)
{
    struct iphdr *outer, *inner;
    struct ethhdr* eth;

    if (skb->protocol != bpf_htons(ETH_P_IP) ||
        bpf_skb_adjust_room(skb, sizeof(*outer), BPF_ADJ_ROOM_MAC,
                            BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4))
        return TC_ACT_SHOT;
    eth = (void*)(long)skb->data;
    outer = (void*)(eth + 1);
    inner = outer + 1;
    if ((void*)(inner + 1) > (void*)(long)skb->data_end)
        return TC_ACT_SHOT;
    count_hop(inner);
    __builtin_memcpy(eth, uplink_macs, sizeof(uplink_macs));
    *(__u8*)outer = 0x45;
    outer->tos = inner->tos;
    outer->tot_len = bpf_htons((__u16)(bpf_ntohs(inner->tot_len) + sizeof(*outer)));
    outer->id = inner->id;
    outer->frag_off = inner->frag_off & bpf_htons(IP_FLAG_DF);
    outer->ttl = 64;
    outer->protocol = IPPROTO_IPIP;
    outer->check = 0;
    outer->saddr = NODE;
    outer->daddr = NODE2;
    outer->check = checksum(outer);
    return bpf_redirect(out.uplink, 0);
}

SEC("tc")
int bare_decap(struct __sk_buff* skb)
{
    struct ethhdr* eth = (void*)(long)skb->data;
    struct iphdr* ip = (void*)(eth + 1);

    if (skb->protocol != bpf_htons(ETH_P_IP) || (void*)(ip + 1) > (void*)(long)skb->data_end ||
        ip->protocol != IPPROTO_IPIP ||
        bpf_skb_adjust_room(skb, -(int)sizeof(*ip), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
        return TC_ACT_SHOT;
    eth = (void*)(long)skb->data;
    ip = (void*)(eth + 1);
    if ((void*)(ip + 1) > (void*)(long)skb->data_end)
        return TC_ACT_SHOT;
    count_hop(ip);
    __builtin_memcpy(eth, pod_macs, sizeof(pod_macs));
    return bpf_redirect_peer(out.pod, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
