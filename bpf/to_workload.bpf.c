// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Host side of each workload's veth, tc egress: what the host stack gives to workloads.
// Packets of flows that bypass the stack do not come here.

#include "bpf/judge.h"

static __always_inline enum verdict admit(struct __sk_buff *skb, struct packet *pkt)
{
    if (skb->vlan_present)
        return drop(pkt, REASON_VLAN);
    if (skb->protocol == bpf_htons(ETH_P_ARP))
        return pass(pkt, REASON_FROM_STACK);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return drop(pkt, REASON_IPV6);
    if (skb->protocol != bpf_htons(ETH_P_IP))
        return drop(pkt, REASON_ETHERTYPE);
    return NEXT;
}

SEC("tc")
int to_workload(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_TO_WORKLOAD, .ifindex = skb->ingress_ifindex};
    __u32 egress_due = skb->mark & constants.mark_pending;
    struct hit hit = {};
    enum verdict verdict;

    keep_in_memory(&pkt);
    verdict = admit(skb, &pkt);
    if (likely(verdict == NEXT))
        verdict = parse(skb, &pkt);
    if (likely(verdict == NEXT)) {
        /* The host may speak to a workload even where policy cut the workload's own flow. */
        if (!flow_find(skb, &pkt, HOOK_TO_WORKLOAD, egress_due, &hit) ||
            (hit.verb == FLOW_DROP && !pkt.ifindex))
            return judge(skb, &pkt, HOOK_TO_WORKLOAD);
        verdict = act(skb, &pkt, HOOK_TO_WORKLOAD, &hit);
    }
    return finish(skb, &pkt, verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
