/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 3, for packets that no fresh entry decides: who sent it, where does it go, whose policies
 * apply? One function a hook. On NEXT, `work` has the two endpoints to be judged and both
 * directions of the entry as it would be.
 *
 * `toward` is the packet's own direction, `back` the answer's. Both go through the host stack, or
 * both bypass it, and that is settled here, by the first packet.
 */
#pragma once

#include "bpf/forward.h"

static __always_inline struct route *route_find(__be32 addr)
{
    struct prefix4_key key = {.prefix_bits = 32, .addr = addr};

    return bpf_map_lookup_elem(&routes4, &key);
}

static __always_inline struct flow_dir *toward(struct work *w)
{
    return &w->flow.dir[w->dir & 1];
}

static __always_inline struct flow_dir *back(struct work *w)
{
    return &w->flow.dir[(w->dir & 1) ^ 1];
}

/*
 * Which of the prefix's paths the flow takes, by its 5-tuple: the same in both directions, and each
 * time it is judged. fib_multipath_hash_policy is about the host's own packets.
 */
static __always_inline __u32 path_slot(const struct work *w, const struct route *route)
{
    return route->slot + (__u32)((__u64)key_mix(&w->key) * route->spread >> KEY_MIX_BITS);
}

/* Where this node accepts IPIP. */
static __always_inline __be32 own_outer_addr(void)
{
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);

    return cfg ? cfg->node_addr : 0;
}

/* The packet's own outer addresses, if it has some, are those of its direction. */
static __always_inline void came_by_tunnel(struct work *w)
{
    if (!(w->pkt.flags & PACKET_TUNNEL))
        return;
    toward(w)->action |= FLOW_TUNNELLED;
    w->flow.tunnel.outer_saddr = w->pkt.outer_saddr;
    w->flow.tunnel.outer_daddr = own_outer_addr();
}

/* Answers will come by the node's tunnel. Of external nodes the answer itself says the address. */
static __always_inline void answered_by_tunnel(struct work *w, __u32 slot)
{
    struct node *node = bpf_map_lookup_elem(&nodes, &slot);

    back(w)->action |= FLOW_TUNNELLED;
    w->flow.tunnel.outer_saddr = node ? node->addr : 0;
    w->flow.tunnel.outer_daddr = own_outer_addr();
}

static __always_inline __u32 endpoint_ifindex(__u32 slot)
{
    struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

    return endpoint ? endpoint->ifindex : 0;
}

/* Both directions by the stack; slots stay as planned. `back_in`: where answers enter. */
static __always_inline void plan_by_stack(struct work *w, __u32 back_in)
{
    set_action(toward(w), FLOW_STACK, out_of(toward(w)->action));
    toward(w)->in_ifindex = w->pkt.ifindex;
    came_by_tunnel(w);
    set_action(back(w), FLOW_STACK, out_of(back(w)->action));
    back(w)->in_ifindex = back_in;
    w->flow.flags |= FLOW_BY_STACK;
}

/* To a local workload, past the stack; answers come from its interface. */
static __always_inline void plan_deliver(struct work *w, __u32 slot)
{
    set_action(toward(w), FLOW_DELIVER, slot);
    toward(w)->in_ifindex = w->pkt.ifindex;
    came_by_tunnel(w);
    back(w)->in_ifindex = endpoint_ifindex(slot);
    w->slots[1] = slot;
}

/* Which workload is on the interface? */
static __always_inline __u32 workload_on(__u32 ifindex)
{
    struct workload *workload = bpf_map_lookup_elem(&workloads, &ifindex);

    return workload ? workload->slot : ENDPOINT_NONE;
}

/* The endpoint must be up and on this very interface: slots are reused. */
static __always_inline struct endpoint *endpoint_up(__u32 slot, __u32 ifindex)
{
    struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

    if (!endpoint || !(endpoint->flags & ENDPOINT_UP) || endpoint->ifindex != ifindex)
        return 0;
    return endpoint;
}

/* What a workload may send at all, whatever its policies say. */
static __always_inline enum verdict workload_may_send(struct packet *pkt, const struct config *cfg)
{
    struct route *source;

    if (pkt->proto == IPPROTO_IPIP && !(cfg->flags & CONFIG_IPIP_FROM_WORKLOADS))
        return drop(pkt, REASON_IPIP_FROM_WORKLOAD);
    if (pkt->proto == IPPROTO_UDP && cfg->vxlan_port && pkt->dport == cfg->vxlan_port &&
        !(cfg->flags & CONFIG_VXLAN_FROM_WORKLOADS))
        return drop(pkt, REASON_VXLAN_FROM_WORKLOAD);
    source = route_find(pkt->saddr);
    if (!source || source->kind != ROUTE_ENDPOINT || source->slot != pkt->endpoint)
        return drop(pkt, REASON_SOURCE_SPOOFED);
    return NEXT;
}

