/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 4: may the flow be? Runs the policies of its legs, one tail call each, then remembers.
 *
 *   judge()        in a hook: planned, merged with the entry that may be there, first leg
 *   leg_judged()   in stage_judged: the verdict of a leg; next leg, other orientation, or the end
 *   remember()     in stage_forward: the entry is written
 *
 * A leg is judged in the direction in which the flow began. A TCP packet from the middle of a flow
 * that nobody remembers may have been sent by either side, so both orientations are tried.
 */
#pragma once

#include "bpf/route.h"

static __always_inline struct work *work(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&scratch, &zero);
}

/* Generations are read here, before policies are chosen, and stamped as read. */
static __always_inline void set_end(struct flow_end *end, __u32 slot)
{
    struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

    end->slot = slot;
    end->generation = endpoint ? READ_ONCE(endpoint->generation) : 0;
    end->incarnation = endpoint ? READ_ONCE(endpoint->incarnation) : 0;
}

static __always_inline void set_judgement(struct work *w, int forward)
{
    struct judgement *j = &w->judgement;
    const struct packet *pkt = &w->pkt;

    j->saddr = forward ? w->source : pkt->daddr;
    j->daddr = forward ? pkt->daddr : w->source;
    j->sport = forward ? pkt->sport : pkt->dport;
    j->dport = forward ? pkt->dport : pkt->sport;
    j->proto = pkt->proto;
    j->icmp_type = forward ? pkt->icmp_type : pkt->query;
    j->icmp_code = forward ? pkt->icmp_code : 0;
    j->pad = 0;
}

/* `initiator`: the end of the key that began. The host's own flows are judged by nobody. */
static __always_inline void orient(struct work *w, __u32 initiator)
{
    int forward = initiator == w->dir;
    __u32 src = forward ? w->slots[0] : w->slots[1];
    __u32 dst = forward ? w->slots[1] : w->slots[0];
    __u32 by_host = w->flags & (forward ? WORK_FROM_HOST : WORK_TO_HOST);

    w->flow.initiator = (__u8)initiator;
    set_end(&w->flow.src, src);
    set_end(&w->flow.dst, dst);
    set_judgement(w, forward);
    w->flow.legs = 0;
    if (!(w->flow.flags & FLOW_PENDING))
        w->flow.legs = (__u8)((src ? FLOW_LEG_EGRESS : 0) | (dst ? FLOW_LEG_INGRESS : 0));
    w->todo = by_host ? 0 : w->flow.legs;
}

static __always_inline int incarnation_lives(const struct flow_end *end)
{
    __u32 slot = end->slot;
    struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

    return endpoint && endpoint->incarnation == end->incarnation;
}

static __always_inline __u32 owner_of(const struct flow *flow)
{
    return flow->src.slot ? flow->src.slot : flow->dst.slot;
}

/* A SYN begins anew where the old flow ends, and where the other side sends it. */
static __always_inline int begins_anew(const struct work *w, const struct flow *old)
{
    if (!is_pure_syn(&w->pkt))
        return 0;
    return w->dir != old->initiator || old->state & (FLOW_FIN_INIT | FLOW_FIN_RESP | FLOW_RST);
}

/*
 * An unjudged flow to the outside does not answer for what the outside sends: only the stack,
 * which translates addresses back, may bring its replies.
 */
static __always_inline int is_foreign_to(const struct work *w, const struct flow *old)
{
    return old->flags & FLOW_PENDING && w->pkt.hook == HOOK_FROM_UPLINK;
}

