// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Host side of each workload's veth, tc ingress: what workloads send.

#include "bpf/judge.h"

/* ARP is how a workload finds its gateway; of all else, only IPv4 is carried. */
static __always_inline enum verdict admit(struct __sk_buff *skb, struct packet *pkt)
{
    if (likely(skb->protocol == bpf_htons(ETH_P_IP) && !skb->vlan_present && skb->pkt_type == 0))
        return NEXT; /* PACKET_HOST */
    if (skb->vlan_present || skb->protocol == bpf_htons(ETH_P_8021Q) ||
        skb->protocol == bpf_htons(ETH_P_8021AD))
        return drop(pkt, REASON_VLAN);
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return drop(pkt, REASON_NOT_FOR_HOST);
    if (skb->protocol == bpf_htons(ETH_P_ARP))
        return to_stack(skb, pkt, 0);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return drop(pkt, REASON_IPV6);
    return drop(pkt, REASON_ETHERTYPE);
}

SEC("tc")
int from_workload(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_WORKLOAD, .ifindex = skb->ifindex};
    struct hit hit = {};
    enum verdict verdict;

    keep_in_memory(&pkt);
    verdict = admit(skb, &pkt);
    if (likely(verdict == NEXT))
        verdict = parse(skb, &pkt);
    if (likely(verdict == NEXT)) {
        if (unlikely(!flow_find(skb, &pkt, HOOK_FROM_WORKLOAD, 0, &hit)))
            return judge(skb, &pkt, HOOK_FROM_WORKLOAD);
        verdict = act(skb, &pkt, HOOK_FROM_WORKLOAD, &hit);
    }
    return finish(skb, &pkt, verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
