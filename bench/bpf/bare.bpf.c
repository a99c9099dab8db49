// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Floors: programs that only do nothing, put an outer header on, or take one off. No lookups, no
// policy, no state; what ours cost above these is what ours add.

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/net.h"

SEC("tc")
int noop(struct __sk_buff* skb __attribute__((unused)))
{
    return TC_ACT_OK;
}

SEC("tc")
int bare_encap(struct __sk_buff* skb)
{
    struct iphdr* outer;
    struct ethhdr* eth;

    if (bpf_skb_adjust_room(skb, sizeof(*outer), BPF_ADJ_ROOM_MAC,
                            BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4))
        return TC_ACT_SHOT;
    eth = (void*)(long)skb->data;
    outer = (void*)(eth + 1);
    if ((void*)(outer + 1) > (void*)(long)skb->data_end)
        return TC_ACT_SHOT;
    *(__u8*)outer = 0x45;
    outer->tos = 0;
    outer->tot_len = bpf_htons((__u16)(skb->len - sizeof(*eth)));
    outer->id = 0;
    outer->frag_off = 0;
    outer->ttl = 64;
    outer->protocol = IPPROTO_IPIP;
    outer->saddr = bpf_htonl(0x0a000001);
    outer->daddr = bpf_htonl(0x0a000002);
    outer->check = 0;
    return bpf_redirect(skb->ifindex, 0);
}

SEC("tc")
int bare_decap(struct __sk_buff* skb)
{
    if (bpf_skb_adjust_room(skb, -(int)sizeof(struct iphdr), BPF_ADJ_ROOM_MAC,
                            BPF_F_ADJ_ROOM_FIXED_GSO))
        return TC_ACT_SHOT;
    return bpf_redirect_peer(skb->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
