// SPDX-License-Identifier: Apache-2.0
// The canonical hash of a Program: its name in the pinned dictionary that keeps ids over restarts.
//
// Equal Programs have equal hashes on every machine and release. Policies are written by tenants,
// and a collision would give one tenant another's program, so it is cryptographic (the first 16
// bytes of SHA-256 over a length-prefixed encoding of every field, names included, since the
// program carries them as text).

#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "agent/policy/ir.h"

namespace margay::policy {

using ProgramHash = std::array<std::uint8_t, 16>;

ProgramHash canonical_hash(const Program& program);

std::string to_hex(const ProgramHash& hash);

} // namespace margay::policy
