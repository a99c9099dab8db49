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
    // `speaker` may be null, `trouble` says why then.
    BgpView(const bgp::Speaker* speaker, std::string trouble);

    Status running() const; // or why not
    // The name of the session that has this name or address.
    Result<std::string> session(const std::string& peer) const;
    // Arguments, each of which may be missing: received_from, advertised_to (a session's name or address),
    // prefix, match (exact, longer, shorter), cursor (what an answer before had as "next").
    Result<boost::json::object> routes(const Args& args) const;

private:
    Result<bgp::PeerStatus> find(const std::string& peer) const;

    const bgp::Speaker* speaker_;
    std::string trouble_;
};

// What the speaker knows of a session.
boost::json::object peer_row(const bgp::PeerStatus& peer);
boost::json::object attributes_json(const bgp::Attributes& attributes);

std::string utc_text(std::chrono::system_clock::time_point time);

} // namespace margay::explain
