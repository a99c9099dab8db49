// SPDX-License-Identifier: Apache-2.0
// A speaker that nobody hears, and that says nothing.

#pragma once

#include "bgp/speaker/speaker.h"
#include "support/quiet.h"

namespace margay::explain {

inline bgp::Speaker quiet_speaker(Executor& executor)
{
    const bgp::SpeakerConfig config{
        .local_as = bgp::Asn{64512}, .router_id = Ipv4(0x0a000001), .listen_port = 0};
    return {executor, testing::quiet_log(), config, {}};
}

} // namespace margay::explain
