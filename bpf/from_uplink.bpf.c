// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Uplink, tc ingress: what other nodes and the world send.
// What is no workload's business goes on unchanged but for the mark "seen", and counts as untouched.

#include "bpf/judge.h"

static __always_inline enum verdict admit(struct __sk_buff *skb, struct packet *pkt)
{
    set_mark(skb, constants.mark_seen);
    if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || skb->pkt_type != 0)
        return untouched(pkt);
    return NEXT;
}

/* Odd packets that are no workload's business are the host's: it may reassemble what we cannot. */
static __always_inline int concerns_workload(const struct packet *pkt)
{
    struct route *route = route_find(pkt->daddr);

    return route && (route->kind == ROUTE_ENDPOINT || route->kind == ROUTE_BLACKHOLE);
}

/* Writes nothing to the packet: see keep_xdp_note(). */
SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_UPLINK};

    keep_xdp_note(skb);
    bpf_tail_call(skb, &stages, STAGE_UPLINK);
    return finish(skb, &pkt, drop(&pkt, REASON_STAGE_MISSING));
}

SEC("tc")
int uplink_packet(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_UPLINK, .ifindex = skb->ifindex};
    struct hit hit = {};
    enum verdict verdict;

    keep_in_memory(&pkt);
    verdict = admit(skb, &pkt);
    if (likely(verdict == NEXT))
        verdict = parse(skb, &pkt);
    if (verdict == DROP && !concerns_workload(&pkt))
        verdict = untouched(&pkt);
    if (likely(verdict == NEXT && pkt.proto == IPPROTO_IPIP))
        verdict = parse_inner(skb, &pkt);
    else if (verdict == NEXT)
        read_xdp_note(skb, &pkt);
    if (likely(verdict == NEXT)) {
        if (unlikely(!flow_find(skb, &pkt, HOOK_FROM_UPLINK, 0, &hit)))
            return judge(skb, &pkt, HOOK_FROM_UPLINK);
        verdict = act(skb, &pkt, HOOK_FROM_UPLINK, &hit);
    }
    return finish(skb, &pkt, verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