static __always_inline enum verdict plan_from_workload(struct work *w, const struct config *cfg)
{
    struct packet *pkt = &w->pkt;
    struct route *route;
    struct path *path;
    __u32 slot;

    pkt->endpoint = workload_on(pkt->ifindex);
    if (!pkt->endpoint)
        return drop(pkt, REASON_UNKNOWN_WORKLOAD);
    if (!endpoint_up(pkt->endpoint, pkt->ifindex))
        return drop(pkt, REASON_WORKLOAD_DOWN);
    if (workload_may_send(pkt, cfg) == DROP)
        return DROP;
    w->slots[0] = pkt->endpoint;
    set_action(back(w), FLOW_DELIVER, pkt->endpoint);
    route = route_find(pkt->daddr);
    switch (route ? route->kind : ROUTE_OUTSIDE) {
    case ROUTE_OUTSIDE:
        plan_by_stack(w, FLOW_IN_STACK);
        w->flow.flags |= FLOW_PENDING;
        return NEXT;
    case ROUTE_HOST:
        w->flags |= WORK_TO_HOST;
        plan_by_stack(w, 0);
        return NEXT;
    case ROUTE_ENDPOINT:
        plan_deliver(w, route->slot);
        return NEXT;
    case ROUTE_REMOTE:
        slot = path_slot(w, route);
        path = bpf_map_lookup_elem(&paths, &slot);
        if (!path || path->kind == PATH_NONE)
            return drop(pkt, REASON_NO_PATH);
        set_action(toward(w), FLOW_REMOTE, slot);
        toward(w)->in_ifindex = pkt->ifindex;
        back(w)->in_ifindex = path->ifindex;
        if (path->kind == PATH_ENCAP)
            answered_by_tunnel(w, route->node);
        return NEXT;
    case ROUTE_BLACKHOLE:
        return drop(pkt, REASON_NO_ENDPOINT);
    default:
        return drop(pkt, REASON_NO_ROUTE);
    }
}

/* May this node send this inner source? */
static __always_inline int node_owns(const struct packet *pkt, const struct route *source)
{
    __u32 slot = pkt->node;
    struct node *node = bpf_map_lookup_elem(&nodes, &slot);

    if (!node)
        return 0;
    if (pkt->saddr == pkt->outer_saddr)
        return 1;
    if (source && source->node == slot)
        return 1;
    return node->flags & NODE_EXTERNAL && (!source || source->kind == ROUTE_OUTSIDE);
}

/* The sender of a tunnel packet, as it is known now: XDP may have found it a while ago. */
static __always_inline enum verdict tunnel_sender(struct packet *pkt, const struct config *cfg)
{
    struct prefix4_key key = {.prefix_bits = 32, .addr = pkt->outer_saddr};
    struct node4 *node;

    if (!(cfg->flags & CONFIG_IPIP))
        return drop(pkt, REASON_TUNNEL_OTHER_DST);
    if (pkt->outer_len && pkt->outer_daddr != cfg->node_addr)
        return drop(pkt, REASON_TUNNEL_OTHER_DST);
    node = bpf_map_lookup_elem(&nodes4, &key);
    if (!node || !node->slot)
        return drop(pkt, REASON_TUNNEL_UNKNOWN_NODE);
    pkt->node = node->slot;
    return NEXT;
}

static __always_inline enum verdict plan_from_tunnel(struct work *w, const struct config *cfg)
{
    struct packet *pkt = &w->pkt;
    struct route *source, *route;

    if (tunnel_sender(pkt, cfg) == DROP)
        return DROP;
    source = route_find(pkt->saddr);
    if (!node_owns(pkt, source))
        return drop(pkt, REASON_TUNNEL_SPOOFED);
    route = route_find(pkt->daddr);
    switch (route ? route->kind : ROUTE_OUTSIDE) {
    case ROUTE_HOST:
        w->flags |= WORK_TO_HOST | WORK_FORGET;
        plan_by_stack(w, 0);
        return NEXT;
    case ROUTE_ENDPOINT:
        plan_deliver(w, route->slot);
        if (source && source->kind == ROUTE_REMOTE) {
            set_action(back(w), FLOW_REMOTE, path_slot(w, source));
            return NEXT;
        }
        /* A sender without route: the stack knows the way back, so it has both directions. */
        plan_by_stack(w, back(w)->in_ifindex);
        return NEXT;
    case ROUTE_BLACKHOLE:
        return drop(pkt, REASON_NO_ENDPOINT);
    default:
        return drop(pkt, REASON_TUNNEL_NOT_LOCAL);
    }
}

/*
 * A plain packet's source may be anything but what must come in a tunnel, or is here. A pool's
 * address that no node holds is a lie to workloads only: where the pool overlaps the host's own
 * network, its neighbours have such addresses.
 */
static __always_inline int plain_source_is_false(const struct route *source, int to_workload)
{
    if (!source || (source->kind == ROUTE_NONE && !to_workload))
        return 0;
    return source->flags & ROUTE_TUNNELLED || source->kind == ROUTE_ENDPOINT ||
           source->kind == ROUTE_BLACKHOLE || (to_workload && source->kind == ROUTE_HOST);
}

