// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Uplink, tc ingress: what other nodes and the world send.
// What is no workload's business goes on unchanged but for the mark "seen", and counts as untouched.

#include "bpf/express.h"
#include "bpf/judge.h"

/* A tag of VLAN 0 carries a priority only: the kernel takes the packet for untagged, and so do we. */
static __always_inline int is_of_vlan(const struct __sk_buff *skb)
{
    return skb->vlan_present && (skb->vlan_tci & VLAN_VID_MASK);
}

/* IPv4 to this host without a VLAN; the rest is no workload's. */
static __always_inline int is_for_us(const struct __sk_buff *skb)
{
    return skb->protocol == bpf_htons(ETH_P_IP) && !is_of_vlan(skb) && skb->pkt_type == 0;
}

/* Odd packets that are no workload's business are the host's: it may reassemble what we cannot. */
static __always_inline int concerns_workload(const struct packet *pkt)
{
    struct route *route = route_find(pkt->daddr);

    return route && (route->kind == ROUTE_ENDPOINT || route->kind == ROUTE_BLACKHOLE);
}

/* Step by step, where parse_usual_tunnel() is not sure. */
static __rare enum verdict parse_unusual(struct __sk_buff *skb, struct packet *pkt, int behind_xdp)
{
    enum verdict verdict;

    /* The VLAN's own interface says what it has seen. Here nobody looked at the source. */
    if (is_of_vlan(skb))
        pkt->flags |= PACKET_OF_VLAN;
    if (!is_for_us(skb))
        return untouched(pkt);
    verdict = parse(skb, pkt);
    if (verdict == DROP && !concerns_workload(pkt))
        return untouched(pkt);
    if (verdict != NEXT)
        return verdict;
    if (pkt->proto == IPPROTO_IPIP)
        return parse_inner(skb, pkt);
    if (behind_xdp)
        read_xdp_note(skb, pkt);
    return NEXT;
}

static __always_inline int express_from_tunnel(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_UPLINK, .ifindex = skb->ifindex};

    if (unlikely(!is_for_us(skb) || !parse_usual_tunnel(skb, &pkt)))
        return NOT_EXPRESS;
    return express(skb, &pkt, HOOK_FROM_UPLINK);
}

static __always_inline int receive(struct __sk_buff *skb, int behind_xdp)
{
    struct packet pkt = {.hook = HOOK_FROM_UPLINK, .ifindex = skb->ifindex};
    enum verdict verdict = NEXT;
    struct hit hit = {};

    keep_in_memory(&pkt);
    if (unlikely(!is_for_us(skb) || !parse_usual_tunnel(skb, &pkt)))
        verdict = parse_unusual(skb, &pkt, behind_xdp);
    if (likely(verdict == NEXT)) {
        if (unlikely(!flow_find(skb, &pkt, HOOK_FROM_UPLINK, 0, &hit)))
            return judge(skb, &pkt, HOOK_FROM_UPLINK);
        verdict = act(skb, &pkt, HOOK_FROM_UPLINK, &hit);
    }
    return finish(skb, &pkt, verdict);
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
    int action = express_from_tunnel(skb);

    return likely(action != NOT_EXPRESS) ? action : receive(skb, 0);
}

/* In the place of from_uplink where uplink_xdp runs. Writes nothing to the packet: keep_xdp_note(). */
SEC("tc")
int from_uplink_xdp(struct __sk_buff *skb)
{
    struct packet pkt = {.hook = HOOK_FROM_UPLINK};

    keep_xdp_note(skb);
    bpf_tail_call(skb, &stages, STAGE_UPLINK);
    return finish(skb, &pkt, drop(&pkt, REASON_STAGE_MISSING));
}

SEC("tc")
int uplink_packet(struct __sk_buff *skb)
{
    return receive(skb, 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
