// SPDX-License-Identifier: Apache-2.0
// The plain evaluator: what a Program means, executed word for word. It is the oracle of the
// compiler's tests, and `margayctl` may ask it "what would happen to this packet".
//
// One decision stands here that the API leaves open, because its validation forbids the case: a
// condition on ports, positive or negated, holds only for protocols that have ports (TCP, UDP,
// SCTP), and one on ICMP only for ICMP. A header that is not there matches nothing.
//
// Ports are host-order numbers.

#pragma once

#include <cstdint>
#include <functional>

#include "agent/policy/ir.h"
#include "margay/ip.h"

namespace margay::policy {

// What is judged: the input fields of maps/policy.h struct judgement.
struct Packet {
    Ipv4 source;
    Ipv4 destination;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t protocol = 0;
    std::uint8_t icmp_type = 0;
    std::uint8_t icmp_code = 0;
};

// Is the address in the set?
using SetMembership = std::function<bool(Ipv4, SetId)>;

enum class Verdict : std::uint8_t { Allow, Deny };

struct Outcome {
    Verdict verdict = Verdict::Deny;
    std::uint32_t rule = 0; // as judgement.rule
    std::uint32_t log = 0;  // ordinal + 1 of the last Log rule that matched on the way, or 0
    auto operator<=>(const Outcome&) const = default;
};

// TCP, UDP and SCTP: the protocols on whose ports a rule may match.
bool has_ports(std::uint8_t protocol);

bool matches(const Rule& rule, const Packet& packet, const SetMembership& in_set);

Outcome evaluate(const Program& program, const Packet& packet, const SetMembership& in_set);

} // namespace margay::policy
