// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/route.h"

#include <algorithm>

namespace margay::bgp_rules {
namespace {

constexpr std::uint32_t kDefaultPreference = 100; // RFC 4271 leaves it open; everybody takes this
constexpr std::uint8_t kLargeCommunities = 32;    // RFC 8092
constexpr std::uint8_t kOptionalTransitive = 0xc0;
constexpr std::size_t kMostAsNumbers = 255;
constexpr std::size_t kMostCommunities = 512;
constexpr std::size_t kLargeSize = 12;

void put(std::uint32_t number, bgp::Bytes& out)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        out.push_back(static_cast<std::uint8_t>(number >> shift));
}

bgp::Bytes encoded(const model::LargeCommunity& community)
{
    bgp::Bytes octets;
    for (const std::uint32_t part : {community.administrator, community.first, community.second})
        put(part, octets);
    return octets;
}

template <typename Attributes>
auto large_communities(Attributes& attributes)
{
    return std::ranges::find(attributes.others, kLargeCommunities, &bgp::RawAttribute::type);
}

bool holds(const bgp::Bytes& list, const bgp::Bytes& one)
{
    for (std::size_t at = 0; at + kLargeSize <= list.size(); at += kLargeSize)
        if (std::equal(one.begin(), one.end(), list.begin() + static_cast<std::ptrdiff_t>(at)))
            return true;
    return false;
}

// Unknown attributes are kept in the order of their types.
bgp::RawAttribute& large_list(bgp::Attributes& attributes)
{
    const auto known = large_communities(attributes);
    if (known != attributes.others.end())
        return *known;
    const auto place = std::ranges::find_if(
        attributes.others, [](const auto& other) { return other.type > kLargeCommunities; });
    return *attributes.others.insert(place, {kOptionalTransitive, kLargeCommunities, {}});
}

} // namespace

std::optional<std::string> Route::interface_name() const
{
    if (!circumstances_.learned)
        return circumstances_.interface_name;
    return circumstances_.interface_of ? (*circumstances_.interface_of)(given_->next_hop)
                                       : std::nullopt;
}

const bgp::Attributes& Route::read() const
{
    if (!attributes_)
        attributes_ = given_->decode();
    return *attributes_;
}

bgp::Attributes& Route::change()
{
    (void)read();
    changed_ = true;
    return *attributes_;
}

bgp::AttributesPtr Route::attributes(bgp::AttributePool& pool) const
{
    return changed_ ? pool.intern(*attributes_) : given_;
}

std::uint32_t Route::priority() const
{
    const auto preference = changed_ ? attributes_->local_pref : given_->local_pref;
    return kHighestPreference -
           std::min(preference.value_or(kDefaultPreference), kHighestPreference);
}

void Route::set_priority(std::uint32_t priority)
{
    change().local_pref = kHighestPreference - std::min(priority, kHighestPreference);
}

bool Route::has(const model::Community& community) const
{
    const bgp::Attributes& all = read();
    if (const auto* standard = std::get_if<std::uint32_t>(&community))
        return all.has_community(*standard);
    const auto list = large_communities(all);
    return list != all.others.end() &&
           holds(list->value, encoded(std::get<model::LargeCommunity>(community)));
}

bool Route::add(const model::Community& community)
{
    if (has(community))
        return true;
    bgp::Attributes& all = change();
    if (const auto* standard = std::get_if<std::uint32_t>(&community)) {
        all.communities.push_back(*standard);
        return all.communities.size() <= kMostCommunities;
    }
    auto& list = large_list(all).value;
    const auto octets = encoded(std::get<model::LargeCommunity>(community));
    list.insert(list.end(), octets.begin(), octets.end());
    return list.size() <= kMostCommunities * kLargeSize;
}

bool Route::path_begins_with(const std::vector<std::uint32_t>& as_numbers) const
{
    auto wanted = as_numbers.begin();
    for (const bgp::PathSegment& segment : read().as_path.segments()) {
        if (wanted == as_numbers.end())
            return true;
        if (segment.type != bgp::PathSegment::Type::Sequence)
            return false; // a set has no first
        for (const bgp::Asn as : segment.asns) {
            if (wanted == as_numbers.end())
                return true;
            if (as.value != *wanted++)
                return false;
        }
    }
    return wanted == as_numbers.end();
}

bool Route::prepend(const std::vector<std::uint32_t>& as_numbers)
{
    bgp::Attributes& all = change();
    if (all.as_path.length() + as_numbers.size() > kMostAsNumbers)
        return false;
    for (auto as = as_numbers.rbegin(); as != as_numbers.rend(); ++as)
        all.as_path.prepend(bgp::Asn(*as));
    return true;
}

bool contains(const model::AnyPrefix& outer, const model::AnyPrefix& inner)
{
    return std::visit(
        [&inner](const auto& around) {
            const auto* within = std::get_if<std::decay_t<decltype(around)>>(&inner);
            return within && around.contains(*within);
        },
        outer);
}

int length_of(const model::AnyPrefix& prefix)
{
    return std::visit([](const auto& p) { return int{p.length}; }, prefix);
}

} // namespace margay::bgp_rules
