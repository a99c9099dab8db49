// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Policy programs for tests: fixed verdicts by the contract of maps/policy.h. Each notes in
// "judged", at its policy slot, what it was asked.

#include <bpf/bpf_endian.h>

#include "bpf/finish.h"
#include "bpf/net.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct judgement);
} judged SEC(".maps");

static __always_inline int leave(struct __sk_buff* skb, struct judgement* j, __u32 verdict)
{
    __u32 slot = j->policy;

    j->verdict = verdict;
    j->rule = 7;
    bpf_map_update_elem(&judged, &slot, j, BPF_ANY);
    bpf_tail_call(skb, &stages, j->next_stage);
    return TC_ACT_SHOT;
}

static __always_inline struct judgement* asked(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&scratch, &zero);
}

SEC("tc")
int test_allow(struct __sk_buff* skb)
{
    struct judgement* j = asked();

    return j ? leave(skb, j, POLICY_ALLOW) : TC_ACT_SHOT;
}

SEC("tc")
int test_deny(struct __sk_buff* skb)
{
    struct judgement* j = asked();

    return j ? leave(skb, j, POLICY_DENY) : TC_ACT_SHOT;
}

/* Allows what goes to port 80, and logs it. */
SEC("tc")
int test_port80(struct __sk_buff* skb)
{
    struct judgement* j = asked();

    if (!j)
        return TC_ACT_SHOT;
    if (j->dport != 0x5000) /* 80, big endian */
        return leave(skb, j, POLICY_DENY);
    j->log = 3 + 1;
    return leave(skb, j, POLICY_ALLOW);
}

/* Does not come to a verdict. */
SEC("tc")
int test_undecided(struct __sk_buff* skb)
{
    struct judgement* j = asked();

    return j ? leave(skb, j, POLICY_UNDECIDED) : TC_ACT_SHOT;
}

/* As if the agent changed routes and nodes while it runs. */
SEC("tc")
int test_overtaken(struct __sk_buff* skb)
{
    struct judgement* j = asked();
    __u32 zero = 0;
    struct config* cfg = bpf_map_lookup_elem(&config, &zero);

    if (!j || !cfg)
        return TC_ACT_SHOT;
    cfg->facts++;
    return leave(skb, j, j->dport == bpf_htons(81) ? POLICY_DENY : POLICY_ALLOW);
}

/* A tag as in `mark`, as if the kernel had taken it off; then the program in the last stage. */
SEC("tc")
int test_tagged(struct __sk_buff* skb)
{
    if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->mark & 0xffff))
        return TC_ACT_SHOT;
    bpf_tail_call(skb, &stages, STAGE_MAX - 1);
    return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
