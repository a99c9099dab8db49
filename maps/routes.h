/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where addresses are: "routes4" and "nodes4" (LPM_TRIE by address), "paths" and "nodes" (ARRAY
 * by slot), "pmtus" (ARRAY by node slot, written by the programs alone).
 *
 * "routes4" knows pools, blocks, workloads and the host's own addresses. An address it does not
 * know is outside the cluster: packets to it go through the host stack, and may be NATed there.
 * It is read for the first packet of a flow; flows remember slots. So everything that changes
 * under a flow on its way out, next hop, MAC, encapsulation or node, is a write to one path or
 * endpoint slot. Who sends to it by tunnel is written in the flow: see maps/flows.h.
 *
 * Each remote prefix has path slots of its own, for it may move between nodes: a run of `spread`
 * neighbours, of which a flow takes one by the hash of its key, for good. Several next hops share
 * the run. Where one goes, its slots are written with others, and no other flow moves.
 *
 * It is also the truth about sources: a tunnel packet's inner source must have a route whose
 * `node` is the sender, or be the sender's own address.
 *
 * Slot 0 of "paths" and "nodes" is "none" and stays zero.
 *
 * Written by agent/datapath, read by bpf/.
 */
#pragma once

#include "maps/abi.h"

#define ROUTES_MAX 262144
#define PATH_SLOTS 262144
#define PATH_SPREAD_MAX 64 /* slots of one prefix */
#define NODE_SLOTS 16384
#define NODE_PREFIXES 32768

struct prefix4_key {
    __u32 prefix_bits; /* 0..32 */
    __be32 addr;
};
ABI_SIZE(struct prefix4_key, 8);

enum route_kind {
    ROUTE_NONE = 0,      /* a pool without block here: no way to it */
    ROUTE_ENDPOINT = 1,  /* slot: in "endpoints" */
    ROUTE_HOST = 2,      /* an address of this host, its tunnel address included */
    ROUTE_REMOTE = 3,    /* slot: in "paths", the first of `spread` */
    ROUTE_BLACKHOLE = 4, /* own block: an address without workload */
    ROUTE_OUTSIDE = 5,   /* known, but no pool's: by the host stack (a remote node's address) */
};

enum route_flag {
    ROUTE_TUNNELLED = 1 << 0, /* its packets come encapsulated: plain ones are spoofed */
};

struct route {
    __u32 kind;   /* enum route_kind */
    __u16 flags;  /* enum route_flag */
    __u16 spread; /* ROUTE_REMOTE: `slot` is the first of so many; 0: of one */
    __u32 slot;
    __u32 node; /* node slot that may send from these addresses; 0: none or this one */
};
ABI_SIZE(struct route, 16);

enum path_kind {
    PATH_NONE = 0,  /* unreachable: a drop */
    PATH_ENCAP = 1, /* IPIP */
    PATH_PLAIN = 2, /* routed as it is */
};

enum path_flag {
    PATH_RESOLVED = 1 << 0, /* dmac is valid while the heartbeat is fresh */
};

struct path {
    __u32 kind;       /* enum path_kind */
    __u32 flags;      /* enum path_flag */
    __u32 ifindex;    /* of the uplink */
    __be32 next_hop;  /* on the link: the node, or the router to it */
    __be32 outer_src; /* PATH_ENCAP */
    __be32 outer_dst;
    __u32 mtu;        /* largest packet of a workload: link less the outer header; 0: no limit */
    __u32 node;       /* node slot: learned path MTU */
    __u8 dmac[6];
    __u8 smac[6];
    __u32 pad[5];
};
ABI_SIZE(struct path, 64);
ABI_AT(struct path, dmac, 32);
ABI_AT(struct path, smac, 38); /* copied in one go, as a link header has them */

struct node4 {
    __u32 slot; /* in "nodes" */
};
ABI_SIZE(struct node4, 4);

enum node_flag {
    NODE_EXTERNAL = 1 << 0, /* of externalNodesList: may send from any address nobody owns */
};

/* "nodes": who may send IPIP. "nodes4" finds the slot, prefixes serve externalNodesList. */
struct node {
    __be32 addr; /* 0 for external prefixes: a flow learns it from the first packet that comes */
    __u32 flags; /* enum node_flag */
};
ABI_SIZE(struct node, 8);

/* A path MTU that a router reported, for packets inside the tunnel to the node. */
struct pmtu {
    __u32 mtu;   /* 0: none */
    __u32 until; /* jiffies */
};
ABI_SIZE(struct pmtu, 8);

#define PMTU_SECONDS 600
#define PMTU_LOWEST 552 /* as the kernel's min_pmtu; less the outer header it still serves */

/*
 * "heartbeat" (ARRAY of one): when the agent last showed that it lives, in jiffies. Resolved
 * MACs of paths are trusted for HEARTBEAT_SECONDS after it, then the kernel's neighbours are asked.
 * The `collect` program writes it.
 */
struct heartbeat {
    __u32 at; /* jiffies */
};
ABI_SIZE(struct heartbeat, 4);

#define HEARTBEAT_SECONDS 30
