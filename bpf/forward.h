/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 5: carry the decision out. The only code that writes headers of packets that go on.
 */
#pragma once

#include <linux/bpf.h>

#include "bpf/icmp.h"

#define OUTER_TTL 64
#define ERR_ALREADY (-114) /* -EALREADY */
#define FAMILY_INET 2      /* AF_INET */

static __always_inline void decrement_ttl(struct iphdr *ip)
{
    __u32 sum = ip->check;

    sum += bpf_htons(0x0100);
    ip->check = (__u16)(sum + (sum >= 0xffff)); /* RFC 1624 */
    ip->ttl--;
}

/* Destination and source from where they stand side by side, aligned to a word. */
static __always_inline void set_macs(struct ethhdr *eth, const __u8 *macs)
{
    const __u32 *from = (const __u32 *)macs;
    __u32 *to = (__u32 *)eth;

    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
}

static __always_inline enum verdict to_stack(struct __sk_buff *skb, struct packet *pkt, __u32 bits)
{
    set_mark(skb, constants.mark_seen | bits);
    return pass(pkt, REASON_TO_STACK);
}

/* Into the workload's namespace, past its host-side queue. */
static __always_inline enum verdict deliver(struct __sk_buff *skb, struct packet *pkt, __u32 slot)
{
    struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
    struct ethhdr *eth = data_of(skb);
    struct iphdr *ip = (void *)(eth + 1);

    if (unlikely(!endpoint || !(endpoint->flags & ENDPOINT_UP)))
        return drop(pkt, REASON_WORKLOAD_DOWN);
    if (unlikely((void *)(ip + 1) > data_end_of(skb)))
        return drop(pkt, REASON_INTERNAL);
    decrement_ttl(ip);
    set_macs(eth, endpoint->mac);
    /* Older kernels carry the mark across: the workload's namespace must not see it. */
    skb->mark = 0;
    return sent(pkt, REASON_DELIVERED, bpf_redirect_peer(endpoint->ifindex, 0));
}

/* The largest packet for the path: the link's, or less where a router said so. */
static __always_inline __u32 path_mtu(const struct path *path)
{
    __u32 node = path->node;
    struct pmtu *pmtu = bpf_map_lookup_elem(&pmtus, &node);
    __u32 mtu = path->mtu ? path->mtu : 0xffff;

    if (path->kind != PATH_ENCAP || !pmtu || !pmtu->mtu || !is_ahead(pmtu->until, PMTU_SECONDS))
        return mtu;
    return pmtu->mtu < mtu ? pmtu->mtu : mtu;
}

/* What goes on the wire at once: offloaded packets are cut to gso_size first. */
static __always_inline __u32 wire_length(const struct __sk_buff *skb, const struct packet *pkt)
{
    __u32 gso = skb->gso_size;

    return gso ? gso + pkt->headers : pkt->length;
}

/* Every link and tunnel carries this much; larger packets are looked at. */
static __always_inline int fits_any_path(__u32 length)
{
    return length <= PMTU_LOWEST - sizeof(struct iphdr);
}

static __always_inline __u16 checksum_of(const __u32 *words, int count)
{
    __u64 sum = 0;

#pragma unroll
    for (int i = 0; i < count; i++)
        sum += words[i];
    return fold(sum);
}

/*
 * Outer header: RFC 2003 3.1 with RFC 6040's tos (inner copied, congestion included). The id is the
 * inner one, so that fragments of it, should a router cut, are told apart as well as the inner ones.
 */
static __always_inline void write_outer(struct iphdr *outer, const struct packet *pkt,
                                        const struct path *path)
{
    __u32 length = pkt->length + sizeof(*outer);
    __u32 *to = (__u32 *)outer;
    __u32 words[5];

    length = length > 0xffff ? 0 : length;
    words[0] = bpf_htonl(0x45000000 | (__u32)pkt->tos << 16 | length);
    words[1] = pkt->id | (__u32)(pkt->frag_off & bpf_htons(IP_FLAG_DF)) << 16;
    words[2] = bpf_htonl(OUTER_TTL << 24 | IPPROTO_IPIP << 16);
    words[3] = path->outer_src;
    words[4] = path->outer_dst;
    words[2] |= (__u32)checksum_of(words, 5) << 16;
#pragma unroll
    for (int i = 0; i < 5; i++)
        to[i] = words[i];
}

