/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage 1: from headers to struct packet. The only code that reads headers of packets.
 *
 * Reads linear data only; parse() pulls it once where a header is not there. Transport headers of
 * later fragments come from "frags4", so that every later stage sees whole packets.
 */
#pragma once

#include <bpf/bpf_endian.h>

#include "bpf/finish.h"
#include "bpf/net.h"

#define PULL_BYTES 256 /* all headers that are read: two IP, a quoted one, transport */

/* Outcome of reading: data that is not linear may be pulled, then read again. */
enum parsed { PARSED, PARSED_SHORT, PARSED_BAD };

static __always_inline void *data_of(const struct __sk_buff *skb)
{
    return (void *)(long)skb->data;
}

/* At most 14 + 60 + 60; the mask is for the verifier, which forgets that across tail calls. */
static __always_inline __u32 l4_of(const struct packet *pkt)
{
    return pkt->l4 & 0xff;
}

static __always_inline void *data_end_of(const struct __sk_buff *skb)
{
    return (void *)(long)skb->data_end;
}

static __always_inline __u32 header_length(const struct iphdr *ip)
{
    return (__u32)(*(const __u8 *)ip & 0x0f) * 4;
}

/* A transport header as far as it is read: 8 bytes, TCP 20. */
static __always_inline __u32 transport_length(__u8 proto)
{
    switch (proto) {
    case IPPROTO_TCP:
        return 20;
    case IPPROTO_UDP:
    case IPPROTO_ICMP:
    case PROTO_SCTP:
    case PROTO_UDPLITE:
        return 8;
    default:
        return 0;
    }
}

static __always_inline int has_ports(__u8 proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == PROTO_SCTP ||
           proto == PROTO_UDPLITE;
}

static __always_inline int is_icmp_error(__u8 type)
{
    return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB ||
           type == ICMP_SOURCE_QUENCH;
}

/* The ports of a query or its answer, as struct flow_key wants them. Others have none. */
static __always_inline void icmp_ports(__u8 type, __be16 id, __be16 *sport, __be16 *dport,
                                       __u8 *query)
{
    *sport = 0;
    *dport = 0;
    *query = 0;
    if (type == ICMP_ECHO || type == ICMP_TIMESTAMP) {
        *sport = id;
        *query = type;
    } else if (type == ICMP_ECHOREPLY) {
        *dport = id;
        *query = ICMP_ECHO;
    } else if (type == ICMP_TIMESTAMPREPLY) {
        *dport = id;
        *query = ICMP_TIMESTAMP;
    }
}

/* `l4` is checked for transport_length(proto) bytes. */
static __always_inline enum parsed parse_transport(struct packet *pkt, const void *l4)
{
    const __be16 *ports = l4;
    const __u8 *bytes = l4;

    if (has_ports(pkt->proto)) {
        pkt->sport = ports[0];
        pkt->dport = ports[1];
    }
    if (pkt->proto == IPPROTO_TCP) {
        __u32 length = (__u32)(bytes[12] >> 4) * 4;

        if (unlikely(length < 20 || pkt->headers + length > pkt->length))
            return PARSED_BAD;
        pkt->tcp_flags = bytes[13];
        pkt->headers += length;
        return PARSED;
    }
    if (unlikely(pkt->proto == IPPROTO_ICMP)) {
        pkt->icmp_type = bytes[0];
        pkt->icmp_code = bytes[1];
        icmp_ports(bytes[0], ports[2], &pkt->sport, &pkt->dport, &pkt->query);
        if (is_icmp_error(bytes[0]))
            pkt->flags |= PACKET_ERROR;
    }
    pkt->headers += transport_length(pkt->proto);
    return PARSED;
}

/* Offload hands over packets of up to 64 KiB and more; their length field may be 0. */
static __always_inline __u32 total_length(const struct __sk_buff *skb, const struct iphdr *ip,
                                          __u32 l3)
{
    __u32 length = bpf_ntohs(ip->tot_len);

    if (unlikely(!length && skb->gso_size))
        return skb->len - l3;
    return length;
}

