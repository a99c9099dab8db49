/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs report: "counters" (PERCPU_ARRAY by reason) and "events" (RINGBUF).
 *
 * Every packet ends with exactly one reason of kind DROP or PASS; NOTE counts what happened besides.
 * Reason, name in events and metric label come from this one list.
 *
 * The programs write, the agent reads. "limits" (PERCPU_ARRAY) is the programs' own.
 */
#pragma once

#include "maps/abi.h"

/* id, kind, label, text for people */
#define REASONS(X) \
    X(UNSPEC, NOTE, "unspec", "not used") \
    X(DELIVERED, PASS, "delivered", "delivered to a local workload") \
    X(ENCAPSULATED, PASS, "encapsulated", "sent to a node through the tunnel") \
    X(ROUTED, PASS, "routed", "sent to a node without tunnel") \
    X(TO_STACK, PASS, "to_stack", "given to the host stack") \
    X(FROM_STACK, PASS, "from_stack", "given to a workload or link by the host stack") \
    X(UNTOUCHED, PASS, "untouched", "no workload's: left alone") \
    X(ANSWERED, PASS, "answered", "answered with an ICMP error") \
    X(MALFORMED, DROP, "malformed", "headers are short or contradict each other") \
    X(NOT_FOR_HOST, DROP, "not_for_host", "link-layer destination is not this host") \
    X(IPV6, DROP, "ipv6", "IPv6 is not carried yet") \
    X(VLAN, DROP, "vlan", "VLAN tag from or to a workload") \
    X(ETHERTYPE, DROP, "ethertype", "neither IPv4 nor ARP") \
    X(UNKNOWN_WORKLOAD, DROP, "unknown_workload", "interface belongs to no known workload") \
    X(WORKLOAD_DOWN, DROP, "workload_down", "workload is administratively down") \
    X(SOURCE_SPOOFED, DROP, "source_spoofed", "source is not an address of the workload") \
    X(IPIP_FROM_WORKLOAD, DROP, "ipip_from_workload", "workloads may not send protocol 4") \
    X(VXLAN_FROM_WORKLOAD, DROP, "vxlan_from_workload", "workloads may not send VXLAN") \
    X(POLICY_EGRESS, DROP, "policy_egress", "denied by egress policy") \
    X(POLICY_INGRESS, DROP, "policy_ingress", "denied by ingress policy") \
    X(POLICY_MISSING, DROP, "policy_missing", "policy program is not loaded") \
    X(POLICY_CHANGED, DROP, "policy_changed", "flow was allowed before a policy changed") \
    X(STAGE_MISSING, DROP, "stage_missing", "stage program is not loaded") \
    X(HOST_DENIED, DROP, "host_denied", "workloads may not reach the host") \
    X(NO_ROUTE, DROP, "no_route", "pool address that no node holds") \
    X(NO_ENDPOINT, DROP, "no_endpoint", "own address without workload") \
    X(NO_PATH, DROP, "no_path", "node is not reachable") \
    X(TTL_EXPIRED, DROP, "ttl_expired", "time to live ran out") \
    X(TOO_BIG, DROP, "too_big", "larger than the path and not to be fragmented") \
    X(FRAGMENT_UNKNOWN, DROP, "fragment_unknown", "fragment whose first part was not seen") \
    X(TUNNEL_UNKNOWN_NODE, DROP, "tunnel_unknown_node", "IPIP from an unknown node") \
    X(TUNNEL_OTHER_DST, DROP, "tunnel_other_dst", "IPIP not to this node, or IPIP is off") \
    X(TUNNEL_SPOOFED, DROP, "tunnel_spoofed", "inner source is not the sending node's") \
    X(TUNNEL_NESTED, DROP, "tunnel_nested", "tunnel inside the tunnel") \
    X(TUNNEL_TRUNCATED, DROP, "tunnel_truncated", "no whole packet inside the tunnel") \
    X(TUNNEL_FRAGMENT, DROP, "tunnel_fragment", "fragment of a tunnel packet") \
    X(TUNNEL_ECN, DROP, "tunnel_ecn", "congestion marked on a flow without ECN") \
    X(TUNNEL_NOT_LOCAL, DROP, "tunnel_not_local", "inner destination is not on this node") \
    X(PLAIN_POD_SOURCE, DROP, "plain_pod_source", "source of a tunnelled pool without tunnel") \
    X(INTERNAL, DROP, "internal", "a kernel helper failed") \
    X(FLOW_CREATED, NOTE, "flow_created", "flow remembered") \
    X(FLOW_REJUDGED, NOTE, "flow_rejudged", "flow judged again") \
    X(FLOW_PICKED_UP, NOTE, "flow_picked_up", "flow remembered from its middle") \
    X(FLOW_EXPIRED, NOTE, "flow_expired", "idle or orphaned flow forgotten") \
    X(FLOW_TABLE_FULL, NOTE, "flow_table_full", "allowed, but no room to remember") \
    X(FLOW_BUDGET, NOTE, "flow_budget", "allowed, but the endpoint holds too many flows") \
    X(PMTU_LEARNED, NOTE, "pmtu_learned", "a router reported a path MTU") \
    X(EVENT_LOST, NOTE, "event_lost", "event not sent: too many")

#define REASON_ENUM(id, kind, label, text) REASON_##id,
enum reason { REASONS(REASON_ENUM) REASON_COUNT };
#undef REASON_ENUM

enum reason_kind { REASON_KIND_DROP, REASON_KIND_PASS, REASON_KIND_NOTE };

struct counter {
    __u64 packets;
    __u64 bytes; /* as it left the hook, link header included; 0 for notes */
};
ABI_SIZE(struct counter, 16);

#define EVENTS_BYTES (1 << 20)
#define EVENTS_PER_SECOND 1000 /* a CPU; what is more is counted as EVENT_LOST */
#define FOREIGN_EVENTS_PER_SECOND 1 /* of them, about packets that are not IPv4 */
#define ICMP_PER_SECOND 1000   /* a CPU; errors sent to workloads */

enum event_kind {
    EVENT_DROP = 1,
    EVENT_LOG = 2, /* a Log rule matched */
};

struct event {
    __u64 time; /* CLOCK_MONOTONIC, ns */
    __u8 kind;  /* enum event_kind */
    __u8 hook;  /* enum hook */
    __u8 proto;
    __u8 icmp_type;
    __u8 icmp_code;
    __u8 pad[3];
    __u32 reason;  /* enum reason */
    __u32 ifindex; /* of the hook */
    __be32 saddr;  /* as judged, or as on the wire when no policy decided */
    __be32 daddr;
    __be16 sport;
    __be16 dport;
    __u32 endpoint; /* slot whose policy decided, or of the hook's workload; 0: none */
    __u32 policy;   /* slot in "policies" that decided, or 0 */
    __u32 rule;     /* as in struct judgement; for EVENT_LOG the ordinal of the Log rule */
    __u32 length;
    __be32 outer_saddr; /* tunnel packets: the sending node */
};
ABI_SIZE(struct event, 56);

enum limit { LIMIT_EVENTS, LIMIT_FOREIGN_EVENTS, LIMIT_ICMP, LIMIT_COUNT };

struct limit_window {
    __u32 start; /* jiffies */
    __u32 count;
};
ABI_SIZE(struct limit_window, 8);
