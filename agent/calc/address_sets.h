// SPDX-License-Identifier: Apache-2.0
// AddressSets: the selectors of active rules as numbered sets of addresses.
//
// Items (workload and host endpoints, network sets) have labels, prefixes and named ports. A
// selector set holds the prefixes of all items that match. A port set holds the prefixes of the
// items that match and carry a given port name with a given protocol and number; which numbers a
// name has is not known before the items are, so a change of that list is reported and rebuilds
// the rules that use the name. Sets are counted by their users.
//
// A set that lost its last user is retired, not closed: programs that ask for it may run until the
// data path has exchanged them, and to those an emptied set would mean that a Deny matches nobody.
// It keeps its number and its members until release_retired(). A set that got no number is asked
// for again by retry_refused().

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/calc/class_table.h"
#include "agent/calc/label_index.h"
#include "agent/calc/set_ids.h"
#include "agent/model/resources.h"
#include "agent/model/wanted.h"

namespace margay::calc {

struct Member {
    std::vector<Prefix4> nets{};
    std::vector<model::EndpointPort> ports{};

    bool operator==(const Member&) const = default;
};

// A port name as a rule means it.
struct PortName {
    model::Selector selector{};
    std::string name{};
    std::uint8_t protocol = 0;

    auto operator<=>(const PortName&) const = default;
};

class AddressSets {
public:
    // `on_ports(name)`: the numbers behind a port name changed. Called from set_item() and
    // remove_item() only.
    explicit AddressSets(SetIds ids, std::function<void(const PortName&)> on_ports);

    void set_item(ItemId item, const model::Labels& labels, const Member& member);
    void remove_item(ItemId item);

    // One acquire, one release. Nothing: no number is left now.
    std::optional<policy::SetId> acquire(const model::Selector& selector);
    void release(const model::Selector& selector);
    void acquire(const PortName& name);
    void release(const PortName& name);
    // Sorted. Nothing: some number behind the name got no set.
    std::optional<std::vector<policy::NamedPort>> ports(const PortName& name) const;

    // True: a set that had none got its number, and what was resolved without it is out of date.
    bool retry_refused();
    // Whatever was retired up to the last take_changes() is in no program any more.
    void release_retired();
    bool has_retired() const { return !retired_selectors_.empty() || !retired_ports_.empty(); }
    bool has_refused() const { return !refused_selectors_.empty() || !refused_ports_.empty(); }

    void take_changes(model::Changes& into);
    bool dirty() const { return !changed_.empty() || classes_.dirty(); }

private:
    struct PortSet {
        std::optional<policy::SetId> id{};
        std::size_t items = 0;
    };
    struct PortGroup {
        PortName name{};
        std::size_t users = 0;
        std::map<std::uint16_t, PortSet> by_number{};
    };
    struct Use { // of one selector
        model::Selector selector{};
        SelectorId id = 0;
        std::size_t users = 0; // of the plain set
        std::optional<policy::SetId> set{};
        std::vector<PortGroup> groups{};
        std::vector<ItemId> items{}; // sorted
    };

    Use& use_of(const model::Selector& selector);
    void drop_if_unused(const model::Selector& selector);
    PortGroup* group_of(Use& use, const PortName& name);
    void on_match(SelectorId id, ItemId item, bool matches);
    void contribute(Use& use, const Member& member, bool in);
    bool contribute_ports(PortGroup& group, const Member& member, bool in);
    bool fill(Use& use);
    bool fill(const Use& use, PortGroup& group);
    void close(const std::string& text);
    void close(const PortName& name);
    void add_nets(policy::SetId set, const Member& member, bool in);
    std::optional<policy::SetId> open_set(const std::string& name);
    void close_set(const std::string& name, policy::SetId id);

    SetIds ids_;
    std::function<void(const PortName&)> on_ports_;
    ClassTable classes_;
    std::unordered_map<ItemId, Member> members_;
    std::unordered_map<std::string, std::unique_ptr<Use>> by_text_;
    std::unordered_map<SelectorId, Use*> by_id_;
    SelectorId next_id_ = 1;
    // Without users, by the number of the take_changes() that tells so.
    std::map<std::string, std::uint64_t> retired_selectors_;
    std::map<PortName, std::uint64_t> retired_ports_;
    std::set<std::string> refused_selectors_;
    std::set<PortName> refused_ports_;
    std::uint64_t takes_ = 0;
    model::Delta<policy::SetId, model::WantedSet> changed_;
    LabelIndex index_;
};

} // namespace margay::calc
