// SPDX-License-Identifier: Apache-2.0
// LabelIndex: which items match which selectors, kept true under changes of both.
//
// A selector is filed under one condition that every match must meet (Selector::requirements()),
// such as "role is web" or "role is web, or it has a zone"; an item meets only the selectors filed
// under its own labels. So a change costs what it concerns, not items times selectors. A selector
// without such a condition is tried against everything.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/model/labels.h"
#include "agent/model/selector.h"

namespace margay::calc {

using ItemId = std::uint32_t;
using SelectorId = std::uint32_t;

class LabelIndex {
public:
    // `on_change(selector, item, matches)`: a match began or ended. It must not call back into
    // this object's modifiers.
    using OnChange = std::function<void(SelectorId, ItemId, bool)>;

    explicit LabelIndex(OnChange on_change) : on_change_(std::move(on_change)) {}

    void set_item(ItemId item, const model::Labels& labels);
    void remove_item(ItemId item);
    // Reports every match that begins with it.
    void add_selector(SelectorId id, const model::Selector& selector);
    // Reports nothing: who removes a selector forgets what it matched.
    void remove_selector(SelectorId id);

    const std::vector<SelectorId>& selectors_of(ItemId item) const; // sorted

private:
    struct Item {
        model::Labels labels;
        std::vector<SelectorId> matching; // sorted
    };
    struct Filed {
        model::Selector selector;
        model::Selector::Condition filed_under; // empty: none
        std::unordered_set<ItemId> items;
    };
    template <typename Id>
    struct ByLabel {
        std::unordered_set<Id> any_value; // of the key
        std::unordered_map<std::string, std::unordered_set<Id>> value;
    };

    std::size_t selectors_under(const model::Selector::Condition& condition) const;
    std::size_t items_under(const model::Selector::Condition& condition) const;
    void file(SelectorId id, const Filed& filed, bool in);
    void index_item(ItemId id, const model::Labels& labels, bool in);
    std::vector<SelectorId> matches_of(const model::Labels& labels) const;
    void file_under(SelectorId id, const model::Selector::Requirement& requirement, bool in);
    void try_items(SelectorId id, Filed& filed, const model::Selector::Requirement& requirement);
    void try_item(SelectorId id, Filed& filed, ItemId item);

    OnChange on_change_;
    std::unordered_map<ItemId, Item> items_;
    std::unordered_map<SelectorId, Filed> selectors_;
    std::unordered_map<std::string, ByLabel<SelectorId>> selectors_by_label_;
    std::unordered_map<std::string, ByLabel<ItemId>> items_by_label_;
    std::unordered_set<SelectorId> unfiled_;
};

} // namespace margay::calc
