// SPDX-License-Identifier: Apache-2.0
// What every reader of files and settings says of wrong ones.

#pragma once

#include <string>
#include <utility>

#include "margay/result.h"

namespace margay::store {

inline Error invalid(std::string what)
{
    return {Errc::Invalid, 0, std::move(what)};
}

} // namespace margay::store
