// SPDX-License-Identifier: Apache-2.0
// Kernel interface numbers that the headers of our oldest build host (Debian 12: 6.1) lack.
// They are ABI of the kernel and never change.

#pragma once

#include <linux/bpf.h>

#include <cstdint>

namespace margay::datapath {

// enum bpf_attach_type, Linux 6.6
inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);
inline constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);
// enum bpf_link_type, Linux 6.6
inline constexpr std::uint32_t kLinkTypeTcx = 11;
// Flag of a TCX attachment without a relative: before all others.
inline constexpr std::uint32_t kAttachBefore = 1u << 3;

} // namespace margay::datapath
