/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs are told: "config" at run time, `constants` when they are loaded.
 *
 * "config" is an ARRAY of one element. Zeroed it accepts no tunnel packet and lets no workload
 * reach the host. Times in it are seconds; `grace_until` is a point in time in jiffies (low 32
 * bits), the clock of flows: the `collect` program returns it (maps/flows.h).
 *
 * `facts` moves whenever generations are about to (maps/endpoints.h), after what they move for is in
 * the maps. A judgement reads it first and once more at its end: if it moved, old facts may have met
 * a new generation, and the entry is stamped with the one before.
 *
 * Written by agent/datapath, read by bpf/.
 */
#pragma once

#include "maps/abi.h"

enum config_flag {
    CONFIG_IPIP = 1 << 0,                /* IPIP is on: accept it from known nodes */
    CONFIG_IPIP_FROM_WORKLOADS = 1 << 1, /* AllowIPIPPacketsFromWorkloads */
    CONFIG_VXLAN_FROM_WORKLOADS = 1 << 2 /* AllowVXLANPacketsFromWorkloads */
};

/* DefaultEndpointToHostAction, after the egress policy allowed. */
enum endpoint_to_host {
    TO_HOST_DROP = 0,
    TO_HOST_RETURN = 1, /* the host's own rules decide; here the same as accept */
    TO_HOST_ACCEPT = 2,
};

/* How long an idle flow is remembered. 0 takes the default. */
struct flow_timeouts {
    __u32 tcp_opening;     /* only one side was seen */
    __u32 tcp_established;
    __u32 tcp_closing;     /* both sides sent FIN, or one RST */
    __u32 udp;
    __u32 icmp;
    __u32 other;
};
ABI_SIZE(struct flow_timeouts, 24);

#define TIMEOUT_TCP_OPENING 20
#define TIMEOUT_TCP_ESTABLISHED 3600
#define TIMEOUT_TCP_CLOSING 40
#define TIMEOUT_UDP 60
#define TIMEOUT_ICMP 5
#define TIMEOUT_OTHER 600

#define GRACE_SECONDS_MAX 3600 /* a `grace_until` further ahead has passed long ago */

struct config {
    __be32 node_addr;    /* outer source and only accepted outer destination */
    __be32 icmp_source;  /* source of ICMP errors sent to workloads, e.g. 169.254.1.1 */
    __u32 flags;         /* enum config_flag */
    __u32 endpoint_to_host; /* enum endpoint_to_host */
    __be16 vxlan_port;   /* UDP to it is denied to workloads; 0: no check */
    __u16 pad;
    __u32 flow_budget;   /* flows one endpoint may hold; 0: no limit */
    __u32 grace_until;   /* jiffies; until then any protocol's replies are picked up, as TCP's */
    __u32 facts;         /* counts the times that generations were about to move; wraps */
    struct flow_timeouts timeouts;
};
ABI_SIZE(struct config, 56);
ABI_AT(struct config, timeouts, 32);

/*
 * Read-only data of every object (variable `constants` in .rodata), set between open and load.
 * The bits of skb->mark are those of the setting --mark-mask (MARGAY_MARK_MASK), which refuses
 * kube-proxy's 0xc000 and Calico's 0xffff0000. Its default 0x0f00 is Cilium's range: Margay and
 * Cilium do not run on one node. The bits below are what a loader has that sets none (tests).
 * nftables rules of the agent use the same bits as the programs:
 *   seen     a program of ours passed the packet to the stack: the guard lets it through
 *   notrack  it belongs to a flow that bypasses the stack: no conntrack, no masquerade
 *   pending  its egress policy is still to be judged behind the stack (to_workload, to_uplink);
 *            the guard drops it in input and towards interfaces without our programs
 *   done     judged and encapsulated: to_uplink and to_workload leave it alone
 */
struct constants {
    __u32 mark_mask; /* all bits of ours; cleared on every packet that enters */
    __u32 mark_seen;
    __u32 mark_notrack;
    __u32 mark_pending;
    __u32 mark_done;
    __u32 hz; /* jiffies a second: 1e9 / clock_getres(CLOCK_MONOTONIC_COARSE) */
};
ABI_SIZE(struct constants, 24);

#define MARK_MASK 0xf0
#define MARK_SEEN 0x10
#define MARK_NOTRACK 0x20
#define MARK_PENDING 0x40
#define MARK_DONE 0x80
#define HZ_DEFAULT 250
