// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/datapath.h"

#include <arpa/inet.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

#include "agent/datapath/libbpf_text.h"
#include "agent/datapath/pins.h"

namespace margay::datapath {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPause = 50ms;
constexpr auto kLongestPause = 10s;
// Grace periods end on time even if nothing else happens.
constexpr auto kHousekeeping = 10s;
// Compiling and loading a program costs as much as many map writes.
constexpr std::size_t kLoadsPerTurn = 16;

std::uint32_t kernel_hz()
{
    timespec resolution{};
    if (::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) != 0 || resolution.tv_nsec == 0)
        return HZ_DEFAULT;
    return static_cast<std::uint32_t>(1'000'000'000L / resolution.tv_nsec);
}

std::uint32_t random_number()
{
    static std::random_device device;
    return device();
}

} // namespace

Result<std::unique_ptr<Datapath>> Datapath::open(Executor& executor, const Clock& clock, Log log,
                                                 const Options& options)
{
    Options filled = options;
    filled.programs.constants.hz = kernel_hz();
    auto programs = Programs::open(filled.programs, open_objects);
    if (!programs)
        return programs.error();
    auto tables = Tables::open(*programs);
    if (!tables)
        return tables.error();
    std::unique_ptr<Datapath> datapath(new Datapath(executor, clock, std::move(log), filled,
                                                    *std::move(programs), *std::move(tables)));
    if (Status status = datapath->adopt(); !status)
        return status.error();
    datapath->look_after_hooks();
    return datapath;
}

Datapath::Datapath(Executor& executor, const Clock& clock, Log log, const Options& options,
                   Programs programs, Tables tables)
    : clock_(clock), log_(std::move(log)), programs_(std::move(programs)),
      tables_(std::move(tables)),
      attacher_(programs_.link_folder(), have_tcx() && !options.force_clsact),
      devices_(attacher_, programs_), ids_(tables_), classes_(tables_), policies_(ids_, programs_),
      endpoints_(tables_, ids_, policies_, random_number), routes_(tables_),
      flows_(executor, programs_),
      events_(executor, clock,
              Names{[this](std::uint32_t slot) {
                        return endpoints_.name_of(slot).value_or("slot " + std::to_string(slot));
                    },
                    [this](std::uint32_t slot, std::uint32_t rule) {
                        return policies_.describe(slot, rule);
                    }}),
      retry_(executor), soon_(executor), watch_(executor), pause_(kFirstPause),
      pick_up_(options.pick_up), look_again_(options.look_again),
      on_hooks_changed_(options.on_hooks_changed)
{
}

Datapath::~Datapath() = default;

Status Datapath::adopt()
{
    if (Status status = tables_.adopt(); !status)
        return status;
    ids_.adopt();
    policies_.adopt();
    classes_.adopt();
    routes_.adopt();
    succeeds_ = tables_.endpoints.actual_size() > 0;
    // A pin that cannot be read costs its own hook, not the start.
    if (Status status = attacher_.adopt(); !status)
        log_->warn("adoption of attachments incomplete error=\"{}\"", status.error().what);
    for (const auto& name : programs_.replaced())
        log_->warn("pinned map differs and will be replaced map={}", name);
    const auto jiffies = flows_.collect(0);
    if (!jiffies)
        return jiffies.error();
    const auto before = tables_.config.actual(0);
    start_grace(*jiffies, before);
    if (before) {
        auto now_on = *before; // in force until the agent says otherwise
        now_on.grace_until = grace_until_;
        tables_.config.set(0, now_on);
    }
    flows_.start([log = log_](const Error& error) {
        log->warn("flow collection fails error=\"{}\"", error.what);
    });
    log_->info("data path loaded programs={} adopted_hooks={} tcx={}", programs_.programs().size(),
               attacher_.attachments().size(), have_tcx());
    return events_.start(programs_);
}

