// SPDX-License-Identifier: Apache-2.0
// What a turn is: what calc and routing want is handed on, then flushed with a budget.
#include "agent/agent.h"

#include "agent/common_report.h"

namespace margay {
namespace {

// Kernel calls a turn; a large change takes several turns, so that keepalives are never late.
constexpr std::size_t kBudget = 500;
constexpr std::chrono::milliseconds kNextTurn{0};
constexpr std::chrono::milliseconds kAfterFailure{500};

} // namespace

void Agent::schedule_turn(std::chrono::milliseconds delay)
{
    if (!turn_timer_.running() || delay.count() == 0)
        turn_timer_.start(delay, [this] { turn(); });
}

void Agent::turn()
{
    if (!intake_.synced() || !datapath_)
        return; // what the last run left stays in force until we know better
    const model::Changes changes = calc_.take_changes();
    if (!changes.empty())
        apply(changes);
    apply_paths();
    routes_.retry();
    retry_nodes();
    flush();
}

void Agent::apply(const model::Changes& changes)
{
    if (changes.felix)
        apply_felix(*changes.felix);
    if (changes.own_node)
        apply_own_node(*changes.own_node);
    for (const auto& [prefix, sets] : changes.classes)
        warn_if("address class of ", prefix,
                datapath_->want_class(prefix, sets ? *sets : datapath::SetList{}));
    apply_nodes(changes);
    apply_pools(changes);
    apply_endpoints(changes);
    apply_routes(changes);
    apply_bgp(changes);
}

void Agent::flush()
{
    // What BGP has told is handed on in portions, and all of it comes before anything goes.
    const bool handed_on = !join_.pending() && !remote_.any_due() && !learned6_.pending();
    if (stated_ && join_.bgp_settled() && handed_on && !std::exchange(routes_complete_, true)) {
        datapath_->set_routes_complete();
        kernel_routes_.allow_removals();
        kernel_routes6_.allow_removals();
    }
    // What the data path refuses or has no budget for, it tries again by itself.
    const auto flushed = datapath_->flush(kBudget);
    warn_once("data path", flushed ? "" : flushed.error().what);
    if (datapath_->settled())
        calc_.release_retired();
    update_firewall();
    write_static_neighbours();
    ensure_peering_addresses();
    kernel_routes_.flush(); // goes on by itself, and has a turn called when it is done
    kernel_routes6_.flush();
    if (!stated_) {
        // All of the snapshot has been stated: what is left of an earlier run is stale now, but
        // for the ways to other nodes that BGP may yet name.
        stated_ = true;
        datapath_->set_in_sync();
        kernel_routes_.allow_removals(kernel::Keep::ByGateway);
        kernel_routes6_.allow_removals(kernel::Keep::ByGateway);
        return schedule_turn();
    }
    const bool routes_settled = kernel_routes_.pending() == 0 && kernel_routes6_.pending() == 0;
    if (!flushed_once_ && routes_settled && !datapath_->settled())
        return schedule_turn(kNextTurn);
    if (!flushed_once_ && routes_settled) {
        flushed_once_ = true;
        log_->info("in sync revision={}", intake_.status().revision);
    }
    if (calc_.dirty()) // sets that nobody reads any more
        schedule_turn(kNextTurn);
    else if (calc_.waiting() || routes_.pending() || !refused_nodes_.empty())
        schedule_turn(kAfterFailure);
}

std::vector<std::string> Agent::not_ready() const
{
    std::vector<std::string> why = datastore_not_ready(registration_.get(), intake_);
    if (intake_.synced() && !flushed_once_)
        why.emplace_back("data path: the first snapshot is being applied");
    for (const char* topic : {"nftables", "data path"})
        if (const auto wrong = warnings_.find(topic);
            wrong != warnings_.end() && !wrong->second.empty())
            why.push_back(wrong->first + ": " + wrong->second);
    return why;
}

} // namespace margay
