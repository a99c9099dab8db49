// SPDX-License-Identifier: Apache-2.0
// The speaker as metrics. A mesh may have a thousand peers, so a peer has few series: messages by type are
// counted over all of them.

#pragma once

#include "agent/status/metrics.h"
#include "bgp/speaker/speaker.h"

namespace margay::explain {

void add_bgp_metrics(const bgp::Speaker& speaker, status::MetricsText& text);

} // namespace margay::explain
