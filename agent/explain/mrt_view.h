// SPDX-License-Identifier: Apache-2.0
// MrtView: the speaker's tables as MRT (bgp/wire/mrt.h), in portions, for margayctl bgp dump. A path names
// its peer by a place in a table that came first, so a dump goes on only as long as the peers are those.

#pragma once

#include "agent/explain/bgp_view.h"

namespace margay::explain {

// Arguments: cursor, sequence, peers; each as the answer before had them, none for the first portion.
// The answer has the octets in hex as "mrt", and "next", "sequence", "peers". What was rejected is not in it.
Result<boost::json::object> mrt_portion(const bgp::Speaker& speaker,
                                        const bgp::SpeakerConfig& config, const Args& args);

// "4:1234", the family and the number of the entry.
std::string cursor_text(const bgp::RouteCursor& cursor);
std::optional<bgp::RouteCursor> parse_cursor(std::string_view text);

} // namespace margay::explain