// A first start picks flows up for a while; a restart goes on with what is left of it.
void Datapath::start_grace(std::uint32_t jiffies, const std::optional<struct config>& before)
{
    const std::uint32_t hz = kernel_hz();
    const auto seconds = std::min<std::int64_t>(pick_up_.count(), GRACE_SECONDS_MAX);
    const std::uint32_t fresh = static_cast<std::uint32_t>(seconds) * hz;
    const std::uint32_t left = !before                    ? fresh
                               : before->grace_until == 0 ? 0
                                                          : before->grace_until - jiffies;
    if (left == 0 || left > GRACE_SECONDS_MAX * hz)
        return;
    grace_until_ = std::max<std::uint32_t>(jiffies + left, 1); // 0 is none
    grace_end_ = clock_.now() + std::chrono::seconds(left / hz + 1);
}

// Jiffies wrap: an end that is left there would lie ahead again, weeks later.
void Datapath::end_grace()
{
    if (grace_until_ == 0 || clock_.now() < grace_end_)
        return;
    grace_until_ = 0;
    if (auto entry = tables_.config.wanted(0)) {
        entry->grace_until = 0;
        tables_.config.set(0, *entry);
    }
}

void Datapath::want_config(const ConfigWant& want)
{
    struct config entry{};
    entry.node_addr = want.node_address.value_or(Ipv4{}).be();
    entry.icmp_source = want.icmp_source.be();
    entry.flags = flag_if(want.ipip, CONFIG_IPIP) |
                  flag_if(want.ipip_from_workloads, CONFIG_IPIP_FROM_WORKLOADS) |
                  flag_if(want.vxlan_from_workloads, CONFIG_VXLAN_FROM_WORKLOADS);
    entry.endpoint_to_host = want.to_host;
    entry.vxlan_port = htons(want.vxlan_port);
    entry.flow_budget = want.flow_budget;
    entry.grace_until = grace_until_;
    entry.timeouts = want.timeouts;
    const auto before = tables_.config.wanted(0);
    entry.facts = before ? before->facts : 0;
    // Flows hold the address that their tunnel packets come to.
    if (before && (before->node_addr != entry.node_addr ||
                   ((before->flags ^ entry.flags) & CONFIG_IPIP) != 0))
        endpoints_.touch_all();
    tables_.config.set(0, entry);
}

Result<policy::SetId> Datapath::claim_set(std::string_view name)
{
    const auto id = ids_.acquire(ID_SET, id_hash(name));
    if (!id)
        return Error{id.error().code, 0,
                     "address set " + std::string(name) + ": " + id.error().what};
    return *id;
}

void Datapath::release_set(std::string_view name)
{
    ids_.release(ID_SET, id_hash(name), clock_.now());
}

Status Datapath::want_class(const Prefix4& prefix, const SetList& sets)
{
    return classes_.want(prefix, sets, clock_.now());
}

Result<std::uint32_t> Datapath::want_endpoint(const std::string& name, const EndpointWant& endpoint)
{
    return endpoints_.want(name, endpoint);
}

void Datapath::forget_endpoint(const std::string& name)
{
    endpoints_.forget(name, clock_.now());
}

Status Datapath::want_route(const Prefix4& prefix, const RouteWant& route)
{
    return routes_.want(prefix, route, clock_.now());
}

void Datapath::forget_route(const Prefix4& prefix)
{
    routes_.forget(prefix, clock_.now());
}

Status Datapath::want_node(const Prefix4& outer_source, bool external)
{
    return routes_.want_node(outer_source, external, clock_.now());
}

void Datapath::forget_node(const Prefix4& outer_source)
{
    routes_.forget_node(outer_source, clock_.now());
}

void Datapath::set_neighbour(std::uint32_t ifindex, Ipv4 next_hop, std::optional<MacBytes> mac)
{
    routes_.set_neighbour(ifindex, next_hop, mac);
}

void Datapath::set_in_sync()
{
    everything_stated_ = true;
}

Status Datapath::flush(std::size_t budget)
{
    soon_.stop();
    retry_.stop();
    maps::Budget left{budget};
    const Status status = flush_steps(left);
    problem_ = status ? unplaced_text() : status.error().what;
    // A turn that merely used up its budget goes on at once. What the kernel refused waits.
    const bool ran_out = left.left == 0 && (status || status.error().sys == 0);
    const bool exhausted = (ran_out && (status || status.error().code == Errc::Unavailable)) ||
                           (status && !endpoints_.prepared());
    schedule(!status && !exhausted);
    if (exhausted)
        flush_soon();
    return exhausted ? Status{} : status;
}