static __always_inline enum verdict plan_from_link(struct work *w)
{
    struct packet *pkt = &w->pkt;
    struct route *source = route_find(pkt->saddr);
    struct route *route = route_find(pkt->daddr);
    __u32 kind = route ? route->kind : ROUTE_OUTSIDE;

    if (plain_source_is_false(source, kind == ROUTE_ENDPOINT))
        return drop(pkt, REASON_PLAIN_POD_SOURCE);
    if (kind == ROUTE_BLACKHOLE)
        return drop(pkt, REASON_NO_ENDPOINT);
    if (kind != ROUTE_ENDPOINT)
        return untouched(pkt);
    plan_deliver(w, route->slot);
    if (source && source->kind == ROUTE_REMOTE) {
        set_action(back(w), FLOW_REMOTE, path_slot(w, source));
        return NEXT;
    }
    plan_by_stack(w, back(w)->in_ifindex);
    return NEXT;
}

/*
 * Behind the stack: was the egress of a workload's packet judged where it came in? Only a packet
 * without "pending" that one of our programs let in says so.
 */
static __always_inline int egress_was_judged(const struct __sk_buff *skb)
{
    return (skb->mark & (constants.mark_seen | constants.mark_pending)) == constants.mark_seen;
}

/* Where a workload's egress is due behind the stack: its slot, and the address it has there. */
static __always_inline void plan_due_egress(const struct __sk_buff *skb, struct work *w)
{
    __u32 slot = w->pkt.ifindex ? workload_on(w->pkt.ifindex) : ENDPOINT_NONE;
    struct endpoint *endpoint;
    struct route *source;

    if (!slot || egress_was_judged(skb))
        return;
    w->slots[0] = slot;
    source = route_find(w->pkt.saddr);
    endpoint = bpf_map_lookup_elem(&endpoints, &slot);
    if (endpoint && (!source || source->kind != ROUTE_ENDPOINT || source->slot != slot))
        w->source = endpoint->addr;
}

static __always_inline enum verdict plan_to_workload(struct __sk_buff *skb, struct work *w)
{
    struct packet *pkt = &w->pkt;

    pkt->endpoint = workload_on(skb->ifindex);
    if (!pkt->endpoint)
        return drop(pkt, REASON_UNKNOWN_WORKLOAD);
    if (!endpoint_up(pkt->endpoint, skb->ifindex))
        return drop(pkt, REASON_WORKLOAD_DOWN);
    w->slots[1] = pkt->endpoint;
    plan_by_stack(w, skb->ifindex);
    set_action(toward(w), FLOW_STACK, 0);
    if (!pkt->ifindex)
        w->flags |= WORK_FROM_HOST;
    plan_due_egress(skb, w);
    return NEXT;
}

static __always_inline enum verdict plan_to_uplink(struct __sk_buff *skb, struct work *w)
{
    struct packet *pkt = &w->pkt;
    struct route *route = route_find(pkt->daddr);
    __u32 remote = route && route->kind == ROUTE_REMOTE;
    struct hit hit = {.verb = FLOW_STACK, .out = remote ? path_slot(w, route) : 0};
    __u32 slot = hit.out;
    struct path *path = bpf_map_lookup_elem(&paths, &slot);

    plan_due_egress(skb, w);
    if (!w->slots[0]) {
        if (!remote)
            return untouched(pkt);
        return act(skb, pkt, HOOK_TO_UPLINK, &hit);
    }
    pkt->endpoint = w->slots[0];
    plan_by_stack(w, skb->ifindex);
    set_action(toward(w), FLOW_STACK, slot);
    if (remote && path && path->kind == PATH_ENCAP)
        answered_by_tunnel(w, route->node);
    return NEXT;
}

/* `hook` is a constant where this is inlined: each object carries its own hook's plan only. */
static __always_inline enum verdict plan(struct __sk_buff *skb, struct work *w, __u32 hook)
{
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);

    if (!cfg)
        return drop(&w->pkt, REASON_INTERNAL);
    w->facts = READ_ONCE(cfg->facts);
    barrier();
    switch (hook) {
    case HOOK_FROM_WORKLOAD:
        return plan_from_workload(w, cfg);
    case HOOK_TO_WORKLOAD:
        return plan_to_workload(skb, w);
    case HOOK_FROM_UPLINK:
        if (w->pkt.flags & PACKET_TUNNEL)
            return plan_from_tunnel(w, cfg);
        if (w->pkt.proto == IPPROTO_ICMP && w->pkt.icmp_type == ICMP_DEST_UNREACH &&
            w->pkt.icmp_code == ICMP_FRAG_NEEDED)
            pmtu_learn(skb, &w->pkt, cfg);
        return plan_from_link(w);
    default:
        return plan_to_uplink(skb, w);
    }
}
