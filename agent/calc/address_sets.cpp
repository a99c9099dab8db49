// SPDX-License-Identifier: Apache-2.0

#include "agent/calc/address_sets.h"

#include <algorithm>

namespace margay::calc {
namespace {

std::string set_name(const model::Selector& selector)
{
    return "selector " + selector.text();
}

std::string port_set_name(const PortName& name, std::uint16_t number)
{
    return "port " + name.name + "/" + std::to_string(name.protocol) + "=" +
           std::to_string(number) + " " + name.selector.text();
}

} // namespace

AddressSets::AddressSets(SetIds ids, std::function<void(const PortName&)> on_ports)
    : ids_(std::move(ids)), on_ports_(std::move(on_ports)),
      index_([this](SelectorId id, ItemId item, bool matches) { on_match(id, item, matches); })
{
}

void AddressSets::set_item(ItemId item, const model::Labels& labels, const Member& member)
{
    auto& stored = members_[item];
    if (stored != member) {
        // Same matches, other contents: first the new, then the old, so that what stays, stays.
        const auto matching = index_.selectors_of(item);
        const Member before = std::exchange(stored, member);
        for (const SelectorId id : matching)
            contribute(*by_id_.at(id), member, true);
        for (const SelectorId id : matching)
            contribute(*by_id_.at(id), before, false);
    }
    index_.set_item(item, labels);
}

void AddressSets::remove_item(ItemId item)
{
    index_.remove_item(item);
    members_.erase(item);
}

void AddressSets::on_match(SelectorId id, ItemId item, bool matches)
{
    auto& use = *by_id_.at(id);
    const auto at = std::lower_bound(use.items.begin(), use.items.end(), item);
    if (matches)
        use.items.insert(at, item);
    else
        use.items.erase(at);
    contribute(use, members_.at(item), matches);
}

void AddressSets::contribute(Use& use, const Member& member, bool in)
{
    if (use.set)
        add_nets(*use.set, member, in);
    for (auto& group : use.groups)
        if (contribute_ports(group, member, in))
            on_ports_(group.name);
}

// True: a number came or went.
bool AddressSets::contribute_ports(PortGroup& group, const Member& member, bool in)
{
    bool changed = false;
    for (const auto& port : member.ports) {
        if (port.name != group.name.name || port.protocol != group.name.protocol)
            continue;
        auto& set = group.by_number[port.port];
        if (in && set.items++ == 0) {
            set.id = open_set(port_set_name(group.name, port.port));
            if (!set.id)
                refused_ports_.insert(group.name);
            changed = true;
        }
        if (set.id)
            add_nets(*set.id, member, in);
        if (!in && --set.items == 0) {
            if (set.id)
                close_set(port_set_name(group.name, port.port), *set.id);
            group.by_number.erase(port.port);
            changed = true;
        }
    }
    return changed;
}

void AddressSets::add_nets(policy::SetId set, const Member& member, bool in)
{
    for (const auto& net : member.nets)
        if (in)
            classes_.add(net, set);
        else
            classes_.remove(net, set);
}

std::optional<policy::SetId> AddressSets::open_set(const std::string& name)
{
    const auto id = ids_.claim(name);
    if (id)
        changed_.insert_or_assign(*id, model::WantedSet{name});
    return id;
}

void AddressSets::close_set(const std::string& name, policy::SetId id)
{
    ids_.release(name);
    changed_.insert_or_assign(id, std::nullopt);
}

AddressSets::Use& AddressSets::use_of(const model::Selector& selector)
{
    auto& use = by_text_[selector.text()];
    if (use)
        return *use;
    use = std::make_unique<Use>();
    use->selector = selector;
    use->id = next_id_++;
    by_id_.emplace(use->id, use.get());
    index_.add_selector(use->id, selector); // fills use->items by on_match()
    return *use;
}

void AddressSets::drop_if_unused(const model::Selector& selector)
{
    const auto at = by_text_.find(selector.text());
    if (at == by_text_.end() || at->second->users > 0 || !at->second->groups.empty() ||
        retired_selectors_.contains(selector.text()))
        return;
    index_.remove_selector(at->second->id);
    by_id_.erase(at->second->id);
    by_text_.erase(at);
}

// Asks for a number where there is none. True: there is one now that was not there before.
bool AddressSets::fill(Use& use)
{
    const std::string& text = use.selector.text();
    if (use.set)
        return false;
    use.set = open_set(set_name(use.selector));
    if (!use.set) {
        refused_selectors_.insert(text);
        return false;
    }
    refused_selectors_.erase(text);
    for (const ItemId item : use.items)
        add_nets(*use.set, members_.at(item), true);
    return true;
}

std::optional<policy::SetId> AddressSets::acquire(const model::Selector& selector)
{
    auto& use = use_of(selector);
    if (use.users++ == 0) {
        retired_selectors_.erase(selector.text());
        fill(use);
    }
    return use.set;
}

void AddressSets::release(const model::Selector& selector)
{
    const auto at = by_text_.find(selector.text());
    if (at == by_text_.end() || at->second->users == 0 || --at->second->users > 0)
        return;
    retired_selectors_.insert_or_assign(selector.text(), takes_ + 1);
}

void AddressSets::close(const std::string& text)
{
    auto& use = *by_text_.at(text);
    refused_selectors_.erase(text);
    if (use.set) {
        for (const ItemId item : use.items)
            add_nets(*use.set, members_.at(item), false);
        close_set(set_name(use.selector), *use.set);
        use.set.reset();
    }
    drop_if_unused(model::Selector(use.selector));
}

AddressSets::PortGroup* AddressSets::group_of(Use& use, const PortName& name)
{
    for (auto& group : use.groups)
        if (group.name == name)
            return &group;
    return nullptr;
}

void AddressSets::acquire(const PortName& name)
{
    auto& use = use_of(name.selector);
    auto* group = group_of(use, name);
    if (!group) {
        group = &use.groups.emplace_back(PortGroup{name, 0, {}});
        for (const ItemId item : use.items)
            contribute_ports(*group, members_.at(item), true);
    }
    if (group->users++ == 0)
        retired_ports_.erase(name);
}

void AddressSets::release(const PortName& name)
{
    const auto at = by_text_.find(name.selector.text());
    auto* group = at == by_text_.end() ? nullptr : group_of(*at->second, name);
    if (!group || group->users == 0 || --group->users > 0)
        return;
    retired_ports_.insert_or_assign(name, takes_ + 1);
}

void AddressSets::close(const PortName& name)
{
    auto& use = *by_text_.at(name.selector.text());
    auto* group = group_of(use, name);
    for (const ItemId item : use.items)
        contribute_ports(*group, members_.at(item), false);
    refused_ports_.erase(name);
    use.groups.erase(use.groups.begin() + (group - use.groups.data()));
    drop_if_unused(name.selector);
}

// As fill() of a selector, for the numbers behind a name.
bool AddressSets::fill(const Use& use, PortGroup& group)
{
    bool found = false;
    bool refused = false;
    for (auto& [number, set] : group.by_number) {
        if (set.id)
            continue;
        set.id = open_set(port_set_name(group.name, number));
        refused |= !set.id;
        found |= set.id.has_value();
        for (const ItemId item : use.items)
            for (const auto& port : members_.at(item).ports)
                if (set.id && port.port == number && port.name == group.name.name &&
                    port.protocol == group.name.protocol)
                    add_nets(*set.id, members_.at(item), true);
    }
    if (!refused)
        refused_ports_.erase(group.name);
    return found;
}

bool AddressSets::retry_refused()
{
    bool found = false;
    for (const auto& text : std::set(refused_selectors_))
        if (auto& use = *by_text_.at(text); use.users > 0)
            found |= fill(use);
    for (const auto& name : std::set(refused_ports_)) {
        const auto& use = by_text_.at(name.selector.text());
        if (auto& group = *group_of(*use, name); group.users > 0)
            found |= fill(*use, group);
    }
    return found;
}

void AddressSets::release_retired()
{
    for (auto at = retired_selectors_.begin(); at != retired_selectors_.end();) {
        if (at->second > takes_) {
            ++at;
            continue;
        }
        const std::string text = at->first;
        at = retired_selectors_.erase(at);
        close(text);
    }
    for (auto at = retired_ports_.begin(); at != retired_ports_.end();) {
        if (at->second > takes_) {
            ++at;
            continue;
        }
        const PortName name = at->first;
        at = retired_ports_.erase(at);
        close(name);
    }
}

std::optional<std::vector<policy::NamedPort>> AddressSets::ports(const PortName& name) const
{
    std::vector<policy::NamedPort> found;
    const auto at = by_text_.find(name.selector.text());
    if (at == by_text_.end())
        return found;
    for (const auto& group : at->second->groups) {
        if (group.name != name)
            continue;
        for (const auto& [number, set] : group.by_number) {
            if (!set.id)
                return std::nullopt;
            found.push_back({number, *set.id});
        }
    }
    return found;
}

void AddressSets::take_changes(model::Changes& into)
{
    ++takes_;
    into.sets = std::exchange(changed_, {});
    into.classes = classes_.take_changes();
}

} // namespace margay::calc