static __always_inline enum parsed parse_ipv4(const struct __sk_buff *skb, struct packet *pkt,
                                              __u32 l3)
{
    const struct iphdr *ip = data_of(skb) + l3;
    const void *end = data_end_of(skb);
    const void *l4;
    __u32 ihl, length;
    __u16 offset;

    if (unlikely((const void *)(ip + 1) > end))
        return PARSED_SHORT;
    ihl = header_length(ip);
    if (unlikely((*(const __u8 *)ip >> 4) != 4 || ihl < sizeof(*ip)))
        return PARSED_BAD;
    pkt->l3 = (__u16)l3;
    pkt->l4 = (__u16)(l3 + ihl);
    pkt->headers = (__u16)ihl;
    length = total_length(skb, ip, l3);
    /* A length of 0 is below `ihl`: kernel 6.1 does not see it, and goes on with an ihl of 20..0. */
    if (unlikely(length < sizeof(*ip)))
        return PARSED_BAD;
    asm volatile("" : "+r"(length));
    pkt->length = length;
    if (unlikely(pkt->length < ihl || l3 + pkt->length > skb->len))
        return PARSED_BAD;
    pkt->saddr = ip->saddr;
    pkt->daddr = ip->daddr;
    pkt->proto = ip->protocol;
    pkt->ttl = ip->ttl;
    pkt->tos = ip->tos;
    pkt->id = ip->id;
    pkt->frag_off = ip->frag_off;
    offset = bpf_ntohs(ip->frag_off);
    if (unlikely(offset & (IP_OFFSET | IP_FLAG_MF)))
        pkt->flags |= PACKET_FRAGMENT;
    if (unlikely(offset & IP_OFFSET)) {
        /* A second fragment that would overwrite ports or flags of the first (RFC 1858). */
        if ((offset & IP_OFFSET) == 1)
            return PARSED_BAD;
        pkt->flags |= PACKET_LATER;
        return PARSED;
    }
    if (unlikely(pkt->length < ihl + transport_length(pkt->proto)))
        return PARSED_BAD;
    l4 = (const void *)ip + ihl;
    if (unlikely(l4 + transport_length(pkt->proto) > end))
        return PARSED_SHORT;
    /* Said again as a constant: the verifier follows no bound that depends on `proto`. */
    if (unlikely(pkt->proto == IPPROTO_TCP ? l4 + 20 > end
                                           : transport_length(pkt->proto) && l4 + 8 > end))
        return PARSED_SHORT;
    if (!transport_length(pkt->proto))
        return PARSED;
    return parse_transport(pkt, l4);
}

/*
 * Nearly every packet: TCP or UDP, no options, no fragment. Read at constant offsets and with one
 * check of bounds, the caller's: ip and 20 bytes after it. Whatever differs, even by an error, is
 * parse_ipv4()'s, and 0 here. `limit`: bytes that the IP packet may have.
 */
#define USUAL_BYTES (sizeof(struct iphdr) + 20)

static __always_inline int is_usual_header(const struct iphdr *ip)
{
    return *(const __u8 *)ip == 0x45 && !(ip->frag_off & bpf_htons(IP_OFFSET | IP_FLAG_MF));
}

