// SPDX-License-Identifier: Apache-2.0
// Datapath: the agent's hand on the eBPF data path.
//
// want_*() and forget_*() state what should be and touch memory only; flush() makes it so, in an
// order that never opens a window (tables.h):
//   1. policy programs, in slots that nobody names yet    4. endpoints, workloads, routes
//   2. the world: config, ids, classes, nodes, paths      5. removal of what judgements read
//   3. stage programs, then hooks                         6. generations: flows judge again
//                                                         7. other removals, in the reverse order
// What the kernel refuses stays pending and is tried again by itself, with a growing pause.
//
// A restart: open() loads the programs of this build beside those that run, and adopts maps, ids
// and attachments. Nothing is detached or removed before in_sync() says that everything wanted has
// been stated; until then flush() only adds. The first complete flush after it moves every hook to
// the new programs, removes what is stale and exchanges the pins.
//
// Everything runs on the executor's thread. Errors name the object; flush() logs none, its caller
// gets the first, and status() has them all.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/attach.h"
#include "agent/datapath/classes.h"
#include "agent/datapath/devices.h"
#include "agent/datapath/endpoints.h"
#include "agent/datapath/events.h"
#include "agent/datapath/flows.h"
#include "agent/datapath/ids.h"
#include "agent/datapath/policies.h"
#include "agent/datapath/probe.h"
#include "agent/datapath/programs.h"
#include "agent/datapath/routes.h"
#include "agent/datapath/tables.h"
#include "margay/clock.h"
#include "margay/executor.h"
#include "margay/log.h"

namespace margay::datapath {

struct Options {
    ProgramOptions programs{}; // `constants.hz` is filled in by open()
    bool force_clsact = false; // no TCX even where the kernel has it
    // For so long after the very first start, replies of flows that began before it are picked up.
    std::chrono::seconds pick_up{20};
    // How often the kernel is asked whether our programs still run.
    std::chrono::milliseconds look_again{10'000};
    // Hooks were attached, or found lost, outside a flush() of the owner, who should flush() again.
    std::function<void()> on_hooks_changed{};
};

// What the programs are told at run time, in the agent's words.
struct ConfigWant {
    std::optional<Ipv4> node_address{};
    Ipv4 icmp_source{0xa9fe0101}; // 169.254.1.1
    bool ipip = true;
    bool ipip_from_workloads = false;
    bool vxlan_from_workloads = false;
    endpoint_to_host to_host = TO_HOST_DROP;
    std::uint16_t vxlan_port = 4789; // 0: no check
    std::uint32_t flow_budget = 0; // flows an endpoint may hold; 0: no limit
    flow_timeouts timeouts{}; // zeros: defaults
};

struct DatapathStatus {
    bool in_sync = false; // everything wanted was stated and is in the kernel
    std::size_t pending = 0;
    std::string problem; // the last flush's first error
    std::vector<Feature> features;
    std::vector<std::pair<std::string, std::uint32_t>> programs; // name, id
    struct HookState {
        std::uint32_t ifindex = 0;
        std::string hook;
        std::string kind; // "tcx", "clsact", "xdp native"
        std::uint32_t program_id = 0;
        std::string program; // empty: an earlier build's
    };
    std::vector<HookState> hooks;
    std::vector<Devices::Info> devices;
    std::vector<Tables::Fill> tables;
    std::vector<Programs::MapState> maps;
};

class Datapath {
public:
    // Loads and adopts; changes nothing of what runs.
    static Result<std::unique_ptr<Datapath>> open(Executor& executor, const Clock& clock, Log log,
                                                  const Options& options);
    ~Datapath();
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;

    void want_config(const ConfigWant& config);
    // The bit of an address set, for calc; the same in every run. One release a claim.
    Result<policy::SetId> claim_set(std::string_view name);
    void release_set(std::string_view name);
    // The sets of a prefix, those of prefixes around it included; empty forgets it. Where there is
    // no room, policies that ask for sets of these addresses deny until there is.
    Status want_class(const Prefix4& prefix, const SetList& sets);

