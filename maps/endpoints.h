/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Local workloads: "endpoints" (ARRAY by slot), "workloads" (HASH ifindex -> slot) and
 * "flow_counts" (ARRAY by slot, how many flows the slot holds; the programs alone write it).
 *
 * A slot is the agent's name of a local workload. Slot 0 is "no workload" and stays zero. A
 * zeroed endpoint lets nothing pass.
 *
 * `generation` makes flows of this endpoint be judged again: the agent first writes policies,
 * classes and the endpoint with the OLD generation, then config's `facts`, then the endpoint with
 * the next one.
 * `incarnation` names the workload that holds the slot: it differs for each workload ever put
 * there, never 0, and flows of another incarnation do not exist for the programs. To remove a
 * workload, remove its routes, then zero the slot, then its "workloads" entry.
 *
 * Written by agent/datapath, read by bpf/.
 */
#pragma once

#include "maps/abi.h"

#define ENDPOINT_SLOTS 4096
#define WORKLOADS_MAX 8192 /* interfaces: more than slots, as old and new overlap */
#define ENDPOINT_NONE 0

enum endpoint_flag {
    ENDPOINT_UP = 1 << 0, /* not set: everything from and to it is dropped */
};

struct endpoint {
    __u32 ifindex; /* host side of its veth */
    __u32 generation;
    __u32 incarnation;
    __u32 flags;          /* enum endpoint_flag */
    __u32 egress_policy;  /* slot in "policies" */
    __u32 ingress_policy; /* slot in "policies" */
    __be32 addr;          /* its first address: the source under which NATed traffic is judged */
    __u8 mac[6];          /* the workload's interface */
    __u8 host_mac[6];     /* the host side */
    __u32 pad[6];
};
ABI_SIZE(struct endpoint, 64);
ABI_AT(struct endpoint, mac, 28);
ABI_AT(struct endpoint, host_mac, 34); /* copied in one go, as a link header has them */

struct workload {
    __u32 slot; /* in "endpoints" */
};
ABI_SIZE(struct workload, 4);
