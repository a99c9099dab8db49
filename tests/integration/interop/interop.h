// SPDX-License-Identifier: Apache-2.0
// Interop: a scenario with a daemon of somebody else's, which is a cell of README's matrix.
//
// Each test names its row; the daemon is its parameter. How it ended is written to a file for
// matrix.sh: "yes", "n/a" with the daemon's words for why, or "FAILED".

#pragma once

#include "support/bgp/daemon.h"
#include "support/bgp/lab.h"

#include <gmock/gmock.h>

namespace margay::bgp::lab {

constexpr std::uint16_t kPort = 179; // each has an address of its own
constexpr int kUs = 1, kDaemon = 2, kThird = 3;
constexpr Asn kOurAs{64512}, kTheirAs{65002};
inline const std::string kOurs = "10.1.0.0/26", kTheirs = "10.2.0.0/26";

void PrintTo(const DaemonKind& kind, std::ostream* out);
std::string kind_name(const ::testing::TestParamInfo<DaemonKind>& info);

class Interop : public ::testing::TestWithParam<DaemonKind> {
protected:
    Executor executor;
    std::unique_ptr<Daemon> daemon = GetParam().make();

    void SetUp() override;
    void TearDown() override;

    // Which row of the matrix this is. First in each test.
    void row(std::string title) { row_ = std::move(title); }
    // Starts the daemon; with a feature that it does not have the cell is n/a and this is false.
    bool can_start(const DaemonConfig& config);
    void not_applicable(std::string proof) { proof_ = std::move(proof); }

    bool until(const std::function<bool()>& done,
               std::chrono::seconds limit = std::chrono::seconds(30));
    // For questions to a daemon, each of which is a process.
    bool until_told(const std::function<bool()>& done,
                    std::chrono::seconds limit = std::chrono::seconds(30));

    // The daemon's way of one prefix, as it has it from `neighbor`.
    std::optional<LearnedPath> learned(const std::string& prefix, int neighbor = kUs);
    bool learns(const std::string& prefix, int neighbor = kUs);
    bool forgets(const std::string& prefix, int neighbor = kUs);

    // A session with us, and ours with it.
    static Neighbor us(Asn as = kOurAs);
    static DaemonConfig with(Asn as, const Neighbor& neighbor, std::vector<Route> routes = {});
    static PeerConfig peer(Asn as = kOurAs, int host = kDaemon, const std::string& name = "peer",
                           int own = kUs);
    // What we have for `prefix`, from others.
    static std::optional<Attributes> route(const Node& node, const std::string& prefix);

private:
    std::string row_;
    std::string proof_;
};

std::vector<std::uint32_t> asns(const AsPath& path);

} // namespace margay::bgp::lab
