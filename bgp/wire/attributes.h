// SPDX-License-Identifier: Apache-2.0
// Path attributes: the value that travels with a route (RFC 4271 5, 1997, 4456, 6793), and what
// is done about each when it arrives broken (RFC 7606).
//
// A route carries an AttributeSet (attribute_set.h): the octets, checked and in one canonical form,
// and what the decision asks for. Attributes is the same, taken apart: for people, for filters, for
// who makes a route. AS_PATH and AGGREGATOR are four octets wide in both; nobody but this codec
// knows that there are peers with two (RFC 6793).
//
// To add an attribute: a member here, a row in the table of attributes.cpp with its check, its
// case in decode() and its encoder in encode_attributes().

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
    Ip next_hop;
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

// RFC 1997.
inline constexpr std::uint32_t kNoExport = 0xffffff01;
inline constexpr std::uint32_t kNoAdvertise = 0xffffff02;
inline constexpr std::uint32_t kNoExportSubconfed = 0xffffff03;

inline constexpr std::size_t kMaxMessage = 4096;
inline constexpr std::size_t kMaxExtendedMessage = 65535; // RFC 8654
// Of a route, as they are kept. What exceeds it fits no message when it is passed on, with what is put before
// it, and is withdrawn.
inline constexpr std::size_t kMostAttributeOctets = kMaxExtendedMessage - 64;

// What the two ends agreed on about a family of addresses.
struct WireFamily {
    bool carried = false;
    bool add_path_in = false; // RFC 7911: its prefixes come with path identifiers,
    bool add_path_out = false; // ours go with them
    bool ipv6_next_hop = false; // RFC 8950; IPv4 alone can have it

    bool operator==(const WireFamily&) const = default;
};

// What they agreed on, as far as it changes the encoding.
struct WireSession {
    bool internal = true; // iBGP
    bool four_octet_as = true;
    std::size_t max_message = kMaxMessage;
    WireFamily ipv4{.carried = true};
    WireFamily ipv6{};
};

// RFC 7606 section 2, mildest first.
enum class FaultAction : std::uint8_t { DiscardAttribute, TreatAsWithdraw, SessionReset };

struct AttributeFault {
    std::uint8_t type = 0; // 0: the list itself
    FaultAction action = FaultAction::DiscardAttribute;
    std::uint8_t subcode = 0; // of the NOTIFICATION, for SessionReset
    bool too_long = false; // the list, for kMostAttributeOctets

    bool operator==(const AttributeFault&) const = default;
};

// What is asked for each route, read once.
struct AttributeSummary {
    Ip next_hop;
    std::optional<std::uint32_t> med;
    std::optional<std::uint32_t> local_pref;
    std::optional<Ipv4> originator_id;
    std::optional<Asn> neighbor; // the AS that gave us the route; none for local ones
    std::uint16_t path_at = 0; // AS_PATH's value within the octets
    std::uint16_t path_size = 0;
    std::uint16_t path_length = 0; // a set counts as one (RFC 4271 9.1.2.2)
    std::uint16_t cluster_count = 0;
    Origin origin = Origin::Igp;
    bool no_export = false; // RFC 1997: NO_EXPORT or NO_EXPORT_SUBCONFED
    bool no_advertise = false;
};

// A checked list. The octets are canonical: ascending types, AS numbers of four octets, shortest
// lengths, without NEXT_HOP (in the summary, as other families have theirs elsewhere) and without
// what is not for keeping. Multiprotocol parts are left to the UPDATE decoder, which knows prefixes
// (RFC 4760).
struct AttributeList {
    AttributeSummary summary;
    Bytes octets;
    std::vector<AttributeFault> faults;
    std::optional<ByteView> mp_reach;
    std::optional<ByteView> mp_unreach;
    bool too_long = false; // the AS_PATH was left out for kMostAttributeOctets
    bool has_origin = false;
    bool has_as_path = false;
    bool has_next_hop = false;
    bool has_odd_next_hop = false; // well-formed, and no address of a host
    std::size_t count = 0;
};

// Overwrites `list`, whose memory is used again.
void check_attributes(ByteView bytes, const WireSession& session, AttributeList& list);

// Canonical octets, as check_attributes() makes them; the next hop is not among them.
void encode_attributes(const Attributes& attributes, Bytes& out);
Attributes decode_canonical(ByteView octets, const Ip& next_hop);

// How messages to a peer are written.
struct Encoding {
    bool four_octet_as = true;
    bool add_path = false; // RFC 7911
    std::size_t max_message = kMaxMessage;

    bool operator==(const Encoding&) const = default;
};

// What changes on the way to a peer (RFC 4271 5.1, 4456 section 8).
struct Rewrite {
    Encoding encoding;
    Ip next_hop;
    std::optional<Ipv6> link_local; // behind it in MP_REACH (RFC 2545 section 3)
    bool in_mp_reach = false; // the next hop stands there (RFC 4760), and NEXT_HOP is not written
    std::optional<Asn> prepend;
    std::optional<std::uint32_t> local_pref; // where the route has none
    bool strip_internal = false; // LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST, non-transitive
    bool strip_med = false;
    std::optional<Ipv4> originator_id; // where the route has none
    std::optional<Ipv4> cluster_id; // in front of CLUSTER_LIST
};
void write_attributes(ByteView octets, const AttributeSummary& summary, const Rewrite& rewrite,
                      Bytes& out);

std::size_t count_in_path(ByteView as_path, Asn as); // canonical: four octets
bool cluster_list_contains(ByteView octets, Ipv4 id);

// RFC 4271 6.3: what a next hop must be. This network, loopback, multicast, reserved are not.
bool is_host_address(Ipv4 address);
bool is_host_address(const Ipv6& address);

const char* attribute_name(std::uint8_t type);

} // namespace margay::bgp