/* Keeps what the first packet settled: by the stack or past it, who began, TCP state. */
static __always_inline void merge(struct work *w, const struct flow *old)
{
    int behind_stack = w->pkt.hook == HOOK_TO_WORKLOAD || w->pkt.hook == HOOK_TO_UPLINK;
    int stays_by_stack = old->flags & FLOW_BY_STACK && !(w->flow.flags & FLOW_BY_STACK);
    int answer = old->initiator != w->dir;
    int untranslated = old->flags & FLOW_PENDING && answer && w->pkt.hook == HOOK_TO_WORKLOAD;
    /* Whoever began was judged by what this answer's sender allows, and is so again. */
    int was_translated = answer && w->flow.flags & FLOW_PENDING && !(old->flags & FLOW_PENDING);
    /* Only says that this packet is on its way here: who began is as open as without it. */
    int undecided =
        behind_stack && !answer && (old->flags & (FLOW_PENDING | FLOW_JUDGED)) == FLOW_PENDING;
    struct flow_dir here = *toward(w);

    if (undecided)
        w->flags |= WORK_UNDECIDED;
    else
        w->flow.state = old->state;
    if (was_translated)
        w->flow.flags &= ~FLOW_PENDING;
    if (w->flow.flags & FLOW_PENDING && (old->legs || old->flags & FLOW_JUDGED))
        w->flow.flags |= FLOW_JUDGED;
    if (verb_of(old->dir[0].action) == FLOW_DROP)
        return;
    if (untranslated || stays_by_stack || (was_translated && old->flags & FLOW_BY_STACK) ||
        (behind_stack && !(old->flags & FLOW_PENDING))) {
        w->flow.dir[0] = old->dir[0];
        w->flow.dir[1] = old->dir[1];
        /* But not whose tunnel: that node may be gone. Its next packet says so, or is judged. */
        w->flow.flags = old->flags;
        if (!untranslated) {
            toward(w)->in_ifindex = here.in_ifindex;
            toward(w)->action &= ~FLOW_TUNNELLED;
            toward(w)->action |= here.action & FLOW_TUNNELLED;
        }
    }
}

/* Is there an entry, and does it concern this flow? */
static __always_inline void recall(struct work *w)
{
    struct flow *found = bpf_map_lookup_elem(&flows4, &w->key);
    struct flow old;

    w->flow.initiator = (__u8)w->dir;
    if (!found || w->pkt.flags & PACKET_ERROR)
        return;
    __builtin_memcpy(&old, found, sizeof(old));
    barrier();
    if (old.tag != old.tail || old.tag >> 8 != key_mix(&w->key))
        return;
    w->old_owner = owner_of(&old);
    if (!incarnation_lives(&old.src) || !incarnation_lives(&old.dst) || begins_anew(w, &old) ||
        is_foreign_to(w, &old)) {
        w->flags |= WORK_REPLACE;
        return;
    }
    w->flags |= WORK_KNOWN;
    w->flow.initiator = old.initiator & 1;
    /* The host may always speak, but its answer says nothing about a flow it did not begin. */
    if (w->flags & WORK_FROM_HOST && old.initiator != w->dir) {
        w->flags |= WORK_FORGET;
        w->flow.initiator = (__u8)w->dir;
        return;
    }
    merge(w, &old);
}

/* Only the side that begins a flow sends it: no reply to be picked up. */
static __always_inline int is_request(const struct packet *pkt)
{
    return is_pure_syn(pkt) ||
           (pkt->proto == IPPROTO_ICMP && pkt->query && pkt->icmp_type == pkt->query);
}

static __always_inline int in_grace(void)
{
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);

    return cfg && cfg->grace_until && is_ahead(cfg->grace_until, GRACE_SECONDS_MAX);
}

/* What may be remembered, and who may have begun it. */
static __always_inline void classify(struct work *w)
{
    const struct packet *pkt = &w->pkt;
    int mid_tcp = pkt->proto == IPPROTO_TCP && !is_pure_syn(pkt);

    if (pkt->flags & PACKET_ERROR || (pkt->proto == IPPROTO_ICMP && !pkt->query))
        w->flags |= WORK_FORGET;
    if (w->flags & WORK_KNOWN && !(w->flags & WORK_UNDECIDED))
        return;
    if (pkt->proto == IPPROTO_ICMP && pkt->query && pkt->icmp_type != pkt->query)
        w->flags |= WORK_REPLY_TYPE;
    if (pkt->tcp_flags & TCP_RST || (mid_tcp && w->flags & WORK_FROM_HOST))
        w->flags |= WORK_FORGET;
    /* The host's word stands for no policy, so a workload gets it for TCP only. */
    if (mid_tcp || (!(w->flags & WORK_TO_HOST) && in_grace() && !is_request(pkt)))
        w->flags |= WORK_SECOND;
}

static __always_inline enum verdict tail_to_stage(struct __sk_buff *skb, struct work *w,
                                                  __u32 stage)
{
    bpf_tail_call(skb, &stages, stage);
    return drop(&w->pkt, REASON_STAGE_MISSING);
}

