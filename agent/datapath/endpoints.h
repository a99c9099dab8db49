// SPDX-License-Identifier: Apache-2.0
// Endpoints: local workloads in "endpoints" and "workloads", with their policies and generations.
//
// A change of policy reaches the kernel in two writes: first the endpoint with its new slots and
// the old generation, then, when everything that the judgement reads is in place, the next
// generation, which makes its flows be judged again. A flow that is judged between the two is
// stamped with the old generation, and judged once more.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/ids.h"
#include "agent/datapath/policies.h"
#include "agent/datapath/routes.h"
#include "agent/datapath/tables.h"
#include "agent/model/wanted.h"
#include "margay/ip.h"

namespace margay::datapath {

struct EndpointWant {
    std::uint32_t ifindex = 0; // host side of its veth
    MacBytes mac{};            // the workload's; zeros: unknown
    MacBytes host_mac{};
    Ipv4 address{}; // its first
    bool up = true;
    model::ProgramRef ingress{};
    model::ProgramRef egress{};

    bool operator==(const EndpointWant&) const = default;
};

class Endpoints {
public:
    // `random` gives incarnations.
    Endpoints(Tables& tables, Ids& ids, Policies& policies, std::function<std::uint32_t()> random)
        : tables_(tables), ids_(ids), policies_(policies), random_(std::move(random))
    {
    }

    // Memory only. The slot is the endpoint's for its life; routes name it.
    Result<std::uint32_t> want(const std::string& name, const EndpointWant& want);
    void forget(const std::string& name, Clock::Time now);

    // Loads policies of what changed, at most `loads` new programs, and states the entries. An
    // endpoint whose policy cannot be loaded keeps what it has of this run, and is denied otherwise.
    Status prepare(std::size_t loads, Clock::Time now);
    // Whether prepare() came to everything since the last change, be it with an error.
    bool prepared() const { return untried_ == 0; }
    // The endpoints whose programs ask for one of these sets are to judge again.
    void touch_sets(const std::set<policy::SetId>& sets);
    void touch_all();
    // Gives touched endpoints their next generation. `settled`: what they read is all in place;
    // otherwise they stay touched and get another one later. Returns whether any got one.
    bool bump(bool settled);
    // Gives up policies that the kernel's endpoints no longer name.
    void release_policies(Clock::Time now);

    bool pending() const { return !dirty_.empty() || !touched_.empty(); }
    // An endpoint went since the last call: its flows can be collected.
    bool take_removed() { return std::exchange(removed_, false); }
    std::optional<std::string> name_of(std::uint32_t slot) const;

    struct Info {
        std::string name;
        std::uint32_t slot = 0;
        EndpointWant want;
        std::optional<endpoint> actual;
        std::string problem; // why it is not as wanted
    };
    std::vector<Info> list() const;

private:
    struct State {
        EndpointWant want;
        IdHash id{};
        std::uint32_t slot = 0;
        std::uint32_t incarnation = 0;
        std::uint32_t generation = 0;
        std::uint32_t ingress_slot = 0; // 0: not loaded yet
        std::uint32_t egress_slot = 0;
        policy::ProgramHash ingress_hash{}; // of what the slots hold
        policy::ProgramHash egress_hash{};
        std::string problem;
    };

    void take_over(State& state) const;
    std::uint32_t new_incarnation(std::uint32_t other) const;
    std::size_t cost_of(const State& state, Clock::Time now) const;
    Status load_policies(State& state, Clock::Time now);
    void state_entry(const State& state);

    Tables& tables_;
    Ids& ids_;
    Policies& policies_;
    std::function<std::uint32_t()> random_;
    std::map<std::string, State> states_;
    std::map<std::uint32_t, std::string> by_slot_;
    std::set<std::string> dirty_; // to be prepared
    std::set<std::string> touched_; // to be judged again
    std::vector<policy::ProgramHash>
        unused_; // policy hashes to release when the tables are written
    std::size_t untried_ = 0; // left over by the last prepare()
    bool removed_ = false;
};

} // namespace margay::datapath
