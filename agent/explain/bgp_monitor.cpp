// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bgp_monitor.h"

#include "agent/explain/bgp_view.h"

#include <boost/json.hpp>

namespace margay::explain {

namespace json = boost::json;

void BgpMonitor::on_peer(const bgp::PeerStatus& peer)
{
    if (peer.forgotten)
        names_.erase(peer.address);
    else
        names_[peer.address] = peer.name;
    if (!feed_.wanted())
        return;
    feed_.publish(json::serialize(json::object{{"time", utc_text(std::chrono::system_clock::now())},
                                               {"event", "session"},
                                               {"peer", peer.name},
                                               {"address", peer.address.str()},
                                               {"state", bgp::name_of(peer.state)},
                                               {"why", peer.why_down}}));
}

template <typename P>
void BgpMonitor::tell(std::span<const bgp::RouteChangeOf<P>> changes)
{
    if (!feed_.wanted())
        return;
    const std::string time = utc_text(std::chrono::system_clock::now());
    for (const bgp::RouteChangeOf<P>& change : changes) {
        if (!feed_.has_room()) {
            feed_.drop(); // not even written
            continue;
        }
        json::array via;
        for (const bgp::NextHop& hop : change.best)
            via.push_back(
                json::object{{"next_hop", hop.gateway.str()}, {"peer", name_of(hop.from)}});
        json::object event{{"time", time}, {"event", "route"}, {"prefix", change.prefix.str()}};
        if (!change.best.empty())
            event["local_pref"] = change.local_pref;
        event["via"] = std::move(via); // none: gone, or our own from now on
        feed_.publish(json::serialize(event));
    }
}

template void BgpMonitor::tell(std::span<const bgp::RouteChange> changes);
template void BgpMonitor::tell(std::span<const bgp::RouteChange6> changes);

std::string BgpMonitor::name_of(const Ip& address) const
{
    const auto name = names_.find(address);
    return name == names_.end() ? "" : name->second;
}

} // namespace margay::explain
