/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPIP as it arrives: reading both headers, who may send it, and taking the outer one off.
 *
 * The outer header is read and kept in struct packet, then the inner packet takes its place there;
 * the frame changes only in decapsulate(). Where XDP has removed the outer header already, it left
 * the sender's address in the frame's metadata (bpf/uplink_xdp.bpf.c).
 */
#pragma once

#include "bpf/parse.h"

/*
 * The note goes through skb->cb. A program that writes to packets begins with code of the kernel's
 * that unshares the frame, and with it the metadata is gone: a sniffer on the link is enough. So a
 * program that writes nothing reads it first.
 */
static __always_inline void keep_xdp_note(struct __sk_buff *skb)
{
    const struct xdp_note *note = (void *)(long)skb->data_meta;

    skb->cb[0] = 0;
    if ((const void *)(note + 1) > data_of(skb) || note->magic != XDP_NOTE_MAGIC)
        return;
    skb->cb[0] = note->magic;
    skb->cb[1] = note->outer_saddr;
}

static __always_inline void read_xdp_note(const struct __sk_buff *skb, struct packet *pkt)
{
    if (skb->cb[0] != XDP_NOTE_MAGIC)
        return;
    pkt->flags |= PACKET_TUNNEL;
    pkt->outer_saddr = skb->cb[1];
}

/* Outer and inner header of the usual shape; else 0, and `pkt` is to be parsed step by step. */
static __always_inline int parse_usual_tunnel(const struct __sk_buff *skb, struct packet *pkt)
{
    const struct iphdr *outer = data_of(skb) + ETH_HLEN;
    __u32 length;

    if (unlikely((const void *)(outer + 1) + USUAL_BYTES > data_end_of(skb)))
        return 0;
    length = bpf_ntohs(outer->tot_len);
    if (unlikely(outer->protocol != IPPROTO_IPIP || !is_usual_header(outer) ||
                 length < sizeof(*outer) || length > skb->len - ETH_HLEN))
        return 0;
    if (unlikely(!parse_usual(pkt, outer + 1, ETH_HLEN + sizeof(*outer), length - sizeof(*outer))))
        return 0;
    pkt->outer_saddr = outer->saddr;
    pkt->outer_daddr = outer->daddr;
    pkt->outer_tos = outer->tos;
    pkt->outer_len = sizeof(*outer);
    pkt->flags = PACKET_TUNNEL;
    return 1;
}

/* `pkt` describes the outer packet, protocol 4; on NEXT it describes the inner one. */
static __always_inline enum verdict parse_inner(struct __sk_buff *skb, struct packet *pkt)
{
    __u32 outer_length = pkt->length;
    __u32 outer_len = pkt->headers & 0x3c; /* for the verifier: a multiple of 4, below 64 */
    enum parsed parsed;

    pkt->outer_saddr = pkt->saddr;
    if (unlikely(pkt->flags & PACKET_FRAGMENT))
        return drop(pkt, REASON_TUNNEL_FRAGMENT);
    pkt->outer_daddr = pkt->daddr;
    pkt->outer_tos = pkt->tos;
    pkt->outer_len = (__u16)outer_len;
    pkt->flags |= PACKET_TUNNEL;
    parsed = parse_ipv4(skb, pkt, ETH_HLEN + outer_len);
    if (unlikely(parsed == PARSED_SHORT) && pull(skb))
        parsed = parse_ipv4(skb, pkt, ETH_HLEN + outer_len);
    if (unlikely(parsed != PARSED))
        return drop(pkt, REASON_TUNNEL_TRUNCATED);
    /* An offloaded frame's outer length has no room for 64 KiB and the header. */
    if (unlikely(pkt->length + outer_len > outer_length) && !skb->gso_size)
        return drop(pkt, REASON_TUNNEL_TRUNCATED);
    if (unlikely(pkt->proto == IPPROTO_IPIP))
        return drop(pkt, REASON_TUNNEL_NESTED);
    if (unlikely(pkt->flags & PACKET_FRAGMENT))
        return parse_fragment(skb, pkt);
    return NEXT;
}

/*
 * RFC 6040 4.2, decapsulation: the ECN field that the inner packet gets, or a value above 3 to
 * drop. Congestion seen in the tunnel is told to a flow that can hear it, and drops others.
 */
static __always_inline __u32 ecn_after(__u32 inner, __u32 outer)
{
    if (outer == 3)
        return inner ? 3 : 4;
    if (outer == 1 && inner == 2)
        return 1;
    return inner;
}

static __always_inline void set_tos(struct iphdr *ip, __u8 tos)
{
    __u32 sum = (__u16)~ip->check;

    /* The checksum's first word is version, length and tos. */
    sum += (__u16) ~*(__be16 *)ip;
    ip->tos = tos;
    sum += *(__be16 *)ip;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip->check = (__u16)~sum;
}

/*
 * Takes the outer header off. FIXED_GSO: without it the kernel lets gso_size grow past the path,
 * and refuses UDP offload. NO_CSUM_RESET: IPIP has no checksum of its own, so what the NIC
 * verified is the inner transport's.
 */
static __always_inline enum verdict decapsulate(struct __sk_buff *skb, struct packet *pkt)
{
    __u32 ecn = pkt->tos & 3;
    struct iphdr *ip;

    if (!pkt->outer_len)
        return NEXT;
    if (unlikely(ecn != (pkt->outer_tos & 3)))
        ecn = ecn_after(ecn, pkt->outer_tos & 3);
    if (unlikely(ecn > 3))
        return drop(pkt, REASON_TUNNEL_ECN);
    if (unlikely(bpf_skb_adjust_room(skb, -(__s32)pkt->outer_len, BPF_ADJ_ROOM_MAC,
                                     BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)))
        return drop(pkt, REASON_INTERNAL);
    pkt->l3 = ETH_HLEN;
    pkt->l4 -= pkt->outer_len;
    pkt->outer_len = 0;
    if (likely(ecn == (pkt->tos & 3u)))
        return NEXT;
    ip = data_of(skb) + ETH_HLEN;
    if ((void *)(ip + 1) > data_end_of(skb))
        return drop(pkt, REASON_INTERNAL);
    pkt->tos = (__u8)((pkt->tos & ~3u) | ecn);
    set_tos(ip, pkt->tos);
    return NEXT;
}
