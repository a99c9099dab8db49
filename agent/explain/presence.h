// SPDX-License-Identifier: Apache-2.0
// Presence: what tells `calicoctl node status` that this node works: BIRD's control socket, and processes
// of the names that it looks for. Both are there or none: while another BIRD has the socket, calicoctl
// shows that one, and rightly.

#pragma once

#include "agent/explain/bird_socket.h"
#include "agent/explain/stand_in.h"

#include <optional>

namespace margay::explain {

class Presence {
public:
    Presence(Executor& executor, Log log, std::string path, BirdHandler handler);

    // Never fails for good: what is missing is tried again.
    void start() { look(); }
    const std::string& trouble() const { return trouble_; } // empty: all is there

private:
    void look();
    Status complete();
    Status want_process(std::optional<StandIn>& process, const char* name);

    Executor& executor_;
    Log log_;
    std::string path_;
    BirdHandler handler_;
    std::unique_ptr<BirdSocket> socket_;
    std::optional<StandIn> bird_;
    std::optional<StandIn> felix_;
    std::string trouble_;
    Timer timer_;
};

} // namespace margay::explain
