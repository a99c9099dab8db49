// SPDX-License-Identifier: Apache-2.0
// Log: one logger a folder, made in main and passed in; there is no global one.

#pragma once

#include <spdlog/spdlog.h>

#include <memory>

namespace margay {

using Log = std::shared_ptr<spdlog::logger>;

} // namespace margay
