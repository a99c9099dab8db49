// SPDX-License-Identifier: Apache-2.0
// A log that says nothing.

#pragma once

#include "margay/log.h"

#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace margay::testing {

inline Log quiet_log()
{
    return std::make_shared<spdlog::logger>("t", std::make_shared<spdlog::sinks::null_sink_st>());
}

} // namespace margay::testing
