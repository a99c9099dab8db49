// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Garbage collection of flows and the agent's heartbeat; run by the agent, attached nowhere.
//
// One run visits one part of the table, chosen by the keys' hash (maps/flows.h), so that a run
// stays short. The table's walk itself cannot be resumed, but a visit to another part's entry reads
// its key only, which lies beside the list pointer the walk has just read.

#include "bpf/judge.h"

struct collection {
    __u32 shard;
    __u32 time;
    __u32 removed;
    __u32 pad;
    struct flow_timeouts timeouts; /* seconds */
};

static __always_inline __u32 tcp_timeout(const struct flow *flow, const struct flow_timeouts *t)
{
    __u32 fins = FLOW_FIN_INIT | FLOW_FIN_RESP, both = FLOW_SEEN_INIT | FLOW_SEEN_RESP;

    if (flow->state & FLOW_RST || (flow->state & fins) == fins)
        return t->tcp_closing;
    return (flow->state & both) == both ? t->tcp_established : t->tcp_opening;
}

static __always_inline __u32 timeout_of(const struct flow_key *key, const struct flow *flow,
                                        const struct flow_timeouts *timeouts)
{
    switch (key->proto) {
    case IPPROTO_TCP:
        return tcp_timeout(flow, timeouts);
    case IPPROTO_UDP:
        return timeouts->udp;
    case IPPROTO_ICMP:
        return timeouts->icmp;
    default:
        return timeouts->other;
    }
}

static long visit(void *map __attribute__((unused)), const struct flow_key *key, struct flow *flow,
                  struct collection *collection)
{
    __u32 owner, idle, *held;

    if (key_mix(key) % COLLECT_SHARDS != collection->shard)
        return 0;
    idle = collection->time - flow->last_seen;
    /* A packet may have been newer than this run's clock: that is not idle for ages. */
    if ((__s32)idle < 0)
        idle = 0;
    if (idle <= timeout_of(key, flow, &collection->timeouts) * constants.hz &&
        incarnation_lives(&flow->src) && incarnation_lives(&flow->dst))
        return 0;
    owner = owner_of(flow);
    if (bpf_map_delete_elem(&flows4, key))
        return 0;
    held = bpf_map_lookup_elem(&flow_counts, &owner);
    if (held)
        __sync_fetch_and_add(held, -1);
    count(REASON_FLOW_EXPIRED, 0);
    return 0;
}

static __always_inline __u32 or_default(__u32 seconds, __u32 otherwise)
{
    return seconds ? seconds : otherwise;
}

SEC("tc")
int collect(struct __sk_buff *skb)
{
    struct collection collection = {.shard = skb->mark % COLLECT_SHARDS, .time = now()};
    __u32 zero = 0;
    struct heartbeat *beat = bpf_map_lookup_elem(&heartbeat, &zero);
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);
    struct flow_timeouts *t = &collection.timeouts;

    if (beat)
        WRITE_ONCE(beat->at, collection.time);
    if (!cfg)
        return 0;
    t->tcp_opening = or_default(cfg->timeouts.tcp_opening, TIMEOUT_TCP_OPENING);
    t->tcp_established = or_default(cfg->timeouts.tcp_established, TIMEOUT_TCP_ESTABLISHED);
    t->tcp_closing = or_default(cfg->timeouts.tcp_closing, TIMEOUT_TCP_CLOSING);
    t->udp = or_default(cfg->timeouts.udp, TIMEOUT_UDP);
    t->icmp = or_default(cfg->timeouts.icmp, TIMEOUT_ICMP);
    t->other = or_default(cfg->timeouts.other, TIMEOUT_OTHER);
    bpf_for_each_map_elem(&flows4, visit, &collection, 0);
    return (int)collection.time;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
