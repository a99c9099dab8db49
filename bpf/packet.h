/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stages hand to each other.
 *
 * struct packet is what parse() read; later stages read no header. Of a tunnel packet it
 * describes the inner one. struct work is the slow path's memory across tail calls ("scratch").
 */
#pragma once

#include "maps/flows.h"
#include "maps/policy.h"

/* Keeps what is rare out of the established path's cache lines. */
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
/* A function of its own: inlined, it would tear the established path apart. */
#define __rare __attribute__((noinline))

enum verdict {
    NEXT,      /* go on with the next stage */
    DROP,      /* the rest end the packet; packet.reason says why */
    PASS,      /* to the stack or out, with our mark */
    SENT,      /* packet.action is what the redirect helper said */
    UNTOUCHED, /* whoever is next in the chain */
};

enum packet_flag {
    PACKET_TUNNEL = 1 << 0,   /* came in IPIP; with outer_len 0 only outer_saddr is known */
    PACKET_ERROR = 1 << 1,    /* an ICMP error: its flow is that of the packet it quotes */
    PACKET_LATER = 1 << 2,    /* a fragment, but not the first */
    PACKET_FRAGMENT = 1 << 3, /* any fragment */
    PACKET_OF_VLAN = 1 << 4,  /* passes by on its way to another interface: not "seen" */
};

struct packet {
    __be32 saddr;
    __be32 daddr;
    __be16 sport;
    __be16 dport;
    __u8 proto;
    __u8 query; /* as in struct flow_key */
    __u8 icmp_type;
    __u8 icmp_code;
    __u8 tcp_flags;
    __u8 ttl;
    __u8 tos;
    __u8 hook;      /* enum hook */
    __be16 id;
    __be16 frag_off; /* with the flags DF and MF */
    __u16 l3;       /* offset of the IP header in the frame */
    __u16 l4;       /* offset of what follows it */
    __u16 headers;  /* length of IP and transport header */
    __u16 outer_len; /* bytes to remove before delivery; 0: nothing, or XDP did */
    __u32 length;   /* of the IP packet */
    __be32 outer_saddr;
    __be32 outer_daddr;
    __u32 outer_tos;
    __u32 ifindex;  /* where it entered this node; 0: the host sent it */
    __u32 node;     /* slot of the sending node; the slow path knows it */
    __u32 flags;    /* enum packet_flag */
    __u32 endpoint; /* slot of the workload concerned, for events */
    __u32 reason;   /* enum reason, when it ends */
    __s32 action;
};

enum work_flag {
    WORK_KNOWN = 1 << 0,      /* an entry is there: judge its flow, keep its TCP state */
    WORK_REPLACE = 1 << 1,    /* an entry is there, but this is a new flow */
    WORK_SECOND = 1 << 2,     /* if denied, try the other side as the initiator */
    WORK_FORGET = 1 << 3,     /* do not remember this flow */
    WORK_FROM_HOST = 1 << 4,  /* the host itself sent the packet: always allowed */
    WORK_TO_HOST = 1 << 5,    /* it is for the host itself */
    WORK_DENIED = 1 << 6,     /* the first orientation was denied: denied_* is valid */
    WORK_TURNED = 1 << 7,     /* the second orientation is being judged */
    WORK_REPLY_TYPE = 1 << 8, /* an ICMP answer: it begins no flow */
    WORK_UNDECIDED = 1 << 9,  /* known, but no policy has said yet who may have begun */
};

struct work {
    struct judgement judgement; /* stands first: policy programs know no more of this */
    struct packet pkt;
    struct flow_key key;
    struct flow flow;      /* the entry as it will be */
    __be32 source;         /* source address to judge: before NAT */
    __u32 slots[2];        /* endpoints to be judged at the packet's source and destination */
    __u32 dir;             /* end of the key that sent the packet */
    __u32 flags;           /* enum work_flag */
    __u32 leg;             /* enum flow_leg being judged */
    __u32 todo;            /* enum flow_leg still to be judged */
    __u32 old_owner;       /* slot that pays for the entry that is there */
    __u32 facts;           /* config's, as read before plan() reads any other */
    __u32 denied_leg;      /* of the first orientation */
    __u32 denied_policy;
    __u32 denied_rule;
    __u32 denied_endpoint;
};
