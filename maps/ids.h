/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * "ids" (HASH): which number stands for what, kept over restarts of the agent.
 *
 * A number in a map or a program (a policy slot, an address set's bit, an endpoint slot) means the
 * same before and after a restart, because the agent finds it here by the name's hash. Not reused
 * before a grace period after its last use.
 *
 * The agent alone reads and writes it.
 */
#pragma once

#include "maps/abi.h"

#define IDS_MAX 65536

enum id_space {
    ID_POLICY = 1,   /* slot in "policies"; hash of the compiled Program */
    ID_SET = 2,      /* bit in "class_sets"; hash of the address set's name */
    ID_ENDPOINT = 3, /* slot in "endpoints"; hash of the workload's name */
};

struct id_key {
    __u32 space; /* enum id_space */
    __u8 hash[16];
};
ABI_SIZE(struct id_key, 20);

struct id_value {
    __u32 id;
};
ABI_SIZE(struct id_value, 4);
