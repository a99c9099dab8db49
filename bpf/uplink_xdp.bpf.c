// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Uplink, XDP: takes the outer header off tunnel packets of known nodes.
//
// It judges nothing and drops nothing. A packet that it is sure of goes up decapsulated, with the
// sender's address in the metadata; everything else goes up as it came. from_uplink judges both,
// so every reason has one home. A driver without metadata keeps decapsulation on tc.

#include "bpf/tunnel.h"

static __always_inline int is_from_known_node(const struct iphdr *outer)
{
    struct prefix4_key key = {.prefix_bits = 32, .addr = outer->saddr};
    __u32 zero = 0;
    struct config *cfg = bpf_map_lookup_elem(&config, &zero);
    struct node4 *node;

    if (!cfg || !(cfg->flags & CONFIG_IPIP) || outer->daddr != cfg->node_addr)
        return 0;
    node = bpf_map_lookup_elem(&nodes4, &key);
    return node && node->slot;
}

/* Only the plain case: no options outside, no fragment, a whole IPv4 packet inside. */
static __always_inline int is_sound(const struct iphdr *outer, const void *end)
{
    const struct iphdr *inner = outer + 1;

    if ((const void *)(inner + 1) > end)
        return 0;
    return *(const __u8 *)outer == 0x45 && outer->protocol == IPPROTO_IPIP &&
           !(outer->frag_off & bpf_htons(IP_OFFSET | IP_FLAG_MF)) &&
           (*(const __u8 *)inner >> 4) == 4 && inner->protocol != IPPROTO_IPIP &&
           bpf_ntohs(inner->tot_len) + sizeof(*outer) <= bpf_ntohs(outer->tot_len) &&
           (outer->tos & 3) == (inner->tos & 3);
}

SEC("xdp")
int uplink_xdp(struct xdp_md *xdp)
{
    struct ethhdr *eth = (void *)(long)xdp->data, saved;
    struct iphdr *outer = (void *)(eth + 1);
    struct xdp_note note = {.magic = XDP_NOTE_MAGIC};
    struct xdp_note *meta;

    if ((void *)(outer + 2) > (void *)(long)xdp->data_end || eth->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    if (!is_sound(outer, (void *)(long)xdp->data_end))
        return XDP_PASS;
    if (!is_from_known_node(outer))
        return XDP_PASS;
    note.outer_saddr = outer->saddr;
    saved = *eth;
    if (bpf_xdp_adjust_meta(xdp, -(int)sizeof(note)))
        return XDP_PASS;
    if (bpf_xdp_adjust_head(xdp, sizeof(*outer)))
        return XDP_ABORTED;
    eth = (void *)(long)xdp->data;
    meta = (void *)(long)xdp->data_meta;
    if ((void *)(eth + 1) > (void *)(long)xdp->data_end || (void *)(meta + 1) > (void *)eth)
        return XDP_ABORTED;
    *eth = saved;
    *meta = note;
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
