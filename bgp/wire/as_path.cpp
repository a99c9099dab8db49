// SPDX-License-Identifier: Apache-2.0
#include "bgp/wire/attributes.h"

#include <algorithm>

namespace margay::bgp {

namespace {
constexpr std::size_t kLongestSegment = 255; // its count is one octet
}

std::size_t AsPath::length() const
{
    std::size_t count = 0;
    for (const PathSegment& segment : segments_)
        count += segment.type == PathSegment::Type::Set ? 1 : segment.asns.size();
    return count;
}

bool AsPath::contains(Asn as) const
{
    return std::ranges::any_of(segments_, [&](const PathSegment& segment) {
        return std::ranges::find(segment.asns, as) != segment.asns.end();
    });
}

std::optional<Asn> AsPath::neighbor() const
{
    if (segments_.empty() || segments_.front().type != PathSegment::Type::Sequence)
        return std::nullopt;
    return segments_.front().asns.front();
}

void AsPath::prepend(Asn as)
{
    const bool room = !segments_.empty() && segments_.front().type == PathSegment::Type::Sequence &&
                      segments_.front().asns.size() < kLongestSegment;
    if (!room)
        segments_.insert(segments_.begin(), PathSegment{});
    auto& asns = segments_.front().asns;
    asns.insert(asns.begin(), as);
}

std::string AsPath::str() const
{
    std::string text;
    for (const PathSegment& segment : segments_) {
        const bool is_set = segment.type == PathSegment::Type::Set;
        std::string inner;
        for (const Asn as : segment.asns)
            inner += (inner.empty() ? "" : " ") + std::to_string(as.value);
        if (!text.empty())
            text += ' ';
        text += is_set ? "{" + inner + "}" : inner;
    }
    return text;
}

bool Attributes::has_community(std::uint32_t community) const
{
    return std::ranges::find(communities, community) != communities.end();
}

} // namespace margay::bgp
