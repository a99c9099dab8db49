// SPDX-License-Identifier: Apache-2.0
// Stored bytes to resources. Pure, and strict: a value that is wrong in any field we use is an
// error that names the field and the reason, never a guess. Unknown fields are ignored, as the
// datastore's own clients do. What becomes of an error is Quarantine's matter (quarantine.h).

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/model/key.h"
#include "agent/model/resources.h"
#include "margay/result.h"

namespace margay::model {

struct Decoded {
    Update update{};
    // Fields that are valid and have no effect yet: "spec.doNotTrack".
    std::vector<std::string> not_enforced{};
    // Bad entries of a network set or a node's address list, left out: "spec.nets[2]: 'x' is …".
    std::vector<std::string> skipped{};
};

// A workload endpoint without addresses decodes as a deletion, as it does for Calico.
Result<Decoded> decode(const ResourceKey& key, std::string_view value);

// What stands in for a policy whose value does not decode: it denies, in each direction whose
// rules cannot be trusted, what its selector selects; where not even that can be read, every
// local workload that such a key can select, before all other policies of the tier.
Policy stand_in_policy(const ResourceKey& key, std::string_view value);

} // namespace margay::model
