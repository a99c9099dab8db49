// SPDX-License-Identifier: Apache-2.0
// FelixCalc: the FelixConfiguration that holds for this node.
//
// Field by field, from high to low: "node.<own>", then the one scoped object whose nodeSelector
// matches the own Node's labels (of several the oldest, then the first by name), then "default".

#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/model/resources.h"

namespace margay::calc {

class FelixCalc {
public:
    explicit FelixCalc(std::string own_node) : own_(std::move(own_node)) {}

    // nullptr: it is gone.
    void set(const std::string& name, const model::FelixConfiguration* configuration);
    void set_own_labels(const model::Labels& labels);

    const model::FelixConfiguration& effective() const { return effective_; }

private:
    void merge();
    const model::FelixConfiguration* scoped() const;

    std::string own_;
    model::Labels labels_;
    std::map<std::string, model::FelixConfiguration> all_;
    model::FelixConfiguration effective_;
};

} // namespace margay::calc
