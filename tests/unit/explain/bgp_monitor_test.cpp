// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bgp_monitor.h"

#include <gmock/gmock.h>

#include "support/addresses.h"

namespace margay::explain {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct BgpMonitorTest : ::testing::Test {
    status::Feed feed;
    BgpMonitor monitor{feed};
    std::shared_ptr<status::FeedQueue> listener;

    void SetUp() override
    {
        bgp::PeerStatus peer;
        peer.name = "Global_fd00__9";
        peer.address = *Ip::parse("fd00::9");
        monitor.on_peer(peer); // known to who listens later
        listener = feed.listen([] {});
    }
};

TEST_F(BgpMonitorTest, routes_of_both_families_are_told)
{
    const bgp::NextHop hop{*Ip::parse("fd00::1"), *Ip::parse("fd00::9")};
    const bgp::RouteChange6 learned{*Prefix6::parse("fd00:1::/64"), 100, std::span(&hop, 1)};
    monitor.on_routes6(std::span(&learned, 1));
    EXPECT_THAT(listener->take(),
                AllOf(HasSubstr(R"("prefix":"fd00:1::/64")"), HasSubstr(R"("local_pref":100)"),
                      HasSubstr(R"({"next_hop":"fd00::1","peer":"Global_fd00__9"})")));

    const bgp::RouteChange gone{prefix("10.1.0.0/26"), 0, {}};
    monitor.on_routes(std::span(&gone, 1));
    EXPECT_THAT(listener->take(), AllOf(HasSubstr(R"("prefix":"10.1.0.0/26")"),
                                        HasSubstr(R"("via":[])"), Not(HasSubstr("local_pref"))));
}

TEST_F(BgpMonitorTest, forgotten_peer_has_no_name_any_more)
{
    bgp::PeerStatus peer;
    peer.address = *Ip::parse("fd00::9");
    peer.forgotten = true;
    monitor.on_peer(peer);
    const bgp::NextHop hop{*Ip::parse("fd00::1"), *Ip::parse("fd00::9")};
    const bgp::RouteChange6 learned{*Prefix6::parse("fd00:1::/64"), 100, std::span(&hop, 1)};
    (void)listener->take();
    monitor.on_routes6(std::span(&learned, 1));
    EXPECT_THAT(listener->take(), HasSubstr(R"({"next_hop":"fd00::1","peer":""})"));
}

} // namespace
} // namespace margay::explain