static __always_inline int parse_usual(struct packet *pkt, const struct iphdr *ip, __u32 l3,
                                       __u32 limit)
{
    const __u8 *l4 = (const __u8 *)(ip + 1);
    __u32 length = bpf_ntohs(ip->tot_len);
    __u32 headers = sizeof(*ip) + 8;
    __u8 proto = ip->protocol;

    if (unlikely(!is_usual_header(ip) || length < USUAL_BYTES || length > limit))
        return 0;
    if (proto == IPPROTO_TCP) {
        headers = sizeof(*ip) + (__u32)(l4[12] >> 4) * 4;
        if (unlikely(headers < USUAL_BYTES || headers > length))
            return 0;
        pkt->tcp_flags = l4[13];
    } else if (unlikely(proto != IPPROTO_UDP)) {
        return 0;
    }
    pkt->proto = proto;
    pkt->saddr = ip->saddr;
    pkt->daddr = ip->daddr;
    pkt->sport = ((const __be16 *)l4)[0];
    pkt->dport = ((const __be16 *)l4)[1];
    pkt->ttl = ip->ttl;
    pkt->tos = ip->tos;
    pkt->id = ip->id;
    pkt->frag_off = ip->frag_off;
    pkt->l3 = (__u16)l3;
    pkt->l4 = (__u16)(l3 + sizeof(*ip));
    pkt->headers = (__u16)headers;
    pkt->length = length;
    return 1;
}

static __always_inline void frag_key(const struct __sk_buff *skb, const struct packet *pkt,
                                     struct frag4_key *key)
{
    *key = (struct frag4_key){
        .saddr = pkt->saddr,
        .daddr = pkt->daddr,
        .ifindex = skb->ifindex,
        .id = pkt->id,
        .proto = pkt->proto,
    };
}

/* The first fragment leaves its ports behind; later ones take them, or drop. */
static __always_inline enum verdict parse_fragment(const struct __sk_buff *skb, struct packet *pkt)
{
    struct frag4_key key;
    struct frag4 *first;

    frag_key(skb, pkt, &key);
    if (!(pkt->flags & PACKET_LATER)) {
        struct frag4 seen = {
            .sport = pkt->sport,
            .dport = pkt->dport,
            .icmp_type = pkt->icmp_type,
            .icmp_code = pkt->icmp_code,
            .query = pkt->query,
            .seen = now(),
        };

        bpf_map_update_elem(&frags4, &key, &seen, BPF_ANY);
        return NEXT;
    }
    first = bpf_map_lookup_elem(&frags4, &key);
    if (!first || now() - first->seen > FRAG_SECONDS * constants.hz)
        return drop(pkt, REASON_FRAGMENT_UNKNOWN);
    pkt->sport = first->sport;
    pkt->dport = first->dport;
    pkt->icmp_type = first->icmp_type;
    pkt->icmp_code = first->icmp_code;
    pkt->query = first->query;
    return NEXT;
}

/* Makes the first bytes of a packet linear, at most once a packet and only where needed. */
static __always_inline int pull(struct __sk_buff *skb)
{
    return bpf_skb_pull_data(skb, skb->len < PULL_BYTES ? skb->len : PULL_BYTES) == 0;
}

/* The IPv4 packet after the link header, whatever its shape. */
static __rare enum verdict parse_any(struct __sk_buff *skb, struct packet *pkt)
{
    enum parsed parsed = parse_ipv4(skb, pkt, ETH_HLEN);

    if (unlikely(parsed == PARSED_SHORT) && pull(skb))
        parsed = parse_ipv4(skb, pkt, ETH_HLEN);
    if (unlikely(parsed != PARSED))
        return drop(pkt, REASON_MALFORMED);
    if (unlikely(pkt->flags & PACKET_FRAGMENT))
        return parse_fragment(skb, pkt);
    return NEXT;
}

static __always_inline int parse_usual_frame(const struct __sk_buff *skb, struct packet *pkt)
{
    const struct iphdr *ip = data_of(skb) + ETH_HLEN;

    return (const void *)ip + USUAL_BYTES <= data_end_of(skb) &&
           parse_usual(pkt, ip, ETH_HLEN, skb->len - ETH_HLEN);
}

static __always_inline enum verdict parse(struct __sk_buff *skb, struct packet *pkt)
{
    return likely(parse_usual_frame(skb, pkt)) ? NEXT : parse_any(skb, pkt);
}
