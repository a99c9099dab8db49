// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/label_index.h"

#include <algorithm>

namespace margay::calc {
namespace {

using Requirement = model::Selector::Requirement;
using Condition = model::Selector::Condition;

template <typename Map>
auto* find_in(Map& map, const typename Map::key_type& key)
{
    const auto at = map.find(key);
    return at == map.end() ? nullptr : &at->second;
}

template <typename Set, typename Id>
void put(Set& set, Id id, bool in)
{
    if (in)
        set.insert(id);
    else
        set.erase(id);
}

} // namespace

std::size_t LabelIndex::selectors_under(const Condition& condition) const
{
    std::size_t count = 0;
    for (const auto& requirement : condition) {
        // An item has any value more often than a given one.
        if (requirement.values.empty())
            count += selectors_.size();
        const auto* by_label = find_in(selectors_by_label_, requirement.key);
        if (!by_label)
            continue;
        count += by_label->any_value.size();
        for (const auto& value : requirement.values)
            if (const auto* ids = find_in(by_label->value, value))
                count += ids->size();
    }
    return count;
}

std::size_t LabelIndex::items_under(const Condition& condition) const
{
    std::size_t count = 0;
    for (const auto& requirement : condition) {
        const auto* by_label = find_in(items_by_label_, requirement.key);
        if (!by_label)
            continue;
        if (requirement.values.empty())
            count += by_label->any_value.size();
        for (const auto& value : requirement.values)
            if (const auto* ids = find_in(by_label->value, value))
                count += ids->size();
    }
    return count;
}

void LabelIndex::file(SelectorId id, const Filed& filed, bool in)
{
    if (filed.filed_under.empty())
        return put(unfiled_, id, in);
    for (const auto& requirement : filed.filed_under)
        file_under(id, requirement, in);
}

// Alternatives may name the same label and value twice: the second time finds it done.
void LabelIndex::file_under(SelectorId id, const Requirement& requirement, bool in)
{
    auto& by_label = selectors_by_label_[requirement.key];
    if (requirement.values.empty())
        put(by_label.any_value, id, in);
    for (const auto& value : requirement.values) {
        auto& ids = by_label.value[value];
        put(ids, id, in);
        if (ids.empty())
            by_label.value.erase(value);
    }
    if (by_label.any_value.empty() && by_label.value.empty())
        selectors_by_label_.erase(requirement.key);
}

void LabelIndex::index_item(ItemId id, const model::Labels& labels, bool in)
{
    for (const auto& [key, value] : labels) {
        auto& by_label = items_by_label_[key];
        put(by_label.any_value, id, in);
        auto& ids = by_label.value[value];
        put(ids, id, in);
        if (ids.empty())
            by_label.value.erase(value);
        if (by_label.any_value.empty())
            items_by_label_.erase(key);
    }
}

std::vector<SelectorId> LabelIndex::matches_of(const model::Labels& labels) const
{
    std::vector<SelectorId> matching;
    const auto try_all = [&](const std::unordered_set<SelectorId>& ids) {
        for (const SelectorId id : ids)
            if (selectors_.at(id).selector.matches(labels))
                matching.push_back(id);
    };
    try_all(unfiled_);
    for (const auto& [key, value] : labels) {
        const auto* by_label = find_in(selectors_by_label_, key);
        if (!by_label)
            continue;
        try_all(by_label->any_value);
        if (const auto* ids = find_in(by_label->value, value))
            try_all(*ids);
    }
    std::sort(matching.begin(), matching.end());
    // Found under each alternative that the labels meet.
    matching.erase(std::unique(matching.begin(), matching.end()), matching.end());
    return matching;
}

void LabelIndex::set_item(ItemId id, const model::Labels& labels)
{
    auto& item = items_[id];
    if (item.labels != labels) {
        index_item(id, item.labels, false);
        index_item(id, labels, true);
        item.labels = labels;
    }
    auto now = matches_of(labels);
    const auto before = std::exchange(item.matching, std::move(now));
    const auto& after = item.matching;
    for (const SelectorId selector : before)
        if (!std::binary_search(after.begin(), after.end(), selector)) {
            selectors_.at(selector).items.erase(id);
            on_change_(selector, id, false);
        }
    for (const SelectorId selector : after)
        if (!std::binary_search(before.begin(), before.end(), selector)) {
            selectors_.at(selector).items.insert(id);
            on_change_(selector, id, true);
        }
}

void LabelIndex::remove_item(ItemId id)
{
    const auto at = items_.find(id);
    if (at == items_.end())
        return;
    index_item(id, at->second.labels, false);
    const auto matching = std::move(at->second.matching);
    items_.erase(at);
    for (const SelectorId selector : matching) {
        selectors_.at(selector).items.erase(id);
        on_change_(selector, id, false);
    }
}

void LabelIndex::try_item(SelectorId id, Filed& filed, ItemId item_id)
{
    auto& item = items_.at(item_id);
    if (filed.items.contains(item_id) || !filed.selector.matches(item.labels))
        return;
    filed.items.insert(item_id);
    item.matching.insert(std::lower_bound(item.matching.begin(), item.matching.end(), id), id);
    on_change_(id, item_id, true);
}

void LabelIndex::add_selector(SelectorId id, const model::Selector& selector)
{
    auto& filed = selectors_[id];
    filed.selector = selector;
    const auto conditions = selector.requirements();
    if (conditions.empty()) {
        file(id, filed, true);
        for (const auto& [item, unused] : items_)
            try_item(id, filed, item);
        return;
    }
    const auto by_selectors = [this](const Condition& a, const Condition& b) {
        return selectors_under(a) < selectors_under(b);
    };
    const auto by_items = [this](const Condition& a, const Condition& b) {
        return items_under(a) < items_under(b);
    };
    filed.filed_under = *std::min_element(conditions.begin(), conditions.end(), by_selectors);
    file(id, filed, true);
    for (const auto& requirement :
         *std::min_element(conditions.begin(), conditions.end(), by_items))
        try_items(id, filed, requirement);
}

void LabelIndex::try_items(SelectorId id, Filed& filed, const Requirement& requirement)
{
    const auto* by_label = find_in(items_by_label_, requirement.key);
    if (!by_label)
        return;
    if (requirement.values.empty())
        for (const ItemId item : by_label->any_value)
            try_item(id, filed, item);
    for (const auto& value : requirement.values)
        if (const auto* ids = find_in(by_label->value, value))
            for (const ItemId item : *ids)
                try_item(id, filed, item);
}

void LabelIndex::remove_selector(SelectorId id)
{
    const auto at = selectors_.find(id);
    if (at == selectors_.end())
        return;
    file(id, at->second, false);
    for (const ItemId item_id : at->second.items) {
        auto& matching = items_.at(item_id).matching;
        matching.erase(std::lower_bound(matching.begin(), matching.end(), id));
    }
    selectors_.erase(at);
}

const std::vector<SelectorId>& LabelIndex::selectors_of(ItemId item) const
{
    static const std::vector<SelectorId> kNone;
    const auto at = items_.find(item);
    return at == items_.end() ? kNone : at->second.matching;
}

} // namespace margay::calc
