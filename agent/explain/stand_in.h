// SPDX-License-Identifier: Apache-2.0
// StandIn: a process of the name that calicoctl looks for. `calicoctl node status` asks nobody whether an
// agent and BIRD run: it looks for processes whose first word is `calico-felix` and `bird`
// (calico-facts 0.7). So margayd has two that carry these names and do nothing else: this program again,
// as nobody, with no descriptor and no environment, waiting for the end of its parent. The rest of its
// command line says whose it is: `bird is margayd 1234`.

#pragma once

#include "margay/result.h"

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

namespace margay::explain {

class StandIn {
public:
    static Result<StandIn> start(const std::string& name);
    StandIn(StandIn&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    StandIn& operator=(StandIn&& other) noexcept
    {
        std::swap(pid_, other.pid_);
        return *this;
    }
    StandIn(const StandIn&) = delete;
    StandIn& operator=(const StandIn&) = delete;
    ~StandIn(); // ends it

    bool running(); // false: somebody ended it
    pid_t pid() const { return pid_; }

private:
    explicit StandIn(pid_t pid) : pid_(pid) {}
    pid_t pid_ = -1;
};

// For main(), before all else: the exit status if this process is a stand-in whose parent has ended.
std::optional<int> stand_in(int argc, char** argv);

} // namespace margay::explain
