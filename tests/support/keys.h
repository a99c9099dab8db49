// SPDX-License-Identifier: Apache-2.0
// Where Calico's objects lie in the datastore, as tests write it.

#pragma once

#include <string>

namespace margay {

inline const std::string kResources = "/calico/resources/v3/projectcalico.org/";

} // namespace margay
