// SPDX-License-Identifier: Apache-2.0
// BgpMonitor: what changes in the speaker, told as it happens to who asked for it (margayctl bgp monitor).
// Costs nothing while nobody listens.

#pragma once

#include "agent/status/feed.h"
#include "bgp/speaker/speaker.h"

#include <map>
#include <span>
#include <string>

namespace margay::explain {

class BgpMonitor {
public:
    explicit BgpMonitor(status::Feed& feed) : feed_(feed) {}

    void on_peer(const bgp::PeerStatus& peer);
    void on_routes(std::span<const bgp::RouteChange> changes) { tell(changes); }
    void on_routes6(std::span<const bgp::RouteChange6> changes) { tell(changes); }

private:
    template <typename P>
    void tell(std::span<const bgp::RouteChangeOf<P>> changes);
    std::string name_of(const Ip& address) const;

    status::Feed& feed_;
    std::map<Ip, std::string> names_; // of the sessions, by address
};

} // namespace margay::explain