/* The next leg's policy; it returns only where its program is missing. */
static __always_inline enum verdict judge_next(struct __sk_buff *skb, struct work *w)
{
    __u32 egress = w->todo & FLOW_LEG_EGRESS;
    __u32 slot = egress ? w->flow.src.slot : w->flow.dst.slot;
    struct endpoint *endpoint;

    if (!w->todo)
        return tail_to_stage(skb, w, STAGE_FORWARD);
    endpoint = bpf_map_lookup_elem(&endpoints, &slot);
    if (!endpoint || !(endpoint->flags & ENDPOINT_UP))
        return drop(&w->pkt, REASON_WORKLOAD_DOWN);
    w->leg = egress ? FLOW_LEG_EGRESS : FLOW_LEG_INGRESS;
    w->todo &= ~w->leg;
    w->judgement.policy = egress ? endpoint->egress_policy : endpoint->ingress_policy;
    w->judgement.next_stage = STAGE_JUDGED;
    w->judgement.verdict = POLICY_UNDECIDED;
    w->judgement.rule = 0;
    w->judgement.log = 0;
    w->pkt.endpoint = slot;
    bpf_tail_call(skb, &policies, w->judgement.policy);
    return drop(&w->pkt, REASON_POLICY_MISSING);
}

static __rare enum verdict prepare(struct __sk_buff *skb, struct work *w, const struct packet *pkt,
                                   __u32 hook)
{
    enum verdict verdict;

    __builtin_memset(w, 0, sizeof(*w));
    w->pkt = *pkt;
    w->source = pkt->saddr;
    w->dir = key_of(pkt, &w->key);
    verdict = plan(skb, w, hook);
    if (verdict != NEXT)
        return verdict;
    recall(w);
    classify(w);
    orient(w, w->flow.initiator);
    return NEXT;
}

/* Returns only when the packet ends here; else a tail call has taken it. */
static __always_inline int judge(struct __sk_buff *skb, struct packet *pkt, __u32 hook)
{
    struct work *w = work();
    enum verdict verdict;

    if (!w)
        return finish(skb, pkt, drop(pkt, REASON_INTERNAL));
    verdict = prepare(skb, w, pkt, hook);
    if (verdict == NEXT)
        verdict = judge_next(skb, w);
    return finish(skb, &w->pkt, verdict);
}

/*
 * Has a change overtaken the judgement, so that the generations it read may be newer than the facts?
 * Then the entry is one of the generation before: who began the flow is known, and the next packet
 * is judged again.
 */
static __always_inline void outdate_if_overtaken(struct work *w)
{
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);

    if (likely(cfg && READ_ONCE(cfg->facts) == w->facts))
        return;
    w->flow.src.generation--;
    w->flow.dst.generation--;
}

/* Writes the entry as a whole, and moves what its endpoint pays for. True when it is there. */
static __always_inline int write_flow(struct work *w, __u64 how)
{
    __u32 owner = owner_of(&w->flow);
    __u32 *held;

    outdate_if_overtaken(w);
    w->flow.last_seen = now();
    w->flow.tag = key_mix(&w->key) << 8 | (bpf_get_prandom_u32() & 0xff);
    w->flow.tail = w->flow.tag;
    if (bpf_map_update_elem(&flows4, &w->key, &w->flow, how)) {
        if (how == BPF_NOEXIST && !bpf_map_lookup_elem(&flows4, &w->key))
            count(REASON_FLOW_TABLE_FULL, 0);
        return 0;
    }
    hot_forget(&w->key);
    if (how == BPF_EXIST && owner == w->old_owner)
        return 1;
    held = bpf_map_lookup_elem(&flow_counts, &owner);
    if (held)
        __sync_fetch_and_add(held, 1);
    if (how != BPF_EXIST)
        return 1;
    held = bpf_map_lookup_elem(&flow_counts, &w->old_owner);
    if (held)
        __sync_fetch_and_add(held, -1);
    return 1;
}

/*
 * A flow that was allowed and is not any more leaves an entry of which every packet drops. Without
 * it, the next packet from the middle of the flow might pick it up in the other orientation.
 */
