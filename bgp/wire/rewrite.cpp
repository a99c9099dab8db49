// SPDX-License-Identifier: Apache-2.0
// Canonical attributes as one peer is to see them (RFC 4271 5.1, 4456 section 8, 6793 4.2.2).
#include "bgp/wire/attribute_octets.h"

#include <algorithm>
#include <iterator>

namespace margay::bgp {
namespace {

class AttributeWriter {
public:
    AttributeWriter(const AttributeSummary& summary, const Rewrite& rewrite, Bytes& out)
        : summary_(summary), rewrite_(rewrite), out_(out)
    {
    }

    void run(ByteView octets)
    {
        ByteReader in(octets);
        for (Attribute attribute; next_attribute(in, attribute);) {
            insert_before(attribute.type);
            write(attribute);
        }
        insert_before(0xff);
    }

private:
    static constexpr std::uint8_t kInserted[] = {kNextHop,     kLocalPref, kOriginatorId,
                                                 kClusterList, kAs4Path,   kAs4Aggregator};

    // What the route has not, in its place among the ascending types.
    void insert_before(std::uint8_t type)
    {
        for (; next_ < std::size(kInserted) && kInserted[next_] < type; ++next_)
            insert(kInserted[next_]);
    }
    void insert(std::uint8_t type)
    {
        switch (type) {
        case kNextHop:
            if (!rewrite_.in_mp_reach && rewrite_.next_hop.is_v4())
                put_u32(kWellKnown, kNextHop, rewrite_.next_hop.v4().value(), out_);
            return;
        case kLocalPref:
            if (rewrite_.local_pref && !summary_.local_pref)
                put_u32(kWellKnown, kLocalPref, *rewrite_.local_pref, out_);
            return;
        case kOriginatorId:
            if (rewrite_.originator_id && !summary_.originator_id)
                put_u32(kOptional, kOriginatorId, rewrite_.originator_id->value(), out_);
            return;
        case kClusterList:
            if (rewrite_.cluster_id && summary_.cluster_count == 0)
                put_u32(kOptional, kClusterList, rewrite_.cluster_id->value(), out_);
            return;
        case kAs4Path:
            if (!wide_path_.empty())
                put(kOptTrans, kAs4Path, wide_path_, out_);
            return;
        case kAs4Aggregator:
            if (!wide_aggregator_.empty())
                put(kOptTrans, kAs4Aggregator, wide_aggregator_, out_);
            return;
        default:
            return;
        }
    }

    void write(const Attribute& attribute)
    {
        switch (attribute.type) {
        case kAsPath:
            return write_path(attribute.value);
        case kMed:
            return rewrite_.strip_med ? void() : copy(attribute);
        case kAggregator:
            return write_aggregator(attribute);
        case kLocalPref:
        case kOriginatorId:
            return rewrite_.strip_internal ? void() : copy(attribute);
        case kClusterList:
            return rewrite_.strip_internal ? void() : write_cluster_list(attribute);
        case kExtendedCommunities:
            return rewrite_.strip_internal ? write_transitive(attribute, 8) : copy(attribute);
        case kIpv6Communities:
            return rewrite_.strip_internal ? write_transitive(attribute, 20) : copy(attribute);
        default:
            if (!rewrite_.strip_internal || attribute.flags & kTransitive)
                copy(attribute);
        }
    }
    void copy(const Attribute& attribute)
    {
        put(static_cast<std::uint8_t>(attribute.flags & ~kExtended), attribute.type,
            attribute.value, out_);
    }

    // RFC 4271 5.1.2 (b): into the first segment while it has room.
    void write_path(ByteView value)
    {
        Bytes path;
        ByteWriter to(path);
        if (rewrite_.prepend) {
            const bool room = value.size() >= 2 &&
                              value[0] == static_cast<std::uint8_t>(PathSegment::Type::Sequence) &&
                              value[1] < 0xff;
            to.u8(static_cast<std::uint8_t>(PathSegment::Type::Sequence));
            to.u8(static_cast<std::uint8_t>(room ? value[1] + 1 : 1));
            to.u32(rewrite_.prepend->value);
            if (room)
                value = value.subspan(2);
        }
        to.bytes(value);
        if (rewrite_.encoding.four_octet_as)
            return put(kWellKnown, kAsPath, path, out_);
        const AsPath decoded = decode_path(path, 4);
        put_path(kWellKnown, kAsPath, decoded, false, out_);
        if (has_wide(decoded))
            wide_path_ = std::move(path);
    }
    static bool has_wide(const AsPath& path)
    {
        return std::ranges::any_of(path.segments(), [](const PathSegment& segment) {
            return !std::ranges::all_of(segment.asns, &Asn::fits_two_octets);
        });
    }
    void write_aggregator(const Attribute& attribute)
    {
        if (rewrite_.encoding.four_octet_as)
            return copy(attribute);
        const Aggregator aggregator{Asn{number_at(attribute.value, 0, 4)},
                                    Ipv4(number_at(attribute.value, 4, 4))};
        put_aggregator(static_cast<std::uint8_t>(attribute.flags & ~kExtended), kAggregator,
                       aggregator, false, out_);
        if (!aggregator.as.fits_two_octets())
            wide_aggregator_.assign(attribute.value.begin(), attribute.value.end());
    }
    void write_cluster_list(const Attribute& attribute)
    {
        if (!rewrite_.cluster_id)
            return copy(attribute);
        put_header(kOptional, kClusterList, attribute.value.size() + 4, out_);
        out_.u32(rewrite_.cluster_id->value());
        out_.bytes(attribute.value);
    }

    // RFC 4360 section 6, 5701 section 2: one that says that it is not transitive stays within the AS.
    void write_transitive(const Attribute& attribute, std::size_t octets_each)
    {
        constexpr std::uint8_t kNonTransitive = 0x40;
        Bytes kept;
        ByteReader in(attribute.value);
        while (!in.at_end()) {
            const ByteView community = in.take(octets_each);
            if (!community.empty() && !(community[0] & kNonTransitive))
                kept.insert(kept.end(), community.begin(), community.end());
        }
        if (!kept.empty())
            put(static_cast<std::uint8_t>(attribute.flags & ~kExtended), attribute.type, kept,
                out_);
    }

    const AttributeSummary& summary_;
    const Rewrite& rewrite_;
    ByteWriter out_;
    std::size_t next_ = 0; // of kInserted
    Bytes wide_path_; // for those who read two octets
    Bytes wide_aggregator_;
};

} // namespace

void write_attributes(ByteView octets, const AttributeSummary& summary, const Rewrite& rewrite,
                      Bytes& out)
{
    AttributeWriter(summary, rewrite, out).run(octets);
}

} // namespace margay::bgp
