/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map of the data path, once. All objects carry the same definitions; the loader creates the
 * maps with the first object and gives their file descriptors to the others by name.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/packet.h"
#include "maps/config.h"
#include "maps/endpoints.h"
#include "maps/flows.h"
#include "maps/ids.h"
#include "maps/policy.h"
#include "maps/routes.h"
#include "maps/stages.h"
#include "maps/stats.h"

const volatile struct constants constants = {
    .mark_mask = MARK_MASK,
    .mark_seen = MARK_SEEN,
    .mark_notrack = MARK_NOTRACK,
    .mark_pending = MARK_PENDING,
    .mark_done = MARK_DONE,
    .hz = HZ_DEFAULT,
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct config);
} config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct heartbeat);
} heartbeat SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ENDPOINT_SLOTS);
    __type(key, __u32);
    __type(value, struct endpoint);
} endpoints SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, WORKLOADS_MAX);
    __type(key, __u32); /* ifindex */
    __type(value, struct workload);
} workloads SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ENDPOINT_SLOTS);
    __type(key, __u32);
    __type(value, __u32);
} flow_counts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, ROUTES_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct prefix4_key);
    __type(value, struct route);
} routes4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, NODE_PREFIXES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct prefix4_key);
    __type(value, struct node4);
} nodes4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, NODE_SLOTS);
    __type(key, __u32);
    __type(value, struct node);
} nodes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, PATH_SLOTS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct path);
} paths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, NODE_SLOTS);
    __type(key, __u32);
    __type(value, struct pmtu);
} pmtus SEC(".maps");

/* Preallocated and not LRU: a flood fills it, but pushes nobody out. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FLOWS_MAX);
    __type(key, struct flow_key);
    __type(value, struct flow);
} flows4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, HOT_FLOWS);
    __type(key, __u32);
    __type(value, struct hot_flow);
} hot_flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, FRAGS_MAX);
    __type(key, struct frag4_key);
    __type(value, struct frag4);
} frags4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, CLASS_PREFIXES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct class4_key);
    __type(value, __u32); /* index in class_sets */
} classes4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, CLASS_MAX);
    __type(key, __u32);
    __type(value, struct class_sets);
} class_sets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, POLICY_SLOTS);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} policies SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, STAGE_MAX);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} stages SEC(".maps");

/* The agent's own; it stands here to be pinned with its types. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, IDS_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct id_key);
    __type(value, struct id_value);
} ids SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct work);
} scratch SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, REASON_COUNT);
    __type(key, __u32);
    __type(value, struct counter);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, LIMIT_COUNT);
    __type(key, __u32);
    __type(value, struct limit_window);
} limits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");
