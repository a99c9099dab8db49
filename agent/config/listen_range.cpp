// SPDX-License-Identifier: Apache-2.0
// "10.1.0.0/24 as=65001+65002 client limit=20 filters=a+b": words, in any order behind the prefix.
#include "agent/config/parse.h"

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
constexpr Word kWords[] = {
    {"as", read_as},
    {"limit", [](std::string_view t,
                 ListenRange& r) { return read_number(t, 1, Config::kMostListenPeers, r.limit); }},
    {"max-prefixes", [](std::string_view t,
                        ListenRange& r) { return read_number(t, 1, 0xffffffff, r.max_prefixes); }},
    {"ttl-security",
     [](std::string_view t, ListenRange& r) { return read_number(t, 1, 254, r.ttl_security); }},
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
