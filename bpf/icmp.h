/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP of our own: errors to workloads, and what routers say about tunnels.
 *
 * A packet is turned into its error in place and goes back to the workload it came from.
 */
#pragma once

#include "bpf/flow.h"

/*
 * Bytes of the packet that an error quotes. More than RFC 792's 8 behind the header: the kernel
 * refuses to trim a frame whose TCP checksum is still to be filled in before that field.
 */
#define ICMP_QUOTE 128 /* a power of two, for the verifier */

struct icmp_error {
    struct iphdr ip;
    struct icmphdr icmp;
};

static __always_inline __u16 fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)~sum;
}

/* RFC 1122 3.2.2: never about an ICMP error, nor about a later fragment. */
static __always_inline int may_answer(const struct packet *pkt)
{
    return !(pkt->flags & (PACKET_ERROR | PACKET_LATER)) &&
           limit_allows(LIMIT_ICMP, ICMP_PER_SECOND);
}

static __always_inline int fill_error(struct __sk_buff *skb, const struct packet *pkt,
                                      __be32 source, struct icmp_error *error, __u32 quoted)
{
    __u8 quote[ICMP_QUOTE] = {};
    __s64 sum;

    if (quoted < 1 || quoted > ICMP_QUOTE)
        return 0;
    /* Kernels before 6.8 learn nothing from "is not 0"; a masked value they know to be 1 or more. */
    asm volatile("" : "+r"(quoted));
    quoted = ((quoted - 1) & (ICMP_QUOTE - 1)) + 1;
    if (bpf_skb_load_bytes(skb, ETH_HLEN, quote, quoted))
        return 0;
    sum = bpf_csum_diff(0, 0, (__be32 *)quote, sizeof(quote), 0);
    sum = bpf_csum_diff(0, 0, (__be32 *)&error->icmp, sizeof(error->icmp), (__u32)sum);
    error->icmp.checksum = fold((__u64)sum);
    *(__u8 *)&error->ip = 0x45;
    error->ip.tos = 0xc0; /* internetwork control, RFC 1812 4.3.2.5 */
    error->ip.tot_len = bpf_htons((__u16)(sizeof(*error) + quoted));
    error->ip.ttl = 64;
    error->ip.protocol = IPPROTO_ICMP;
    error->ip.saddr = source;
    error->ip.daddr = pkt->saddr;
    sum = bpf_csum_diff(0, 0, (__be32 *)&error->ip, sizeof(error->ip), 0);
    error->ip.check = fold((__u64)sum);
    return 1;
}

/* Frame in place: the quote moves back, the error stands before it, the MACs change places. */
static __always_inline int write_error(struct __sk_buff *skb, const struct icmp_error *error,
                                       __u32 quoted)
{
    struct ethhdr *eth;
    __u8 mac[ETH_ALEN];

    if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0) ||
        bpf_skb_adjust_room(skb, sizeof(*error), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
        return 0;
    eth = data_of(skb);
    if ((void *)eth + ETH_HLEN + sizeof(*error) > data_end_of(skb))
        return 0;
    __builtin_memcpy(mac, eth->h_source, ETH_ALEN);
    __builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
    __builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
    __builtin_memcpy(eth + 1, error, sizeof(*error));
    return 1;
}

#define TYPE_CODE(type, code) ((type) << 8 | (code))

/* `reason` is the drop's where there is no answer. `mtu` only for fragmentation-needed. */
static __rare enum verdict icmp_answer(struct __sk_buff *skb, struct packet *pkt, __u32 type_code,
                                       __u32 mtu, __u32 reason)
{
    __u32 quoted = pkt->length < ICMP_QUOTE ? pkt->length : ICMP_QUOTE;
    struct icmp_error error = {};
    struct config *cfg;
    __u32 zero = 0;

    cfg = bpf_map_lookup_elem(&config, &zero);
    if (!cfg || !may_answer(pkt))
        return drop(pkt, reason);
    error.icmp.type = (__u8)(type_code >> 8);
    error.icmp.code = (__u8)type_code;
    error.icmp.mtu = bpf_htons((__u16)mtu);
    if (!fill_error(skb, pkt, cfg->icmp_source, &error, quoted))
        return drop(pkt, reason);
    if (!write_error(skb, &error, quoted))
        return drop(pkt, REASON_INTERNAL);
    skb->mark &= ~constants.mark_mask;
    return sent(pkt, REASON_ANSWERED, bpf_redirect_peer(skb->ifindex, 0));
}

/*
 * A router could not forward a tunnel packet of ours: it quotes the outer header. Believed only for
 * a pair of this node and a known one, never below what IPv4 hosts must take, for a limited time.
 */
static __always_inline void pmtu_learn(struct __sk_buff *skb, const struct packet *pkt,
                                       const struct config *cfg)
{
    const struct icmphdr *icmp = data_of(skb) + l4_of(pkt);
    const struct iphdr *ip = (const void *)(icmp + 1);
    struct prefix4_key key = {.prefix_bits = 32};
    struct pmtu *pmtu;
    struct node4 *node;
    __u32 mtu;

    if ((const void *)(ip + 1) > data_end_of(skb))
        return;
    if (ip->protocol != IPPROTO_IPIP || ip->saddr != cfg->node_addr || pkt->daddr != ip->saddr)
        return;
    mtu = bpf_ntohs(icmp->mtu);
    key.addr = ip->daddr;
    node = bpf_map_lookup_elem(&nodes4, &key);
    if (!node || !mtu)
        return;
    pmtu = bpf_map_lookup_elem(&pmtus, &node->slot);
    if (!pmtu)
        return;
    mtu = mtu < PMTU_LOWEST ? PMTU_LOWEST : mtu;
    pmtu->mtu = mtu - sizeof(struct iphdr);
    pmtu->until = now() + PMTU_SECONDS * constants.hz;
    count(REASON_PMTU_LEARNED, 0);
}
