// SPDX-License-Identifier: Apache-2.0
// BgpView: what the speaker holds, as JSON for margayctl. Routes come in portions that follow each other
// by a cursor, because a table of a million routes in one answer would hold up the event loop, and with
// it KEEPALIVEs.

#pragma once

#include "bgp/speaker/speaker.h"
#include "margay/result.h"

#include <boost/json/object.hpp>

#include <map>
#include <string>

namespace margay::explain {

using Args = std::map<std::string, std::string>;

class BgpView {
public:
    // `speaker` may be null, `trouble` says why then. `node_of`: the node behind a session's name.
    BgpView(const bgp::Speaker* speaker, std::string trouble,
            std::function<std::string(const std::string&)> node_of);

    boost::json::array peers() const;
    // `peer`: a session's name or address.
    Result<boost::json::object> peer(const std::string& peer) const;
    // Arguments, each of which may be missing: received_from, advertised_to (a session's name or address),
    // prefix, match (exact, longer, shorter), cursor (what an answer before had as "next").
    Result<boost::json::object> routes(const Args& args) const;

private:
    Status running() const;
    Result<bgp::PeerStatus> find(const std::string& peer) const;
    boost::json::object peer_row(const bgp::PeerStatus& peer) const;

    const bgp::Speaker* speaker_;
    std::string trouble_;
    std::function<std::string(const std::string&)> node_of_;
};

boost::json::object attributes_json(const bgp::Attributes& attributes);

std::string utc_text(std::chrono::system_clock::time_point time);

} // namespace margay::explain
