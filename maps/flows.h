/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs remember: "flows4" (preallocated HASH), "hot_flows" (ARRAY) and "frags4"
 * (LRU_HASH).
 *
 * One entry holds both directions of a flow and all that an established packet needs. The key's
 * ends are ordered by (address, port), compared as the raw integers they are in memory; direction
 * 0 is "sent by end 0", the smaller. ICMP queries put their id into the port of the side that
 * asks, 0 into the other: a reply matches, a query from the other side is another flow.
 *
 * Which legs were judged, under which generation of which endpoint: see maps/endpoints.h. `tag`
 * and `tail` are equal and name key and version: a reader checks them around its reads, because
 * an element may be recycled under it. Actions change by replacement of the whole value only;
 * `state` and `last_seen` are written in place.
 *
 * "hot_flows" has copies of entries of busy flows, found by a few bits of a cheap hash of the key. A
 * copy is good for half a second, and for packets that change nothing in the entry: `last_seen` is
 * kept fresh by what goes past the copy, and a CPU that copied an entry while another one replaced it
 * is right again by then. Whoever writes a copy makes `seq` odd meanwhile.
 *
 * The programs alone write all three. The agent drives garbage collection: BPF_PROG_TEST_RUN of
 * `collect`, see struct collect_run.
 */
#pragma once

#include "maps/abi.h"

#define FLOWS_MAX 262144
#define FRAGS_MAX 8192
#define FRAG_SECONDS 30

struct flow_key {
    __be32 addr[2];
    __be16 port[2];
    __u8 proto;
    __u8 query; /* ICMP: the type that asked (8, 13); else 0 */
    __u16 pad;
};
ABI_SIZE(struct flow_key, 16);

enum flow_verb {
    FLOW_NONE = 0,   /* not decided: the slow path */
    FLOW_DELIVER = 1, /* out: endpoint slot */
    FLOW_REMOTE = 2, /* out: path slot */
    FLOW_STACK = 3,  /* to the host stack; out: path slot for to_uplink, or 0 */
    FLOW_DROP = 4,   /* was allowed once, and is denied now */
};

/* `in_ifindex` of a direction that only comes back out of the stack, from anywhere. */
#define FLOW_IN_STACK 0xffffffffu

/* Of `action`, whose upper bits are a slot: FLOW_DELIVER in "endpoints", else in "paths". */
#define FLOW_VERB 0x0fu      /* enum flow_verb */
#define FLOW_TUNNELLED 0x80u /* its packets come by IPIP, with the flow's outer addresses */
#define FLOW_OUT_SHIFT 8
#define FLOW_OUT_MAX ((1u << (32 - FLOW_OUT_SHIFT)) - 1)

struct flow_dir {
    __u32 in_ifindex; /* where its packets enter this node; 0: sent by the host itself */
    __u32 action;
};
ABI_SIZE(struct flow_dir, 8);

/*
 * Outer addresses of the one direction that may be tunnelled: the other one begins at a local
 * workload. Zeros accept nothing. As the sender's node may go and this node's address may change,
 * the agent moves every endpoint's generation then.
 */
struct flow_tunnel {
    __be32 outer_saddr;
    __be32 outer_daddr;
};
ABI_SIZE(struct flow_tunnel, 8);

enum flow_leg {
    FLOW_LEG_EGRESS = 1 << 0,  /* egress policy of the initiator's endpoint */
    FLOW_LEG_INGRESS = 1 << 1, /* ingress policy of the responder's endpoint */
};

enum flow_flag {
    FLOW_BY_STACK = 1 << 0, /* both directions go through the host stack, for good */
    FLOW_PENDING = 1 << 1,  /* tuple before NAT: egress is judged behind the stack */
    FLOW_JUDGED = 1 << 2,   /* pending again, but judged once: who began is settled */
};

/* Of the initiator (INIT) and the responder (RESP). */
enum flow_state {
    FLOW_SEEN_INIT = 1 << 0,
    FLOW_SEEN_RESP = 1 << 1,
    FLOW_FIN_INIT = 1 << 2,
    FLOW_FIN_RESP = 1 << 3,
    FLOW_RST = 1 << 4,
};

/* One end that is a local workload, as it was before the flow was judged. */
struct flow_end {
    __u32 slot; /* in "endpoints"; 0: not a local workload */
    __u32 generation;
    __u32 incarnation;
};
ABI_SIZE(struct flow_end, 12);

struct flow {
    __u32 tag;
    __u32 last_seen;        /* jiffies, at most two seconds old while packets come */
    struct flow_dir dir[2]; /* [i]: packets sent by end i of the key */
    struct flow_tunnel tunnel;
    struct flow_end src;    /* the initiator's */
    struct flow_end dst;    /* the responder's */
    __u8 state;             /* enum flow_state */
    __u8 initiator;         /* end of the key that began */
    __u8 legs;              /* enum flow_leg */
    __u8 flags;             /* enum flow_flag */
    __u32 tail;
};
ABI_SIZE(struct flow, 64);
ABI_AT(struct flow, dir, 8);
ABI_AT(struct flow, tunnel, 24);
ABI_AT(struct flow, src, 32);
ABI_AT(struct flow, tail, 60);

#define HOT_FLOWS_BITS 10
#define HOT_FLOWS (1 << HOT_FLOWS_BITS) /* of two cache lines: they fit a second-level cache */

struct hot_flow {
    struct flow_key key;
    __u64 seq;
    __u32 copied; /* jiffies */
    __u32 pad[9];
    struct flow flow; /* a cache line of its own */
};
ABI_SIZE(struct hot_flow, 128);
ABI_AT(struct hot_flow, flow, 64);

struct frag4_key {
    __be32 saddr;
    __be32 daddr;
    __u32 ifindex; /* of the hook: nobody completes another's datagram */
    __be16 id;
    __u8 proto;
    __u8 pad;
};
ABI_SIZE(struct frag4_key, 16);

/* What the first fragment said. */
struct frag4 {
    __be16 sport;
    __be16 dport;
    __u8 icmp_type;
    __u8 icmp_code;
    __u8 query;
    __u8 pad;
    __u32 seen; /* jiffies */
};
ABI_SIZE(struct frag4, 12);

/*
 * One run of `collect` visits one of COLLECT_SHARDS parts of the table, removes what is idle for too
 * long or belongs to an endpoint incarnation that is gone, and sets the heartbeat. The part is
 * skb->mark of the run's context; the run's return value is the time in jiffies.
 */
#define COLLECT_SHARDS 16
