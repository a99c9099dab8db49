// SPDX-License-Identifier: Apache-2.0
// The cluster that the scale bench puts into etcd: keys and values as Calico stores them, made from
// a seed alone. run.sh builds the local node's real interfaces from the same numbers.
//
// Node n1 is the local one. Its pod number i has interface cali<i>, address 10.244.0.(i) in its two
// blocks 10.244.0.0/25, MAC 02:00:00:00:00:<i>. Pods 1 and 2 are the two whose traffic is measured:
// policy p0 selects pod 2, and its first rule is what flip changes.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace margay::bench {

struct Scale {
    unsigned seed = 1;
    int nodes = 500;
    int endpoints = 10'000;
    int local = 100;
    int policies = 1'000; // of 5 rules
    int active = 200; // of them select local endpoints
};

using KeyValue = std::pair<std::string, std::string>;

std::vector<KeyValue> cluster(const Scale& scale);

// p0 as cluster() has it (allow), or with the flow between pod 1 and pod 2 denied.
inline constexpr std::uint16_t kFlowPort = 7000;
KeyValue measured_policy(const Scale& scale, bool allow);

std::string local_address(int pod); // of n1's pod 1, 2, ...

} // namespace margay::bench
