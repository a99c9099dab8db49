// SPDX-License-Identifier: Apache-2.0
// Files of both families, with and without path numbers, as bgpdump reads them.
#include "bgp/wire/mrt.h"
#include "support/netns.h"
#include "support/process.h"

#include <gmock/gmock.h>

namespace margay::bgp {
namespace {

using ::testing::HasSubstr;

struct MrtFileTest : ::testing::Test {
    std::string folder = margay::testing::make_temp_folder("mrt");
    const std::chrono::system_clock::time_point now{std::chrono::seconds(1'700'000'000)};
    Bytes out;
    std::uint32_t sequence = 0;

    MrtFileTest()
    {
        const std::vector<MrtPeer> peers = {{Ip(Ipv4(0x0a000002)), Ipv4(0x0a000002), Asn{65001}},
                                            {*Ip::parse("fd00::2"), Ipv4(1), Asn{4200000000}}};
        put_mrt_peers(now, Ipv4(0x0a000001), "", peers, out);
    }
    ~MrtFileTest() override { margay::testing::run({"rm", "-rf", folder}); }

    void add(const std::string& prefix, std::uint16_t peer, PathId path,
             const Attributes& attributes)
    {
        const std::vector<MrtPath> paths = {{peer, now, path, &attributes}};
        sequence += put_mrt_paths(now, sequence, *IpPrefix::parse(prefix), paths, out);
    }
    std::string read() const
    {
        const std::string file = folder + "/rib";
        margay::testing::write_file(file, std::string(out.begin(), out.end()));
        return margay::testing::run({"bgpdump", "-m", file}).out;
    }
};

Attributes attributes_of(const Ip& next_hop)
{
    Attributes attributes;
    attributes.next_hop = next_hop;
    attributes.as_path = AsPath({{PathSegment::Type::Sequence, {Asn{65001}, Asn{4200000000}}}});
    attributes.local_pref = 200;
    attributes.med = 7;
    attributes.communities = {0xfde80064};
    return attributes;
}

TEST_F(MrtFileTest, both_families_are_read_with_their_attributes)
{
    add("10.244.0.0/16", 0, 0, attributes_of(Ip(Ipv4(0x0a000009))));
    add("fd01::/16", 1, 0, attributes_of(*Ip::parse("fd00::9")));
    const std::string text = read();
    EXPECT_THAT(text, HasSubstr("|B|10.0.0.2|65001|10.244.0.0/16|65001 4200000000|IGP|10.0.0.9|200|"
                                "7|65000:100|NAG||"));
    EXPECT_THAT(text, HasSubstr("|B|fd00::2|4200000000|fd01::/16|65001 4200000000|IGP|fd00::9|200|"
                                "7|65000:100|NAG||"));
}

TEST_F(MrtFileTest, paths_with_numbers_are_read)
{
    add("10.244.0.0/16", 0, 3, attributes_of(Ip(Ipv4(0x0a000009))));
    add("fd01::/16", 1, 4, attributes_of(*Ip::parse("fd00::9")));
    const std::string text = read();
    EXPECT_THAT(text, HasSubstr("|10.0.0.2|65001|10.244.0.0/16|3|65001 4200000000|IGP|10.0.0.9|"));
    EXPECT_THAT(text, HasSubstr("|fd00::2|4200000000|fd01::/16|4|65001 4200000000|IGP|fd00::9|"));
}

} // namespace
} // namespace margay::bgp
