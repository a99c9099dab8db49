// SPDX-License-Identifier: Apache-2.0
// What calicoctl and Calico's node status reporter ask BIRD 1.6 on its control socket, answered in BIRD's
// words (calico-facts 0.8, 0.9). A line is a code of four digits and '-', or ' ' if it is the last one, or
// begins with a blank where the code is that of the line before.

#pragma once

#include "bgp/speaker/speaker.h"

#include <functional>
#include <string>

namespace margay::explain {

struct BirdFacts {
    bool ipv6 =
        false; // bird6.ctl, which is a process of its own under Calico: its peers and routes alone
    std::string version; // margayd's
    Ipv4 router_id;
    std::chrono::system_clock::time_point started;
    std::chrono::system_clock::time_point now;
    // Of this node's routes by IPv4: the interface to a prefix, or "".
    std::function<std::string(const Prefix4&)> device;
};

std::string bird_greeting(const BirdFacts& facts);

// An answer in pieces, so that a table of any size waits for its reader and not in memory; an empty piece
// is the end. The speaker is asked for anew each time: it may have gone.
using BirdPieces = std::function<std::string()>;
using SpeakerNow = std::function<const bgp::Speaker*()>;

// `command`: a line without its end.
BirdPieces bird_answer(const std::string& command, const BirdFacts& facts,
                       const SpeakerNow& speaker);

} // namespace margay::explain