std::string Datapath::unplaced_text() const
{
    const auto count = classes_.unplaced();
    return count == 0 ? ""
                      : "no room for the address classes of " + std::to_string(count) +
                            " prefixes: policies that ask for them deny";
}

// Every step is tried as far as it is safe without the one before.
Status Datapath::flush_steps(maps::Budget& budget)
{
    expire();
    end_grace();
    const Status loaded = endpoints_.prepare(kLoadsPerTurn, clock_.now());
    // Programs of an earlier run read the classes and routes that are about to change, by the names
    // of its policies. So all new ones are loaded first, and everything changes places in one go.
    if (succeeds_ && !sealed_ && !(everything_stated_ && endpoints_.prepared()))
        return loaded;
    touch_endpoints();
    const Status world = tables_.write_world(budget);
    // Programs come before the workloads they guard. But where a map is a new one, the new programs
    // would find it empty: there they wait until it is filled, and the old ones serve on.
    const bool fill_first = !programs_.replaced().empty();
    Status swapped = fill_first ? Status{} : swap_programs(world);
    const Status written = world && swapped ? tables_.write_workloads(budget) : Status{};
    if (fill_first && written)
        swapped = swap_programs(world);
    // What a judgement reads is gone before flows are judged again: one that is judged in between
    // would stay allowed by what is going.
    const Status removed = world && swapped && written ? remove_facts(budget) : Status{};
    const bool settled = world && swapped && written && removed && !tables_.stale_facts();
    Status bumped;
    if (world && swapped) {
        if (endpoints_.bump(settled))
            count_facts();
        bumped = tables_.write_generations(budget);
    }
    endpoints_.release_policies(clock_.now());
    const Status finished = world && swapped && written && bumped ? finish(budget) : Status{};
    const std::array all = {world, swapped, written, removed, bumped, loaded, finished};
    const auto failed = std::find_if(all.begin(), all.end(), [](const auto& s) { return !s; });
    return failed == all.end() ? Status{} : *failed;
}

// Facts that a judgement depends on have changed: who depends on them judges again, after they are
// in the kernel.
void Datapath::touch_endpoints()
{
    if (const auto sets = classes_.take_touched(); !sets.empty())
        endpoints_.touch_sets(sets);
    const bool unplaced = classes_.take_unplaced_changed(); // concerns whoever asks for any set
    if (routes_.take_changed() || unplaced)
        endpoints_.touch_all();
}

// A judgement that runs right now may have read the old facts (maps/config.h).
void Datapath::count_facts()
{
    if (auto entry = tables_.config.wanted(0)) {
        entry->facts++;
        tables_.config.set(0, *entry);
    }
}

// Hooks of an earlier run keep their programs until everything that the new ones read is there.
Status Datapath::swap_programs(const Status& world)
{
    if (!world || !everything_stated_ || !devices_.pending())
        return {};
    if (!stages_installed_) {
        if (Status status = programs_.install_stages(); !status)
            return status;
        stages_installed_ = true;
    }
    return devices_.attach();
}

void Datapath::seal()
{
    const auto now = clock_.now();
    tables_.seal();
    ids_.seal(now);
    classes_.seal(now);
    routes_.seal(now);
    sealed_ = true;
    // Nobody knows what an earlier run missed, and what went before now is removed only now.
    endpoints_.touch_all();
    log_->info("data path in sync");
}

Status Datapath::remove_facts(maps::Budget& budget)
{
    if (!everything_stated_ || !endpoints_.prepared())
        return {};
    if (!sealed_)
        seal();
    if (routes_complete_)
        routes_.drop_kept(clock_.now());
    touch_endpoints();
    return tables_.remove_facts(budget);
}

