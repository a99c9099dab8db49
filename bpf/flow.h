/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 2: is the packet of a flow whose verdict still holds?
 *
 * One lookup in "flows4", or none where "hot_flows" has a copy; all else it touches are small hot
 * arrays. A fresh entry gives the action at once. Anything in doubt is a miss: another way in, an
 * endpoint whose generation moved, a leg that this hook needs and nobody judged, a SYN.
 */
#pragma once

#include "bpf/tunnel.h"

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))
#define barrier() asm volatile("" ::: "memory")

/* What an established packet does. */
struct hit {
    __u32 verb; /* enum flow_verb */
    __u32 out;
    __u32 pending; /* its egress is judged behind the stack */
    __u32 by_initiator;
    __u32 state; /* as the entry has it */
};

static __always_inline __u32 verb_of(__u32 action)
{
    return action & FLOW_VERB;
}

static __always_inline __u32 out_of(__u32 action)
{
    return action >> FLOW_OUT_SHIFT;
}

/* What the direction does; how its packets come stays as it is known. */
static __always_inline void set_action(struct flow_dir *way, enum flow_verb verb, __u32 out)
{
    way->action = (way->action & FLOW_TUNNELLED) | verb | out << FLOW_OUT_SHIFT;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "set_key() puts words together as little-endian machines read them"
#endif

/*
 * Returns the direction. Both ends in one order: raw integers, address first. Written as two words:
 * the lookup reads words, and a CPU waits where those were just stored in smaller parts.
 */
static __always_inline __u32 set_key(struct flow_key *key, __be32 saddr, __be32 daddr, __be16 sport,
                                     __be16 dport, __u8 proto, __u8 query)
{
    __u32 dir = saddr > daddr || (saddr == daddr && sport > dport);
    __u64 *words = (__u64 *)key;

    words[0] = (dir ? daddr : saddr) | (__u64)(dir ? saddr : daddr) << 32;
    words[1] = (dir ? dport : sport) | (__u64)(dir ? sport : dport) << 16 | (__u64)proto << 32 |
               (__u64)query << 40;
    return dir;
}

static __always_inline __u32 key_of(const struct packet *pkt, struct flow_key *key)
{
    return set_key(key, pkt->saddr, pkt->daddr, pkt->sport, pkt->dport, pkt->proto, pkt->query);
}

/*
 * The key of the flow an ICMP error speaks of: its quote turned round, as the error travels against
 * the packet that caused it. An error whose destination did not send the quote is a lie.
 */
static __always_inline enum parsed read_quote(const struct __sk_buff *skb, const struct packet *pkt,
                                              struct flow_key *key, __u32 *dir)
{
    const struct iphdr *ip = data_of(skb) + l4_of(pkt) + sizeof(struct icmphdr);
    const void *end = data_end_of(skb);
    __be16 sport = 0, dport = 0;
    const __be16 *l4;
    __u8 query = 0;
    __u32 ihl;

    if ((const void *)(ip + 1) > end)
        return PARSED_SHORT;
    ihl = header_length(ip);
    if (ihl < sizeof(*ip) || ip->saddr != pkt->daddr || ip->frag_off & bpf_htons(IP_OFFSET))
        return PARSED_BAD;
    /* Routers send errors with their own address; a workload is no router. */
    if (pkt->hook == HOOK_FROM_WORKLOAD && ip->daddr != pkt->saddr)
        return PARSED_BAD;
    l4 = (const void *)ip + ihl;
    if ((const void *)l4 + 8 > end)
        return PARSED_SHORT;
    if (has_ports(ip->protocol)) {
        sport = l4[0];
        dport = l4[1];
    } else if (ip->protocol == IPPROTO_ICMP) {
        icmp_ports(*(const __u8 *)l4, l4[2], &sport, &dport, &query);
    }
    *dir = set_key(key, ip->daddr, ip->saddr, dport, sport, ip->protocol, query);
    return PARSED;
}

static __rare int quoted_key(struct __sk_buff *skb, const struct packet *pkt, struct flow_key *key,
                             __u32 *dir)
{
    enum parsed parsed = read_quote(skb, pkt, key, dir);

    if (parsed == PARSED_SHORT && pull(skb))
        parsed = read_quote(skb, pkt, key, dir);
    return parsed == PARSED;
}

#define KEY_MIX_BITS 24

/* What `tag` and `tail` carry of the key: an element recycled for another flow shows. */
static __always_inline __u32 key_mix(const struct flow_key *key)
{
    const __u64 *words = (const __u64 *)key;
    __u64 mixed = (words[0] * 0x9e3779b97f4a7c15ull) ^ (words[1] * 0xc2b2ae3d27d4eb4full);

    return (__u32)(mixed >> (64 - KEY_MIX_BITS));
}

static __always_inline int end_is_current(const struct flow_end *end)
{
    __u32 slot = READ_ONCE(end->slot);
    struct endpoint *endpoint;

    if (slot == ENDPOINT_NONE)
        return 1;
    endpoint = bpf_map_lookup_elem(&endpoints, &slot);
    return endpoint && READ_ONCE(endpoint->generation) == READ_ONCE(end->generation) &&
           READ_ONCE(endpoint->incarnation) == READ_ONCE(end->incarnation);
}

/* Did the packet come in where this direction's packets do? No lookup. */
static __always_inline int came_as_expected(const struct packet *pkt, __u32 hook,
                                            const struct flow_dir *way,
                                            const struct flow_tunnel *tunnel)
{
    __u32 ifindex = READ_ONCE(way->in_ifindex);
    __u32 tunnelled = READ_ONCE(way->action) & FLOW_TUNNELLED;
    __be32 sender;

    if (hook == HOOK_TO_WORKLOAD || hook == HOOK_TO_UPLINK)
        return ifindex == pkt->ifindex || (ifindex == FLOW_IN_STACK && pkt->ifindex);
    if (ifindex != pkt->ifindex)
        return 0;
    if (!(pkt->flags & PACKET_TUNNEL))
        return !tunnelled;
    sender = READ_ONCE(tunnel->outer_saddr);
    if (!tunnelled || !sender || sender != pkt->outer_saddr)
        return 0;
    return !pkt->outer_len /* XDP took it off, and saw to it */ ||
           READ_ONCE(tunnel->outer_daddr) == pkt->outer_daddr;
}

/* Legs that must have been judged before a packet of the initiator may take the fast path. */
static __always_inline __u32 legs_needed(__u32 hook, __u32 verb, __u32 flags, __u32 from_workload,
                                         __u32 egress_due)
{
    switch (hook) {
    case HOOK_FROM_WORKLOAD:
        if (flags & FLOW_PENDING)
            return 0;
        return FLOW_LEG_EGRESS | (verb == FLOW_DELIVER ? FLOW_LEG_INGRESS : 0);
    case HOOK_TO_WORKLOAD:
        return FLOW_LEG_INGRESS | (egress_due ? FLOW_LEG_EGRESS : 0);
    case HOOK_FROM_UPLINK:
        return verb == FLOW_DELIVER ? FLOW_LEG_INGRESS : 0;
    default:
        return from_workload ? FLOW_LEG_EGRESS : 0;
    }
}

/* Writes only what changes: lines that two CPUs write cost more than the lookup. */
static __always_inline void flow_touch(struct flow *flow, const struct packet *pkt, __u32 state,
                                       int by_initiator)
{
    __u32 seen = by_initiator ? FLOW_SEEN_INIT : FLOW_SEEN_RESP;
    __u32 time = now();

    if (pkt->tcp_flags & TCP_FIN)
        seen |= by_initiator ? FLOW_FIN_INIT : FLOW_FIN_RESP;
    if (pkt->tcp_flags & TCP_RST)
        seen |= FLOW_RST;
    /* Two CPUs may lose one's bit; the next packet, or a shorter timeout, makes up for it. */
    if (unlikely(seen & ~state))
        WRITE_ONCE(flow->state, (__u8)(state | seen));
    if (unlikely(time - READ_ONCE(flow->last_seen) >= constants.hz))
        WRITE_ONCE(flow->last_seen, time);
}

static __always_inline int is_pure_syn(const struct packet *pkt)
{
    return (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Fills `hit` and returns 1 where the entry, or a copy of it, decides as far as it was read whole. */
static __always_inline int decides(const struct flow *flow, const struct packet *pkt, __u32 hook,
                                   __u32 dir, __u32 egress_due, struct hit *hit)
{
    const struct flow_dir *way = &flow->dir[dir & 1];
    __u32 flags, legs;

    if (unlikely(!came_as_expected(pkt, hook, way, &flow->tunnel)))
        return 0;
    if (unlikely(!end_is_current(&flow->src) || !end_is_current(&flow->dst)))
        return 0;
    /* Read for each of its parts: the verifier would follow each value of one part with the others. */
    hit->verb = verb_of(READ_ONCE(way->action));
    flags = READ_ONCE(flow->flags);
    hit->by_initiator = dir == READ_ONCE(flow->initiator);
    if (unlikely(is_pure_syn(pkt) || hit->verb == FLOW_NONE))
        return 0;
    legs = legs_needed(hook, hit->verb, flags, READ_ONCE(flow->src.slot), egress_due);
    if (hit->by_initiator && unlikely(hit->verb != FLOW_DROP && legs & ~READ_ONCE(flow->legs)))
        return 0;
    hit->out = out_of(READ_ONCE(way->action));
    hit->pending = hit->by_initiator && flags & FLOW_PENDING;
    hit->state = READ_ONCE(flow->state);
    return 1;
}

/*
 * `tail` is read first and `tag` last, a writer copies from the front: if both name our key, what
 * was read between them is of one version. What a torn entry makes decides() say is either a miss,
 * or undone by `tag`.
 */
static __always_inline int flow_check(struct flow *flow, const struct flow_key *key,
                                      const struct packet *pkt, __u32 hook, __u32 dir,
                                      __u32 egress_due, struct hit *hit)
{
    __u32 tail = READ_ONCE(flow->tail);

    if (unlikely(tail >> 8 != key_mix(key)))
        return 0;
    barrier();
    if (unlikely(!decides(flow, pkt, hook, dir, egress_due, hit)))
        return 0;
    barrier();
    if (unlikely(READ_ONCE(flow->tag) != tail))
        return 0;
    if (likely(!(pkt->flags & PACKET_ERROR)))
        flow_touch(flow, pkt, hit->state, (int)hit->by_initiator);
    return 1;
}

static __always_inline struct hot_flow *hot_find(const struct flow_key *key)
{
    /* The upper bits hang on all octets. */
    __u32 slot = key_mix(key) >> (KEY_MIX_BITS - HOT_FLOWS_BITS);

    return bpf_map_lookup_elem(&hot_flows, &slot);
}

static __always_inline int hot_is_of(const struct hot_flow *hot, const struct flow_key *key)
{
    const __u64 *held = (const __u64 *)&hot->key, *wanted = (const __u64 *)key;

    return READ_ONCE(held[0]) == wanted[0] && READ_ONCE(held[1]) == wanted[1];
}

static __always_inline int hot_is_fresh(const struct hot_flow *hot)
{
    return now() - READ_ONCE(hot->copied) < constants.hz / 2;
}

/* What the packet changes in an entry is not for copies: its first of a side, and TCP's flags. */
static __always_inline int hot_check(const struct hot_flow *hot, const struct flow_key *key,
                                     const struct packet *pkt, __u32 hook, __u32 dir,
                                     __u32 egress_due, struct hit *hit)
{
    __u64 seq = READ_ONCE(hot->seq);

    barrier();
    if (!hot_is_of(hot, key) || seq & 1 || !hot_is_fresh(hot))
        return 0;
    if (unlikely(pkt->tcp_flags & (TCP_FIN | TCP_RST)))
        return 0;
    if (unlikely(!decides(&hot->flow, pkt, hook, dir, egress_due, hit)))
        return 0;
    barrier();
    return READ_ONCE(hot->seq) == seq &&
           hit->state & (hit->by_initiator ? FLOW_SEEN_INIT : FLOW_SEEN_RESP);
}

/* Another entry is there: its first packets are not for a copy of the one before. */
static __always_inline void hot_forget(const struct flow_key *key)
{
    struct hot_flow *hot = hot_find(key);

    if (hot)
        WRITE_ONCE(hot->copied, now() - constants.hz);
}

/*
 * Copies the entry that has just decided. A slot that another flow holds changes hands for one in 16
 * of its packets: where many flows meet, few pay for copies, and a busy one has its own at once.
 */
static __always_inline void hot_keep(struct hot_flow *hot, const struct flow_key *key,
                                     const struct flow *flow)
{
    __u64 seq = READ_ONCE(hot->seq);
    __u32 tail = READ_ONCE(flow->tail);

    if (hot_is_fresh(hot) && !hot_is_of(hot, key) && bpf_get_prandom_u32() & 15)
        return;
    if (seq & 1 || __sync_val_compare_and_swap(&hot->seq, seq, seq + 1) != seq)
        return;
    barrier();
    hot->key = *key;
    hot->flow = *flow;
    hot->copied = now();
    barrier();
    if (unlikely(READ_ONCE(flow->tag) != tail || tail >> 8 != key_mix(key)))
        hot->key.pad = 0xffff; /* recycled under us: nobody's, set_key() leaves it 0 */
    barrier();
    WRITE_ONCE(hot->seq, seq + 2);
}

static __always_inline int flow_of(const struct flow_key *key, const struct packet *pkt, __u32 hook,
                                   __u32 dir, __u32 egress_due, struct hit *hit)
{
    /* An ICMP error says nothing of how busy the flow is, and is no packet of it. */
    struct hot_flow *hot = likely(!(pkt->flags & PACKET_ERROR)) ? hot_find(key) : 0;
    struct flow *flow;

    if (hot && hot_check(hot, key, pkt, hook, dir, egress_due, hit))
        return 1;
    flow = bpf_map_lookup_elem(&flows4, key);
    if (unlikely(!flow || !flow_check(flow, key, pkt, hook, dir, egress_due, hit)))
        return 0;
    if (hot)
        hot_keep(hot, key, flow);
    return 1;
}

/*
 * `egress_due`: the packet carries the mark "pending". `hook` is a constant where this is inlined.
 */
static __always_inline int flow_find(struct __sk_buff *skb, const struct packet *pkt, __u32 hook,
                                     __u32 egress_due, struct hit *hit)
{
    struct flow_key key = {};
    __u32 dir = key_of(pkt, &key);

    if (unlikely(pkt->flags & PACKET_ERROR && !quoted_key(skb, pkt, &key, &dir)))
        return 0;
    return flow_of(&key, pkt, hook, dir, egress_due, hit);
}