static __always_inline void entomb(struct work *w)
{
    if (!(w->flags & WORK_KNOWN) || w->flags & WORK_FORGET)
        return;
    set_action(&w->flow.dir[0], FLOW_DROP, 0);
    set_action(&w->flow.dir[1], FLOW_DROP, 0);
    write_flow(w, BPF_EXIST);
}

static __always_inline int budget_allows(const struct work *w)
{
    __u32 zero = 0, owner = owner_of(&w->flow);
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);
    __u32 *held = bpf_map_lookup_elem(&flow_counts, &owner);

    /* Signed: two CPUs that replace one entry may both take it off. */
    if (!cfg || !held || !cfg->flow_budget || (__s32)*held < (__s32)cfg->flow_budget)
        return 1;
    count(REASON_FLOW_BUDGET, 0);
    return 0;
}

static __always_inline void set_state(struct work *w)
{
    int by_initiator = w->flow.initiator == w->dir;

    w->flow.state |= by_initiator ? FLOW_SEEN_INIT : FLOW_SEEN_RESP;
    if (w->pkt.tcp_flags & TCP_FIN)
        w->flow.state |= by_initiator ? FLOW_FIN_INIT : FLOW_FIN_RESP;
    if (w->pkt.tcp_flags & TCP_RST)
        w->flow.state |= FLOW_RST;
}

/* Remembers an allowed flow where it can; the packet passes either way. */
static __always_inline void remember(struct work *w)
{
    int turned = w->flow.initiator != w->dir;

    if (w->flags & WORK_FORGET || (w->flags & WORK_REPLY_TYPE && !turned))
        return;
    set_state(w);
    if (w->flags & (WORK_KNOWN | WORK_REPLACE)) {
        if (write_flow(w, BPF_EXIST))
            count(REASON_FLOW_REJUDGED, 0);
        return;
    }
    if (!budget_allows(w) || !write_flow(w, BPF_NOEXIST))
        return;
    count(w->pkt.proto == IPPROTO_TCP && !is_pure_syn(&w->pkt) ? REASON_FLOW_PICKED_UP
                                                               : REASON_FLOW_CREATED,
          0);
}

/* All orientations are denied. Reported is the first: it is what the packet looks like. */
static __always_inline int denied(struct __sk_buff *skb, struct work *w)
{
    __u32 leg = w->flags & WORK_DENIED ? w->denied_leg : w->leg;

    w->pkt.reason = leg == FLOW_LEG_EGRESS ? REASON_POLICY_EGRESS : REASON_POLICY_INGRESS;
    w->pkt.endpoint = w->denied_endpoint;
    entomb(w);
    report(skb, &w->pkt, EVENT_DROP, w->denied_policy, w->denied_rule);
    return finish_reported(skb, &w->pkt, DROP);
}

/* A workload that began a flow to the host: its egress policy allowed, now the host's word. */
static __always_inline int host_refuses(const struct work *w)
{
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);

    return w->flags & WORK_TO_HOST && w->pkt.hook == HOOK_FROM_WORKLOAD &&
           w->flow.initiator == w->dir && (!cfg || cfg->endpoint_to_host == TO_HOST_DROP);
}

static __always_inline int leg_judged(struct __sk_buff *skb, struct work *w)
{
    if (w->judgement.log)
        report(skb, &w->pkt, EVENT_LOG, w->judgement.policy, w->judgement.log - 1);
    if (w->judgement.verdict == POLICY_ALLOW)
        return finish(skb, &w->pkt, judge_next(skb, w));
    if (!(w->flags & WORK_DENIED)) {
        w->flags |= WORK_DENIED;
        w->denied_leg = w->leg;
        w->denied_policy = w->judgement.policy;
        w->denied_rule = w->judgement.rule;
        w->denied_endpoint = w->pkt.endpoint;
    }
    if (!(w->flags & WORK_SECOND) || w->flags & WORK_TURNED)
        return denied(skb, w);
    w->flags |= WORK_TURNED;
    /* That the host began is a workload's claim until the host sends itself. */
    if (w->flags & WORK_TO_HOST)
        w->flags |= WORK_FORGET;
    orient(w, w->flow.initiator ^ 1);
    return finish(skb, &w->pkt, judge_next(skb, w));
}
