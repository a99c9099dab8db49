// SPDX-License-Identifier: Apache-2.0
// The canonical hash of a Program: 128 bits in hex, the same in every run and on every machine.
// It names a program in the pinned dictionary; it is no defence against somebody who crafts
// policies to collide, but then that somebody writes the policies anyway.

#pragma once

#include <string>

#include "agent/policy/ir.h"

namespace margay::calc {

std::string program_hash(const policy::Program& program);

} // namespace margay::calc
