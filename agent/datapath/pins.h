// SPDX-License-Identifier: Apache-2.0
// Files and folders on a bpffs. Names there hold no dot, and a rename is atomic.

#pragma once

#include <string>
#include <vector>

#include "margay/result.h"

namespace margay::datapath {

// Creates a folder and its parents below an existing one; there already is fine.
Status make_folder(const std::string& path);
Result<std::vector<std::string>> list_folder(const std::string& path);
// A pin or an empty folder; absent is fine.
Status remove_pin(const std::string& path);
// A folder with everything in it.
Status remove_tree(const std::string& path);
// Pins `fd` under `path`, replacing what is there: a reader finds the old object or the new one.
Status replace_pin(int fd, const std::string& path);
// Pins that live on something else than a bpffs would be lost without a word: mounts one at
// /sys/fs/bpf if `path` lies there and nobody has (not in a private mount namespace, with which it
// would go), and refuses any other place without.
Status need_bpffs(const std::string& path);

} // namespace margay::datapath