    // A workload's device, known or not yet known as an endpoint: programs run there.
    void want_workload_device(std::uint32_t ifindex) { devices_.want_workload(ifindex); }
    void want_uplink(std::uint32_t ifindex, XdpMode xdp) { devices_.want_uplink(ifindex, xdp); }
    void forget_device(std::uint32_t ifindex) { devices_.forget(ifindex); }
    void device_gone(std::uint32_t ifindex) { devices_.gone(ifindex); }

    // `name` is the endpoint's for its life: the workload's interface name. Returns its slot, for
    // its routes (RouteWant::endpoint).
    Result<std::uint32_t> want_endpoint(const std::string& name, const EndpointWant& endpoint);
    void forget_endpoint(const std::string& name);

    Status want_route(const Prefix4& prefix, const RouteWant& route);
    void forget_route(const Prefix4& prefix);
    Status want_node(const Prefix4& outer_source, bool external);
    void forget_node(const Prefix4& outer_source);
    void set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac);

    // Everything has been stated at least once: what nobody wants may go from now on.
    // Remote prefixes of an earlier run wait for set_routes_complete() too.
    void set_in_sync();
    void set_routes_complete() { routes_complete_ = true; }

    // Makes at most about `budget` map writes. What is left over, by budget or by error, is tried
    // again by a timer.
    Status flush(std::size_t budget = 8192);
    // flush() soon, once, however often this is called in a turn.
    void flush_soon();
    bool settled() const; // in sync, and nothing is pending

    // Devices with a program of ours on both tc hooks, those of an earlier run included.
    std::vector<std::uint32_t> judged_devices() const { return attacher_.both_ways(); }

    DatapathStatus status() const;
    Result<std::vector<Programs::Slot>> filled_slots(const std::string& array) const
    {
        return programs_.filled_slots(array);
    }
    const Endpoints& endpoints() const { return endpoints_; }
    const Policies& policies() const { return policies_; }
    const Routes& routes() const { return routes_; }
    const Flows& flows() const { return flows_; }
    const std::deque<Record>& drops() const { return events_.kept(); }
    Result<std::vector<Counter>> counters() const { return read_counters(programs_); }

private:
    Datapath(Executor& executor, const Clock& clock, Log log, const Options& options,
             Programs programs, Tables tables);
    Status adopt();
    Status flush_steps(maps::Budget& budget);
    Status swap_programs(const Status& world);
    Status finish(maps::Budget& budget);
    void touch_endpoints();
    void count_facts();
    void start_grace(std::uint32_t jiffies, const std::optional<struct config>& before);
    void end_grace();
    void seal();
    Status remove_facts(maps::Budget& budget);
    void expire();
    std::string unplaced_text() const;
    void schedule(bool failed);
    Status flush_by_itself();
    void look_after_hooks();

    const Clock& clock_;
    Log log_;
    Programs programs_;
    Tables tables_;
    Attacher attacher_;
    Devices devices_;
    Ids ids_;
    Classes classes_;
    Policies policies_;
    Endpoints endpoints_;
    Routes routes_;
    Flows flows_;
    Events events_;
    Timer retry_;
    Timer soon_;
    Timer watch_;
    std::chrono::milliseconds pause_;
    std::chrono::seconds pick_up_;
    std::chrono::milliseconds look_again_;
    std::function<void()> on_hooks_changed_;
    std::uint32_t grace_until_ = 0; // jiffies; 0: none
    Clock::Time grace_end_{};
    bool succeeds_ = false; // an earlier run left endpoints
    bool everything_stated_ = false;
    bool routes_complete_ = false;
    bool sealed_ = false;
    bool stages_installed_ = false;
    bool committed_ = false;
    std::string problem_;
};

// `margayd --cleanup`: detaches every program and removes every pin of this and earlier versions.
Status cleanup(const std::string& pin_root);

} // namespace margay::datapath
