// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Uplink, tc egress: what the host stack sends, its own and what it forwards for workloads.
// Frames that our other programs have sent come by again, and leave at the first instruction.

#include "bpf/judge.h"

SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_TO_UPLINK, .ifindex = skb->ingress_ifindex};
    __u32 egress_due = skb->mark & constants.mark_pending;
    struct hit hit = {};
    enum verdict verdict;

    keep_in_memory(&pkt);
    if (skb->mark & constants.mark_done)
        return TC_ACT_UNSPEC;
    if (skb->protocol != bpf_htons(ETH_P_IP))
        return finish(skb, &pkt, untouched(&pkt));
    verdict = parse(skb, &pkt);
    /* What the host itself sends out in odd shapes is its own affair. */
    if (verdict == DROP && !pkt.ifindex)
        verdict = untouched(&pkt);
    if (likely(verdict == NEXT)) {
        if (unlikely(!flow_find(skb, &pkt, HOOK_TO_UPLINK, egress_due, &hit)))
            return judge(skb, &pkt, HOOK_TO_UPLINK);
        verdict = act(skb, &pkt, HOOK_TO_UPLINK, &hit);
    }
    return finish(skb, &pkt, verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
