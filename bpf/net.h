/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocol numbers and headers. Of the kernel's UAPI only what a BPF target can include:
 * <linux/icmp.h> and <linux/tcp.h> bring the host's libc with them.
 */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#define VLAN_VID_MASK 0x0fff

#define IP_FLAG_DF 0x4000
#define IP_FLAG_MF 0x2000
#define IP_OFFSET 0x1fff

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

enum icmp_type {
    ICMP_ECHOREPLY = 0,
    ICMP_DEST_UNREACH = 3,
    ICMP_SOURCE_QUENCH = 4,
    ICMP_ECHO = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETERPROB = 12,
    ICMP_TIMESTAMP = 13,
    ICMP_TIMESTAMPREPLY = 14,
};
#define ICMP_EXC_TTL 0
#define ICMP_FRAG_NEEDED 4

struct icmphdr {
    __u8 type;
    __u8 code;
    __u16 checksum;
    __be16 unused; /* or the id of a query */
    __be16 mtu;    /* of fragmentation-needed; or a query's sequence number */
};
