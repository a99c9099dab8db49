// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The stages behind a policy program; one set for all hooks. See maps/stages.h.

#include "bpf/judge.h"

SEC("tc")
int stage_judged(struct __sk_buff *skb)
{
    struct work *w = work();

    if (!w)
        return TC_ACT_SHOT;
    return leg_judged(skb, w);
}

SEC("tc")
int stage_forward(struct __sk_buff *skb)
{
    struct work *w = work();
    struct hit hit = {};

    if (!w)
        return TC_ACT_SHOT;
    if (host_refuses(w)) {
        entomb(w);
        return finish(skb, &w->pkt, drop(&w->pkt, REASON_HOST_DENIED));
    }
    remember(w);
    hit.verb = verb_of(toward(w)->action);
    hit.out = out_of(toward(w)->action);
    hit.pending = w->flow.flags & FLOW_PENDING && w->flow.initiator == w->dir;
    return finish(skb, &w->pkt, act(skb, &w->pkt, w->pkt.hook, &hit));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
