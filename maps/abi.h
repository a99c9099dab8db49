/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every contract header builds on: fixed-width types and layout assertions.
 *
 * The headers in this folder are the only description of what the eBPF programs and the agent
 * share. Both compilers read them. Fields are fixed-width, padding is named "pad" and zero,
 * addresses and ports are in network byte order (__be32, __be16), everything else in host order.
 */
#pragma once

#include <linux/types.h>

/*
 * Part of the pin path: once 0.1.0 is out, a change of any layout or map type below maps/ raises it,
 * and one of struct work (bpf/packet.h), which hooks, policies and stages hand to each other.
 */
#define MARGAY_ABI_VERSION 1

#ifdef __cplusplus
#define ABI_ASSERT(condition, text) static_assert(condition, text)
#else
#define ABI_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#define ABI_SIZE(type, size) ABI_ASSERT(sizeof(type) == (size), "size of " #type)
#define ABI_AT(type, field, offset) \
    ABI_ASSERT(__builtin_offsetof(type, field) == (offset), "offset of " #type "." #field)
