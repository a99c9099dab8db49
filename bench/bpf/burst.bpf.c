// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The two ends of a burst: spray_frame makes every frame anew before it reaches the hook under
// test, catch_frame takes it where that hook sent it.

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/bpf/burst.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct spray);
} spray SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct caught);
} caught SEC(".maps");

static __u16 next_port(struct spray* how)
{
    if (!how->scatter)
        return (__u16)how->next++;
    how->next = how->next * 1664525 + 1013904223;
    return (__u16)(how->next >> 16);
}

SEC("xdp")
int spray_frame(struct xdp_md* xdp)
{
    __u64* frame = (void*)(long)xdp->data;
    __u16* port;
    __u32 zero = 0, at;
    struct spray* how = bpf_map_lookup_elem(&spray, &zero);

    if (!how || (void*)frame + BURST_FRAME > (void*)(long)xdp->data_end)
        return XDP_DROP;
#pragma unroll
    for (int i = 0; i < BURST_FRAME / 8; i++)
        frame[i] = ((const __u64*)how->frame)[i];
    at = how->port_at;
    if (!at)
        return XDP_PASS;
    if (at > BURST_FRAME)
        return XDP_DROP;
    port = (void*)frame + at;
    if ((void*)(port + 1) > (void*)(long)xdp->data_end)
        return XDP_DROP;
    *port = bpf_htons(next_port(how));
    return XDP_PASS;
}

SEC("tc")
int catch_frame(struct __sk_buff* skb)
{
    __u32 zero = 0, length = skb->len;
    struct caught* last = bpf_map_lookup_elem(&caught, &zero);

    if (!last)
        return TC_ACT_SHOT;
    last->frames++;
    last->length = length;
    if (length > 0 && length <= sizeof(last->frame))
        bpf_skb_load_bytes(skb, 0, last->frame, length);
    return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
