/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The last stage of every path: counts once, reports drops, and says what tc shall do.
 * Nothing here changes a verdict.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>

#include "bpf/maps.bpf.h"

/*
 * Keeps the packet's fields in memory. Split into registers, each field has a copy to be spilled on
 * every early exit, as the exits meet again in finish(): a third of the fast path's instructions.
 */
static __always_inline void keep_in_memory(struct packet *pkt)
{
    asm volatile("" : : "r"(pkt) : "memory");
}

static __always_inline __u32 now(void)
{
    return (__u32)bpf_jiffies64();
}

/* Is `end` ahead, by so many seconds at most? Long past, it seems ahead again: jiffies wrap. */
static __always_inline int is_ahead(__u32 end, __u32 seconds)
{
    return end - now() - 1 < seconds * constants.hz;
}

/* A reason and its packet, or a note (bytes 0). */
static __always_inline void count(__u32 reason, __u32 bytes)
{
    struct counter *counter = bpf_map_lookup_elem(&counters, &reason);

    if (!counter)
        return;
    counter->packets++;
    counter->bytes += bytes;
}

/* At most `most` a second and CPU. A window, not a bucket: bursts are what it must cut. */
static __always_inline int limit_allows(__u32 which, __u32 most)
{
    struct limit_window *window = bpf_map_lookup_elem(&limits, &which);
    __u32 time = now();

    if (!window)
        return 0;
    if (time - window->start >= constants.hz) {
        window->start = time;
        window->count = 0;
    }
    if (window->count >= most)
        return 0;
    window->count++;
    return 1;
}

/* Workloads that speak IPv6 do so all the time: that shall not hide what policies drop. */
static __always_inline int is_foreign(const struct __sk_buff *skb)
{
    return skb->protocol != bpf_htons(ETH_P_IP);
}

static __rare void report(const struct __sk_buff *skb, const struct packet *pkt, __u8 kind,
                          __u32 policy, __u32 rule)
{
    struct event *event;

    if (is_foreign(skb) && !limit_allows(LIMIT_FOREIGN_EVENTS, FOREIGN_EVENTS_PER_SECOND))
        return; /* counted by its reason, and told often enough */
    if (!limit_allows(LIMIT_EVENTS, EVENTS_PER_SECOND)) {
        count(REASON_EVENT_LOST, 0);
        return;
    }
    event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
    if (!event) {
        count(REASON_EVENT_LOST, 0);
        return;
    }
    __builtin_memset(event, 0, sizeof(*event));
    event->time = bpf_ktime_get_ns();
    event->kind = kind;
    event->hook = pkt->hook;
    event->proto = pkt->proto;
    event->icmp_type = pkt->icmp_type;
    event->icmp_code = pkt->icmp_code;
    event->reason = pkt->reason;
    event->ifindex = skb->ifindex;
    event->saddr = pkt->saddr;
    event->daddr = pkt->daddr;
    event->sport = pkt->sport;
    event->dport = pkt->dport;
    event->endpoint = pkt->endpoint;
    event->policy = policy;
    event->rule = rule;
    event->length = skb->len;
    event->outer_saddr = pkt->outer_saddr;
    bpf_ringbuf_submit(event, 0);
}

static __always_inline enum verdict drop(struct packet *pkt, __u32 reason)
{
    pkt->reason = reason;
    return DROP;
}

static __always_inline enum verdict pass(struct packet *pkt, __u32 reason)
{
    pkt->reason = reason;
    return PASS;
}

static __always_inline enum verdict untouched(struct packet *pkt)
{
    pkt->reason = REASON_UNTOUCHED;
    return UNTOUCHED;
}

static __always_inline enum verdict sent(struct packet *pkt, __u32 reason, long action)
{
    pkt->reason = reason;
    pkt->action = (__s32)action;
    return SENT;
}

/* Whatever marks of ours a packet had, they are these now. */
static __always_inline void set_mark(struct __sk_buff *skb, __u32 bits)
{
    skb->mark = (skb->mark & ~constants.mark_mask) | bits;
}

/* What a policy decided is reported where it is known: bpf/judge.h. */
static __always_inline int finish_reported(struct __sk_buff *skb, struct packet *pkt,
                                           enum verdict verdict)
{
    count(pkt->reason, skb->len);
    if (likely(verdict == SENT))
        return pkt->action;
    switch (verdict) {
    case PASS:
        return TC_ACT_OK;
    case UNTOUCHED:
        if (pkt->hook == HOOK_FROM_UPLINK)
            set_mark(skb, pkt->flags & PACKET_OF_VLAN ? 0 : constants.mark_seen);
        return TC_ACT_UNSPEC;
    default:
        return TC_ACT_SHOT;
    }
}

static __always_inline int finish(struct __sk_buff *skb, struct packet *pkt, enum verdict verdict)
{
    if (unlikely(verdict == DROP))
        report(skb, pkt, EVENT_DROP, 0, 0);
    return finish_reported(skb, pkt, verdict);
}
