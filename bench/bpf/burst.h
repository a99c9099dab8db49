/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What hooks_bench and its programs in burst.bpf.c tell each other. */
#pragma once

#include <linux/types.h>

#define BURST_FRAME 128 /* bytes of every frame that is sprayed */
#define BURST_CAUGHT 192 /* bytes of the last frame that are kept */

/* Map "spray", one element: the frame, and which of its ports varies. */
struct spray {
    __u8 frame[BURST_FRAME];
    __u32 port_at; /* offset of a 16-bit field in the frame; 0: nothing varies */
    __u32 scatter; /* at random instead of one after the other */
    __u32 next;    /* the port to come, or the state of the random numbers */
};

/* Map "caught", one element. */
struct caught {
    __u64 frames;
    __u32 length; /* of the last frame */
    __u8 frame[BURST_CAUGHT];
};
