// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/endpoints.h"

#include <algorithm>

namespace margay::datapath {

Result<std::uint32_t> Endpoints::want(const std::string& name, const EndpointWant& want)
{
    auto it = states_.find(name);
    if (it == states_.end()) {
        State state;
        state.id = id_hash(name);
        state.want = want;
        const auto slot = ids_.acquire(ID_ENDPOINT, state.id);
        if (!slot)
            return Error{slot.error().code, 0, "endpoint " + name + ": " + slot.error().what};
        state.slot = *slot;
        take_over(state);
        by_slot_[*slot] = name;
        states_.emplace(name, std::move(state));
        dirty_.insert(name);
        return *slot;
    }
    State& state = it->second;
    if (state.want == want)
        return state.slot;
    // Another device or address is another workload for the flows, even under the same name.
    if (state.want.ifindex != want.ifindex || state.want.address != want.address) {
        state.incarnation = new_incarnation(state.incarnation);
        if (state.want.ifindex != want.ifindex)
            tables_.workloads.erase(state.want.ifindex);
        removed_ = true;
    }
    state.want = want;
    dirty_.insert(name);
    return state.slot;
}

// Goes on with what an earlier run left in the slot, if it is the same workload.
void Endpoints::take_over(State& state) const
{
    const auto old = tables_.endpoints.actual(state.slot);
    const bool same = old && old->incarnation != 0 && old->ifindex == state.want.ifindex &&
                      old->addr == state.want.address.be();
    state.incarnation = same ? old->incarnation : new_incarnation(old ? old->incarnation : 0);
    state.generation = same ? old->generation : 1;
}

std::uint32_t Endpoints::new_incarnation(std::uint32_t other) const
{
    for (;;)
        if (const std::uint32_t number = random_(); number != 0 && number != other)
            return number;
}

void Endpoints::forget(const std::string& name, Clock::Time now)
{
    const auto it = states_.find(name);
    if (it == states_.end())
        return;
    const State& state = it->second;
    tables_.endpoints.erase(state.slot);
    // The entry may be the successor's already: a device index is not reused, a name is.
    const auto workload = tables_.workloads.wanted(state.want.ifindex);
    if (workload && workload->slot == state.slot)
        tables_.workloads.erase(state.want.ifindex);
    if (state.ingress_slot != 0)
        unused_.push_back(state.ingress_hash);
    if (state.egress_slot != 0)
        unused_.push_back(state.egress_hash);
    ids_.release(ID_ENDPOINT, state.id, now);
    by_slot_.erase(state.slot);
    dirty_.erase(name);
    touched_.erase(name);
    states_.erase(it);
    removed_ = true;
}

Status Endpoints::prepare(std::size_t loads, Clock::Time now)
{
    Status first;
    untried_ = 0;
    for (auto it = dirty_.begin(); it != dirty_.end();) {
        State& state = states_.at(*it);
        const std::size_t cost = cost_of(state, now);
        if (cost > 0 && loads == 0) {
            untried_++;
            ++it;
            continue;
        }
        loads -= std::min(loads, cost);
        if (Status status = load_policies(state, now); !status) {
            state.problem = status.error().what;
            if (first)
                first = Error{status.error().code, status.error().sys,
                              "endpoint " + *it + ": " + status.error().what};
            ++it;
            continue;
        }
        state.problem.clear();
        state_entry(state);
        it = dirty_.erase(it);
    }
    return first;
}

// How many programs load_policies() would compile.
std::size_t Endpoints::cost_of(const State& state, Clock::Time now) const
{
    std::size_t cost = 0;
    for (const auto& program : {state.want.ingress, state.want.egress}) {
        if (policies_.refusal_of(program->hash, now) != nullptr)
            return 0;
        cost += policies_.known(program->hash) ? 0 : 1;
    }
    return cost;
}

Status Endpoints::load_policies(State& state, Clock::Time now)
{
    for (const auto& program : {state.want.ingress, state.want.egress})
        if (const Error* why = policies_.refusal_of(program->hash, now))
            return *why;
    const auto move_to = [&](const model::ProgramRef& program, policy::ProgramHash& hash,
                             std::uint32_t& slot) -> Status {
        if (hash == program->hash && slot != 0)
            return {};
        const auto loaded = policies_.acquire(program, now);
        if (!loaded)
            return loaded.error();
        if (slot != 0)
            unused_.push_back(hash);
        hash = program->hash;
        slot = *loaded;
        return {};
    };
    if (Status status = move_to(state.want.ingress, state.ingress_hash, state.ingress_slot);
        !status)
        return status;
    return move_to(state.want.egress, state.egress_hash, state.egress_slot);
}

void Endpoints::state_entry(const State& state)
{
    endpoint entry{};
    entry.ifindex = state.want.ifindex;
    entry.generation = state.generation;
    entry.incarnation = state.incarnation;
    entry.flags = flag_if(state.want.up, ENDPOINT_UP);
    entry.egress_policy = state.egress_slot;
    entry.ingress_policy = state.ingress_slot;
    entry.addr = state.want.address.be();
    std::copy(state.want.mac.begin(), state.want.mac.end(), entry.mac);
    std::copy(state.want.host_mac.begin(), state.want.host_mac.end(), entry.host_mac);
    const auto old = tables_.endpoints.actual(state.slot);
    const bool judged_otherwise =
        old &&
        (old->incarnation != state.incarnation || old->egress_policy != entry.egress_policy ||
         old->ingress_policy != entry.ingress_policy || old->flags != entry.flags);
    if (judged_otherwise)
        touched_.insert(by_slot_.at(state.slot));
    tables_.endpoints.set(state.slot, entry);
    tables_.workloads.set(state.want.ifindex, workload{state.slot});
}

void Endpoints::touch_sets(const std::set<policy::SetId>& sets)
{
    const auto asks = [&](std::uint32_t slot) {
        const auto& used = policies_.sets_of(slot);
        return std::any_of(used.begin(), used.end(), [&](auto set) { return sets.contains(set); });
    };
    for (const auto& [name, state] : states_)
        if (asks(state.ingress_slot) || asks(state.egress_slot))
            touched_.insert(name);
}

void Endpoints::touch_all()
{
    for (const auto& [name, state] : states_)
        touched_.insert(name);
}

bool Endpoints::bump(bool settled)
{
    bool any = false;
    std::set<std::string> later;
    for (const auto& name : touched_) {
        State& state = states_.at(name);
        const auto wanted = tables_.endpoints.wanted(state.slot);
        if (!wanted) { // not prepared yet: it may begin with an earlier run's generation
            later.insert(name);
            continue;
        }
        state.generation++;
        endpoint next = *wanted;
        next.generation = state.generation;
        tables_.endpoints.set(state.slot, next);
        any = true;
    }
    if (settled)
        touched_ = std::move(later);
    return any;
}

void Endpoints::release_policies(Clock::Time now)
{
    if (tables_.endpoints.pending() != 0)
        return;
    for (const auto& hash : unused_)
        policies_.release(hash, now);
    unused_.clear();
}

std::optional<std::string> Endpoints::name_of(std::uint32_t slot) const
{
    const auto it = by_slot_.find(slot);
    return it == by_slot_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<Endpoints::Info> Endpoints::list() const
{
    std::vector<Info> infos;
    for (const auto& [name, state] : states_)
        infos.push_back(
            {name, state.slot, state.want, tables_.endpoints.actual(state.slot), state.problem});
    return infos;
}

} // namespace margay::datapath
