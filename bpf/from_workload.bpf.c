// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Host side of each workload's veth, tc ingress: what workloads send.

#include "bpf/express.h"
#include "bpf/judge.h"

static __always_inline int is_plain(const struct __sk_buff *skb)
{
    return skb->protocol == bpf_htons(ETH_P_IP) && !skb->vlan_present &&
           skb->pkt_type == 0; /* PACKET_HOST */
}

/* ARP is how a workload finds its gateway; of all else, only IPv4 is carried. */
static __always_inline enum verdict admit(struct __sk_buff *skb, struct packet *pkt)
{
    if (likely(is_plain(skb)))
        return NEXT;
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

static __always_inline int express_from_workload(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_WORKLOAD, .ifindex = skb->ifindex};

    if (unlikely(!is_plain(skb) || !parse_usual_frame(skb, &pkt)))
        return NOT_EXPRESS;
    return express(skb, &pkt, HOOK_FROM_WORKLOAD);
}

static __always_inline int from_workload_in_memory(struct __sk_buff *skb)
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

SEC("tc")
int from_workload(struct __sk_buff *skb)
{
    int action = express_from_workload(skb);

    return likely(action != NOT_EXPRESS) ? action : from_workload_in_memory(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
