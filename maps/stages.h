/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * "stages" (PROG_ARRAY, STAGE_MAX slots): where a judged packet goes on.
 *
 * A policy program leaves by stages[judgement.next_stage] (maps/policy.h). The programs live in
 * bpf/stages.bpf.c and bpf/from_uplink.bpf.c. The list gives slot and program name; the loader
 * fills the array from it.
 */
#pragma once

#include "maps/policy.h"

#define STAGES(X) \
    X(JUDGED, stage_judged)  /* one leg has a verdict: the next leg, or on */ \
    X(FORWARD, stage_forward) /* all legs allow: remember the flow and send */ \
    X(UPLINK, uplink_packet)  /* a packet of the uplink, XDP's note in skb->cb */

#define STAGE_ENUM(id, program) STAGE_##id,
enum stage { STAGES(STAGE_ENUM) STAGE_COUNT };
#undef STAGE_ENUM
ABI_ASSERT(STAGE_COUNT <= STAGE_MAX, "stages fit");

/* What uplink_xdp puts before a frame whose outer header it took off. Nobody else on the host can. */
struct xdp_note {
    __u32 magic;
    __be32 outer_saddr;
};
ABI_SIZE(struct xdp_note, 8);
/* Another one for another layout: hooks are exchanged one by one. */
#define XDP_NOTE_MAGIC 0x6d617268

/* Which hook a packet is at; in events. */
#define HOOKS(X) \
    X(FROM_WORKLOAD, "from_workload") \
    X(TO_WORKLOAD, "to_workload") \
    X(FROM_UPLINK, "from_uplink") \
    X(TO_UPLINK, "to_uplink")

#define HOOK_ENUM(id, name) HOOK_##id,
enum hook { HOOKS(HOOK_ENUM) HOOK_COUNT };
#undef HOOK_ENUM
