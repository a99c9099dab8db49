// SPDX-License-Identifier: Apache-2.0
// Presence: what tells `calicoctl node status` that this node works: BIRD's control socket, and processes
// of the names that it looks for. Both are there or none: while another BIRD has the socket, calicoctl
// shows that one, and rightly.

#pragma once

#include "agent/explain/bird_socket.h"
#include "agent/explain/stand_in.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::explain {

// One of BIRD's two daemons, that of IPv4 or of IPv6.
struct BirdFace {
    std::string socket;
    const char* process; // "bird"
    BirdHandler handler;
    std::function<bool()> wanted; // null: always
};

class Presence {
public:
    Presence(Executor& executor, Log log, std::vector<BirdFace> faces);

    // Never fails for good: what is missing is tried again.
    void start() { look(); }
    const std::string& trouble() const { return trouble_; } // empty: all is there

private:
    struct Bird {
        BirdFace face;
        std::unique_ptr<BirdSocket> socket;
        std::optional<StandIn> process;
    };

    void look();
    Status complete();
    Status complete(Bird& bird);
    Status want_process(std::optional<StandIn>& process, const char* name);

    Executor& executor_;
    Log log_;
    std::vector<Bird> birds_;
    std::optional<StandIn> felix_;
    std::string trouble_;
    Timer timer_;
};

} // namespace margay::explain
