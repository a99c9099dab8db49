// SPDX-License-Identifier: Apache-2.0
// "10.1.0.0/24 as=65001+65002 client limit=20 filters=a+b": words, in any order behind the prefix.
#include "agent/config/parse.h"

#include "agent/model/scalars.h"

#include <algorithm>

namespace margay::config {
namespace {

bool read_as(std::string_view text, ListenRange& range)
{
    range.internal = text == "internal";
    range.external = text == "external";
    if (range.internal || range.external)
        return true;
    for (const std::string& word : split(text, '+')) {
        const auto number = parse_as(word);
        if (!number)
            return false;
        range.as_numbers.push_back(*number);
    }
    return !range.as_numbers.empty();
}

bool read_limit(std::string_view text, ListenRange& range)
{
    const auto limit = parse_number(text, Config::kMostListenPeers);
    range.limit = static_cast<std::uint32_t>(limit.value_or(0));
    return range.limit > 0;
}

bool read_max_prefixes(std::string_view text, ListenRange& range)
{
    const auto most = parse_number(text, 0xffffffff);
    range.max_prefixes = static_cast<std::uint32_t>(most.value_or(0));
    return most && *most > 0;
}

bool read_ttl_security(std::string_view text, ListenRange& range)
{
    const auto hops = parse_number(text, 254);
    range.ttl_security = static_cast<std::uint8_t>(hops.value_or(0));
    return range.ttl_security > 0;
}

bool read_password(std::string_view text, ListenRange& range)
{
    const auto parts = split(text, '/');
    if (parts.size() != 2 || !std::ranges::all_of(parts, model::is_plain_name))
        return false;
    range.secret = parts[0];
    range.secret_key = parts[1];
    return true;
}

bool read_filters(std::string_view text, ListenRange& range)
{
    range.filters = split(text, '+');
    return !range.filters.empty() && std::ranges::all_of(range.filters, model::is_plain_name);
}

struct Word {
    std::string_view name;
    bool (*read)(std::string_view value, ListenRange& range);
};
constexpr Word kWords[] = {{"as", read_as},
                           {"limit", read_limit},
                           {"max-prefixes", read_max_prefixes},
                           {"ttl-security", read_ttl_security},
                           {"password", read_password},
                           {"filters", read_filters}};

bool read_word(std::string_view text, ListenRange& range)
{
    if (text == "client")
        return std::exchange(range.client, true) == false;
    const auto equals = text.find('=');
    const auto word = std::ranges::find(kWords, text.substr(0, equals), &Word::name);
    return word != std::end(kWords) && equals != text.npos &&
           word->read(text.substr(equals + 1), range);
}

std::optional<ListenRange> parse_range(std::string_view text)
{
    std::vector<std::string> words = split(text, ' ');
    const auto prefix = IpPrefix::parse(words.front());
    if (!prefix)
        return std::nullopt;
    ListenRange range;
    range.prefix = prefix->network();
    words.erase(words.begin());
    std::vector<std::string> names;
    for (const std::string& word : words) {
        if (!read_word(word, range))
            return std::nullopt;
        names.push_back(word.substr(0, word.find('=')));
    }
    std::ranges::sort(names);
    const bool twice = std::ranges::adjacent_find(names) != names.end();
    const bool has_as = std::ranges::binary_search(names, "as");
    if (twice || !has_as || (range.client && range.external)) // a client is internal (RFC 4456)
        return std::nullopt;
    return range;
}

} // namespace

std::optional<std::vector<ListenRange>> parse_listen_ranges(std::string_view text)
{
    std::vector<ListenRange> ranges;
    for (const std::string& item : split(text, ',')) {
        auto range = parse_range(item);
        if (!range || std::ranges::count(ranges, range->prefix, &ListenRange::prefix) > 0)
            return std::nullopt;
        ranges.push_back(std::move(*range));
    }
    return ranges;
}

} // namespace margay::config
