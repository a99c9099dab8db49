// SPDX-License-Identifier: Apache-2.0
// Path attributes: the value that travels with a route (RFC 4271 5, 1997, 4456, 6793), and what
// is done about each when it arrives broken (RFC 7606).
//
// AS_PATH and AGGREGATOR are four octets wide in the program. Towards a peer that knows only two,
// the codec splits them into AS_PATH and AS4_PATH, and joins them again on the way in, so nobody
// else knows that there are two encodings. Attributes that we do not interpret travel as `others`.
//
// To add an attribute: a member here, a row in the table of attributes.cpp with its decoder, and
// its encoder in encode_attributes().

#pragma once

#include "bgp/wire/bytes.h"
#include "bgp/wire/types.h"
#include "margay/ip.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::bgp {

enum class Origin : std::uint8_t { Igp = 0, Egp = 1, Incomplete = 2 };

struct PathSegment {
    enum class Type : std::uint8_t { Set = 1, Sequence = 2 };

    Type type = Type::Sequence;
    std::vector<Asn> asns;

    bool operator==(const PathSegment&) const = default;
};

class AsPath {
public:
    AsPath() = default;
    explicit AsPath(std::vector<PathSegment> segments) : segments_(std::move(segments)) {}

    const std::vector<PathSegment>& segments() const { return segments_; }
    std::size_t length() const; // a set counts as one (RFC 4271 9.1.2.2)
    bool contains(Asn as) const;
    std::optional<Asn> neighbor() const; // the AS that gave us the route; none for local ones
    void prepend(Asn as);
    std::string str() const;

    bool operator==(const AsPath&) const = default;

private:
    std::vector<PathSegment> segments_;
};

struct Aggregator {
    Asn as;
    Ipv4 identifier;

    bool operator==(const Aggregator&) const = default;
};

// An attribute carried without being interpreted: unknown optional transitive ones, and extended
// and large communities.
struct RawAttribute {
    std::uint8_t flags = 0;
    std::uint8_t type = 0;
    Bytes value;

    bool operator==(const RawAttribute&) const = default;
};

struct Attributes {
    Origin origin = Origin::Igp;
    AsPath as_path;
    Ipv4 next_hop;
    std::optional<std::uint32_t> med;
    std::optional<std::uint32_t> local_pref;
    bool atomic_aggregate = false;
    std::optional<Aggregator> aggregator;
    std::vector<std::uint32_t> communities;
    std::optional<Ipv4> originator_id; // RFC 4456
    std::vector<Ipv4> cluster_list;
    std::vector<RawAttribute> others;

    bool operator==(const Attributes&) const = default;
    bool has_community(std::uint32_t community) const;
};

// Shared, because one UPDATE gives the same attributes to hundreds of prefixes, and immutable
// because it is shared: a policy that changes them makes a copy.
using AttributesPtr = std::shared_ptr<const Attributes>;

// RFC 1997.
inline constexpr std::uint32_t kNoExport = 0xffffff01;
inline constexpr std::uint32_t kNoAdvertise = 0xffffff02;
inline constexpr std::uint32_t kNoExportSubconfed = 0xffffff03;

// What the two ends agreed on, as far as it changes the encoding.
struct WireSession {
    bool internal = true; // iBGP
    bool four_octet_as = true;
};

// RFC 7606 section 2, mildest first.
enum class FaultAction : std::uint8_t { DiscardAttribute, TreatAsWithdraw, SessionReset };

struct AttributeFault {
    std::uint8_t type = 0; // 0: the list itself
    FaultAction action = FaultAction::DiscardAttribute;
    std::uint8_t subcode = 0; // of the NOTIFICATION, for SessionReset

    bool operator==(const AttributeFault&) const = default;
};

// Multiprotocol parts, kept raw for the UPDATE decoder, which knows prefixes (RFC 4760).
struct AttributeList {
    Attributes attributes;
    std::vector<AttributeFault> faults;
    std::optional<ByteView> mp_reach;
    std::optional<ByteView> mp_unreach;
    bool has_origin = false;
    bool has_as_path = false;
    bool has_next_hop = false;
    std::size_t count = 0;
};

AttributeList decode_attributes(ByteView bytes, const WireSession& session);
void encode_attributes(const Attributes& attributes, const WireSession& session, Bytes& out);

// RFC 4271 6.3: what a next hop must be. This network, loopback, multicast, reserved are not.
bool is_host_address(Ipv4 address);

const char* attribute_name(std::uint8_t type);

} // namespace margay::bgp