Status Datapath::finish(maps::Budget& budget)
{
    if (!sealed_ || !endpoints_.prepared())
        return {};
    if (Status status = tables_.remove(budget); !status)
        return status;
    if (endpoints_.take_removed())
        flows_.hurry();
    if (Status status = devices_.detach_unwanted(); !status)
        return status;
    if (!committed_ && !devices_.pending()) {
        if (Status status = programs_.commit(); !status)
            return status;
        committed_ = true;
    }
    return {};
}

// Numbers are given away only when the kernel holds nothing stale that could name them.
void Datapath::expire()
{
    if (!sealed_ || tables_.pending() != 0)
        return;
    const auto now = clock_.now();
    classes_.expire(now);
    routes_.expire(now);
    // A program that could not be exchanged may still ask for a set that was given back.
    if (!endpoints_.pending())
        (void)ids_.expire(ID_SET, now);
    (void)ids_.expire(ID_ENDPOINT, now);
    if (Status status = policies_.expire(now); !status)
        log_->warn("policy slot not cleared error=\"{}\"", status.error().what);
}

void Datapath::schedule(bool failed)
{
    const bool waiting = failed || (everything_stated_ && (!settled() || classes_.unplaced() > 0));
    if (!waiting) {
        pause_ = kFirstPause;
        retry_.start(kHousekeeping, [this] { (void)flush_by_itself(); });
        return;
    }
    retry_.start(pause_, [this] { (void)flush_by_itself(); });
    pause_ = std::min<std::chrono::milliseconds>(pause_ * 2, kLongestPause);
}

// The owner did not ask for this flush, but has to know when it moved a hook: the guard lets through
// what is judged, and nothing else.
Status Datapath::flush_by_itself()
{
    const std::size_t before = attacher_.changes();
    Status status = flush();
    if (attacher_.changes() != before && on_hooks_changed_)
        on_hooks_changed_();
    return status;
}

// On a timer of its own, whatever else goes on.
void Datapath::look_after_hooks()
{
    watch_.start(look_again_, [this] { look_after_hooks(); });
    if (!committed_ || !devices_.look_again())
        return;
    log_->warn("a program of ours was detached by somebody else: attaching it again");
    if (on_hooks_changed_)
        on_hooks_changed_();
    else
        flush_soon();
}

void Datapath::flush_soon()
{
    if (!soon_.running())
        soon_.start(0ns, [this] {
            if (Status status = flush_by_itself(); !status)
                log_->warn("flush incomplete error=\"{}\"", status.error().what);
        });
}

bool Datapath::settled() const
{
    return committed_ && tables_.pending() == 0 && !endpoints_.pending() && !devices_.pending();
}

DatapathStatus Datapath::status() const
{
    DatapathStatus status;
    status.in_sync = settled();
    status.pending = tables_.pending();
    status.problem = problem_;
    status.features = probe_features();
    status.programs = programs_.programs();
    for (const auto& [id, attachment] : attacher_.attachments()) {
        const auto program =
            std::find_if(status.programs.begin(), status.programs.end(),
                         [&](const auto& p) { return p.second == attachment.program_id; });
        status.hooks.push_back({id.ifindex, std::string(name_of(id.hook)),
                                std::string(name_of(attachment.kind)), attachment.program_id,
                                program == status.programs.end() ? "" : program->first});
    }
    status.devices = devices_.list();
    status.tables = tables_.fills();
    status.maps = programs_.maps();
    return status;
}

Status cleanup(const std::string& pin_root)
{
    capture_libbpf_text();
    const auto versions = list_folder(pin_root);
    if (!versions)
        return versions.error().sys == ENOENT ? Status{} : Status{versions.error()};
    Status first;
    for (const auto& version : *versions) {
        // Links first: once the maps lose their pins, nobody could find the programs.
        Attacher attacher(pin_root + "/" + version + "/links", true);
        Status status = attacher.adopt();
        if (Status detached = attacher.detach_all(); status || !detached)
            status = detached;
        if (!status && status.error().sys != ENOENT && first)
            first = status;
    }
    if (Status status = remove_tree(pin_root); !status && first)
        first = status;
    return first;
}

} // namespace margay::datapath