/*
 * Room for the outer header. FIXED_GSO as in decapsulate(). A packet that came out of a tunnel still
 * counts as encapsulated for the kernel, which refuses to mark it again; its marks fit as they are.
 */
static __always_inline long grow(struct __sk_buff *skb)
{
    long err = bpf_skb_adjust_room(skb, sizeof(struct iphdr), BPF_ADJ_ROOM_MAC,
                                   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4);

    if (likely(err != ERR_ALREADY))
        return err;
    return bpf_skb_adjust_room(skb, sizeof(struct iphdr), BPF_ADJ_ROOM_MAC,
                               BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* Does the agent live, so that the MACs of paths are kept fresh? */
static __always_inline int macs_are_fresh(const struct path *path)
{
    __u32 zero = 0;
    struct heartbeat *beat = bpf_map_lookup_elem(&heartbeat, &zero);

    return path->flags & PATH_RESOLVED && beat &&
           now() - beat->at < HEARTBEAT_SECONDS * constants.hz;
}

/* Link header and way out; the frame begins with 14 checked bytes at `eth`. */
static __always_inline long transmit(struct __sk_buff *skb, struct ethhdr *eth,
                                     const struct path *path)
{
    set_mark(skb, constants.mark_done | constants.mark_notrack);
    if (unlikely(!macs_are_fresh(path))) {
        struct bpf_redir_neigh next = {.nh_family = FAMILY_INET, .ipv4_nh = path->next_hop};

        return bpf_redirect_neigh(path->ifindex, &next, sizeof(next), 0);
    }
    set_macs(eth, path->dmac);
    return bpf_redirect(path->ifindex, 0);
}

static __always_inline enum verdict send_encapsulated(struct __sk_buff *skb, struct packet *pkt,
                                                      const struct path *path)
{
    struct ethhdr *eth;
    struct iphdr *outer;

    if (unlikely(grow(skb)))
        return drop(pkt, REASON_INTERNAL);
    eth = data_of(skb);
    outer = (void *)(eth + 1);
    if (unlikely((void *)(outer + 2) > data_end_of(skb)))
        return drop(pkt, REASON_INTERNAL);
    decrement_ttl(outer + 1);
    write_outer(outer, pkt, path);
    return sent(pkt, REASON_ENCAPSULATED, transmit(skb, eth, path));
}

static __always_inline enum verdict send_plain(struct __sk_buff *skb, struct packet *pkt,
                                               const struct path *path)
{
    struct ethhdr *eth = data_of(skb);
    struct iphdr *ip = (void *)(eth + 1);

    if ((void *)(ip + 1) > data_end_of(skb))
        return drop(pkt, REASON_INTERNAL);
    decrement_ttl(ip);
    return sent(pkt, REASON_ROUTED, transmit(skb, eth, path));
}

/* From a workload to another node. */
static __always_inline enum verdict send_remote(struct __sk_buff *skb, struct packet *pkt,
                                                __u32 slot, int express)
{
    struct path *path = bpf_map_lookup_elem(&paths, &slot);
    __u32 length = wire_length(skb, pkt);

    if (unlikely(!path || path->kind == PATH_NONE))
        return drop(pkt, REASON_NO_PATH);
    if (unlikely(!fits_any_path(length) && length > path_mtu(path))) {
        if (express)
            return NEXT;
        if (!(pkt->frag_off & bpf_htons(IP_FLAG_DF)))
            /* The stack cuts it by its route's MTU; to_uplink encapsulates the parts. */
            return to_stack(skb, pkt, constants.mark_notrack);
        return icmp_answer(skb, pkt, TYPE_CODE(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED), path_mtu(path),
                           REASON_TOO_BIG);
    }
    if (unlikely(path->kind == PATH_PLAIN))
        return send_plain(skb, pkt, path);
    return send_encapsulated(skb, pkt, path);
}

/*
 * Encapsulates what the stack sends to another node's workloads. The link header is the stack's:
 * its route goes by the same node. Everything else passes as it is.
 */
static __always_inline enum verdict encap_from_stack(struct __sk_buff *skb, struct packet *pkt,
                                                     __u32 slot)
{
    struct path *path = bpf_map_lookup_elem(&paths, &slot);
    struct iphdr *outer;

    if (!path || !slot || path->kind == PATH_PLAIN)
        return pass(pkt, REASON_FROM_STACK);
    if (path->kind == PATH_NONE)
        return drop(pkt, REASON_NO_PATH);
    if (wire_length(skb, pkt) > path_mtu(path) && pkt->frag_off & bpf_htons(IP_FLAG_DF))
        return drop(pkt, REASON_TOO_BIG);
    if (unlikely(grow(skb)))
        return drop(pkt, REASON_INTERNAL);
    outer = data_of(skb) + ETH_HLEN;
    if ((void *)(outer + 1) > data_end_of(skb))
        return drop(pkt, REASON_INTERNAL);
    write_outer(outer, pkt, path);
    set_mark(skb, constants.mark_done);
    return pass(pkt, REASON_ENCAPSULATED);
}

/* `express`, a constant: what needs an answer is left as it is, with NEXT. */
static __always_inline enum verdict act_from_workload(struct __sk_buff *skb, struct packet *pkt,
                                                      const struct hit *hit, int express)
{
    if (unlikely(hit->verb == FLOW_STACK))
        return to_stack(skb, pkt, hit->pending ? constants.mark_pending : 0);
    if (unlikely(hit->verb != FLOW_DELIVER && hit->verb != FLOW_REMOTE))
        return drop(pkt, REASON_POLICY_CHANGED);
    if (unlikely(pkt->ttl <= 1)) {
        if (express)
            return NEXT;
        return icmp_answer(skb, pkt, TYPE_CODE(ICMP_TIME_EXCEEDED, ICMP_EXC_TTL), 0,
                           REASON_TTL_EXPIRED);
    }
    if (hit->verb == FLOW_DELIVER)
        return deliver(skb, pkt, hit->out);
    return send_remote(skb, pkt, hit->out, express);
}

/* A packet whose time ran out goes to the stack, which answers through the tunnel. */
static __always_inline enum verdict act_from_uplink(struct __sk_buff *skb, struct packet *pkt,
                                                    const struct hit *hit)
{
    if (unlikely(hit->verb != FLOW_STACK && hit->verb != FLOW_DELIVER))
        return drop(pkt, REASON_POLICY_CHANGED);
    if (unlikely(decapsulate(skb, pkt) == DROP))
        return DROP;
    if (unlikely(hit->verb == FLOW_STACK || pkt->ttl <= 1))
        return to_stack(skb, pkt, hit->verb == FLOW_STACK ? 0 : constants.mark_notrack);
    return deliver(skb, pkt, hit->out);
}

static __always_inline enum verdict act(struct __sk_buff *skb, struct packet *pkt, __u32 hook,
                                        const struct hit *hit)
{
    switch (hook) {
    case HOOK_FROM_WORKLOAD:
        return act_from_workload(skb, pkt, hit, 0);
    case HOOK_FROM_UPLINK:
        return act_from_uplink(skb, pkt, hit);
    case HOOK_TO_WORKLOAD:
        if (hit->verb == FLOW_DROP)
            return drop(pkt, REASON_POLICY_CHANGED);
        return pass(pkt, REASON_FROM_STACK);
    default:
        if (hit->verb == FLOW_DROP)
            return drop(pkt, REASON_POLICY_CHANGED);
        return encap_from_stack(skb, pkt, hit->out);
    }
}
