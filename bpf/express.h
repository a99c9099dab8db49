/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The established path in registers: stages 1, 2, 5 and 6 for a packet of the usual shape whose flow
 * is known. Only here no function that is called takes the packet's address, so the compiler keeps
 * the few fields that matter in registers and writes none. A packet that is not for this lane is
 * left as it came, and the hook begins with it anew, in memory.
 */
#pragma once

#include "bpf/forward.h"

#define NOT_EXPRESS (-2) /* no TC_ACT_* */

static __always_inline int express(struct __sk_buff *skb, struct packet *pkt, __u32 hook)
{
    struct flow_key key = {};
    struct hit hit = {};
    enum verdict verdict;
    __u32 dir = key_of(pkt, &key);

    if (unlikely(!flow_of(&key, pkt, hook, dir, 0, &hit)))
        return NOT_EXPRESS;
    if (hook == HOOK_FROM_WORKLOAD)
        verdict = act_from_workload(skb, pkt, &hit, 1);
    else
        verdict = act_from_uplink(skb, pkt, &hit);
    if (unlikely(verdict == NEXT))
        return NOT_EXPRESS;
    if (unlikely(verdict == DROP)) {
        struct packet told = *pkt;

        return finish(skb, &told, DROP);
    }
    count(pkt->reason, skb->len);
    return verdict == SENT ? pkt->action : TC_ACT_OK;
}
