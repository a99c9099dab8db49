// SPDX-License-Identifier: Apache-2.0
// HopInterfaces: by which interface the kernel sends to next hops, for rules of BGPFilters that ask.
//
// A filter gives the same answer until it is asked anew, so what was found stays until the kernel is
// seen to say something else: all that was asked for is looked up again now and then, some at a time, as
// BIRD scans the kernel's table under Calico. The caller then lets all routes pass its filters again.

#pragma once

#include "agent/kernel/resolve.h"
#include "margay/executor.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace margay {

class HopInterfaces {
public:
    // Some next hop has another interface now. Never from inside of of().
    HopInterfaces(Executor& executor, std::function<void()> on_change);

    // "": no route leads there. Nothing: it cannot be known, as of a link-local address without its link.
    std::optional<std::string> of(const Ip& hop);
    // Nobody asks any more, or everybody will again.
    void forget();

private:
    using Interface = std::optional<std::string>;

    Interface look_up(const Ip& hop);
    void look_again();

    std::function<void()> on_change_;
    std::optional<kernel::NetlinkSocket> socket_;
    std::map<Ip, Interface> known_;
    Ip next_; // to be looked up again
    Timer timer_;
};

} // namespace margay
