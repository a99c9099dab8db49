/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a packet is judged: the programs that margayd generates, and what they read.
 *
 * A hook that needs a judgement copies the packet's fields into "scratch" (per CPU, one element,
 * struct judgement), names the stage at which it wants to go on, and tail-calls its endpoint's
 * slot of "policies". The generated program evaluates tiers, policies and profiles, writes
 * `verdict`, `rule` and leaves by a tail call to stages[judgement.next_stage]. A slot without a
 * program is a drop with a reason, never a pass.
 *
 * Address sets (selectors, net lists, network sets) are not in the program: "classes4" maps an
 * address by longest prefix to its class, and "class_sets" gives the class's set membership, one
 * bit a set. Class 0, all bits clear, is every address that no prefix covers. So pod churn
 * writes maps and reloads no program. The contents of a class never change while a prefix or a
 * packet may refer to it: a new combination of sets is a new class. Where a prefix needs a class
 * and there is none left, its class is CLASS_UNKNOWN: no program can tell what such an address is,
 * so every program that asks for a set of it denies. The same holds for any class that has no
 * contents.
 *
 * Written by agent/datapath, read by the programs of agent/policy/compiler.cpp.
 */
#pragma once

#include "maps/abi.h"

#define POLICY_SLOTS 8192 /* "policies": PROG_ARRAY; the next segments of a long program too */
#define CLASS_MAX 16384 /* "class_sets": ARRAY of struct class_sets */
#define CLASS_PREFIXES 1048576 /* "classes4": LPM_TRIE, as Calico's MaxIpsetSize */
#define CLASS_UNKNOWN 0xffffffffu /* in "classes4": no room for the sets of these addresses */
#define CLASS_SET_WORDS 128 /* of 32 bits: 4,096 address sets at a time */
#define CLASS_SET_MAX (CLASS_SET_WORDS * 32)
#define STAGE_MAX 16 /* "stages": PROG_ARRAY, indices in bpf/stages.h */

enum policy_verdict {
    POLICY_UNDECIDED = 0, /* the program did not finish: a drop */
    POLICY_ALLOW = 1,
    POLICY_DENY = 2,
};

/* `rule` when no rule decided. Otherwise the ordinal of the rule in its program, from 0. */
#define POLICY_RULE_NO_PROFILE 0xffffffffu /* nothing matched and nothing is left: default deny */
#define POLICY_RULE_CLASS_UNKNOWN 0xfffffffeu /* an address of a class without contents */
#define POLICY_RULE_TIER_END 0x80000000u /* | ordinal of the tier whose end denied */

struct judgement {
    __be32 saddr;
    __be32 daddr;
    __be16 sport; /* 0 where the protocol has no ports */
    __be16 dport;
    __u8 proto;
    __u8 icmp_type; /* valid where proto is IPPROTO_ICMP, and the packet is no later fragment */
    __u8 icmp_code;
    __u8 pad;
    __u32 policy; /* slot in "policies" being evaluated; for events */
    __u32 next_stage; /* index in "stages" */
    __u32 verdict; /* enum policy_verdict */
    __u32 rule;
    __u32 log; /* a Log rule matched: its ordinal + 1 */
};
ABI_SIZE(struct judgement, 36);

struct class4_key {
    __u32 prefix_bits; /* 0..32 */
    __be32 addr;
};
ABI_SIZE(struct class4_key, 8);

struct class_sets {
    __u32 words[CLASS_SET_WORDS]; /* set s: bit s % 32 of word s / 32 */
};
ABI_SIZE(struct class_sets, CLASS_SET_WORDS * 4);
