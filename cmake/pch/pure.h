// SPDX-License-Identifier: Apache-2.0
// Parsed once for all libraries. Sources still include what they use: the preset `dev` builds
// without it.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
