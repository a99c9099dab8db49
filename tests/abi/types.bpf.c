// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Types that no map of the objects names, so that their BTF can be read: built with the same flags.

#include "maps/stats.h"

struct event event_sample;
