// SPDX-License-Identifier: Apache-2.0
#include "agent/registration.h"

#include "agent/kernel/autodetect.h"

#include <algorithm>

namespace margay {
namespace {

constexpr std::chrono::milliseconds kFirstBackOff{500};
constexpr std::chrono::milliseconds kLongestBackOff{5000};
// Of the watch behind our writes; of netlink's bursts.
constexpr std::chrono::milliseconds kLag{1000};

std::vector<Prefix4> addresses_of(const kernel::LinkTable& links)
{
    std::vector<Prefix4> out;
    for (const auto& [index, link] : links.links())
        for (const auto& address : links.addresses(index))
            out.push_back(address.prefix);
    return out;
}

// May ask the resolver for a name (can-reach), so it belongs on the worker's thread.
void detect_address(const config::Config& config, startup::Surroundings& around)
{
    const auto method = kernel::parse_autodetect_method(config.ip_autodetection_method);
    if (!method) {
        around.detection = method.error().what;
        return;
    }
    const auto found = kernel::autodetect(*method);
    if (!found) {
        around.detection = found.error().what;
        return;
    }
    around.detection = found->str();
    if (found->winner)
        around.detected = found->winner->address;
}

struct Outcome {
    Result<startup::NodeState> state;
    std::string detection;
};

} // namespace

Registration::Registration(Executor& executor, Log log, const config::Config& config,
                           std::string node, std::unique_ptr<store::Kv> kv, OnState on_state)
    : log_(std::move(log)), config_(config), node_(std::move(node)), on_state_(std::move(on_state)),
      compare_(executor), retry_(executor), worker_(executor, std::move(kv), "datastore")
{
}

void Registration::begin(const kernel::LinkTable& links)
{
    links_ = &links;
    run();
}

void Registration::look_again()
{
    moved_ = true;
    compare_soon();
}

void Registration::check(const Seen& seen)
{
    seen_ = seen;
    news_ = true;
    compare_soon();
}

bool Registration::differs() const
{
    return !seen_.present || seen_.address != state_.address ||
           seen_.tunnel_address != state_.tunnel_address;
}

void Registration::compare_soon()
{
    // Peers cut a deleted Node off at once: no time to lose, unless our write is not seen yet.
    const bool hurry = news_ && !seen_.present && clock_.now() - written_ > kLag;
    if (!prepared_ || running_ || (compare_.running() && !hurry))
        return;
    compare_.start(hurry ? std::chrono::milliseconds(0) : kLag, [this] {
        if (!running_ && ((news_ && differs()) || moved_))
            repair();
    });
}

void Registration::repair()
{
    if (news_ && differs()) {
        log_->warn("own Node is not as it was written: repairing node={} present={}", node_,
                   seen_.present);
        done_ = false;
        trouble_ = "own Node is being repaired";
    }
    news_ = moved_ = false;
    run();
}

void Registration::run()
{
    if (running_)
        return;
    running_ = true;
    startup::Surroundings around;
    around.host_addresses = addresses_of(*links_);
    worker_.run(
        [config = config_, node = node_, around, prepared = prepared_,
         held = state_.tunnel_address](store::Kv& kv) mutable {
            const SystemClock clock;
            detect_address(config, around);
            auto state = prepared ? startup::repair(kv, config, node, around, clock, held)
                                  : startup::prepare(kv, config, node, around, clock);
            return Outcome{std::move(state), around.detection};
        },
        [this](Outcome outcome) {
            running_ = false;
            const bool failed = !outcome.state;
            detection_ = outcome.detection;
            finish(std::move(outcome.state));
            // A conflict ends when its cause is removed, which no event of ours tells.
            if (!failed && state_.conflict.empty())
                return compare_soon(); // there may have been news meanwhile
            retry_.start(back_off_, [this] { run(); });
            back_off_ = std::min(back_off_ * 2, kLongestBackOff);
        });
}

void Registration::finish(Result<startup::NodeState> result)
{
    if (!result) {
        if (trouble_ != result.error().what)
            log_->warn("registration failed, will retry: {}", result.error().what);
        trouble_ = result.error().what;
        return;
    }
    if (result->conflict.empty())
        back_off_ = kFirstBackOff;
    if (!result->conflict.empty() && prepared_) // nothing was written: what was last holds
        result->tunnel_address = state_.tunnel_address;
    const bool same_conflict = !result->conflict.empty() && result->conflict == state_.conflict;
    prepared_ = true;
    done_ = true;
    written_ = clock_.now();
    state_ = std::move(*result);
    trouble_ = state_.conflict;
    if (same_conflict)
        return;
    for (const std::string& note : state_.notes)
        log_->info("registration: {}", note);
    if (!state_.conflict.empty())
        log_->error("registration: {}", state_.conflict);
    on_state_(state_);
}

} // namespace margay
