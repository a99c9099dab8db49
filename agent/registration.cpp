// SPDX-License-Identifier: Apache-2.0
#include "agent/registration.h"

#include "agent/kernel/autodetect.h"

#include <algorithm>

namespace margay {
namespace {

constexpr std::chrono::milliseconds kFirstBackOff{500};
constexpr std::chrono::milliseconds kLongestBackOff{5000};
constexpr std::chrono::milliseconds kSettle{1000};

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
    : executor_(executor), log_(std::move(log)), config_(config), node_(std::move(node)),
      on_state_(std::move(on_state)), recheck_(executor), retry_(executor),
      worker_(executor, std::move(kv))
{
}

void Registration::begin(const kernel::LinkTable& links)
{
    run(links);
}

void Registration::check(bool present, std::optional<Prefix4> address,
                         std::optional<Ipv4> tunnel_address, const kernel::LinkTable& links)
{
    seen_present_ = present;
    seen_address_ = address;
    seen_tunnel_ = tunnel_address;
    if (!differs() || recheck_.running())
        return;
    recheck_.start(kSettle, [this, &links] {
        if (!differs())
            return;
        log_->warn("own Node is not as it was written: repairing node={} present={}", node_,
                   seen_present_);
        done_ = false;
        trouble_ = "own Node is being repaired";
        run(links);
    });
}

bool Registration::differs() const
{
    return done_ && !running_ &&
           (!seen_present_ || seen_address_ != state_.address ||
            seen_tunnel_ != state_.tunnel_address);
}

void Registration::run(const kernel::LinkTable& links)
{
    if (running_)
        return;
    running_ = true;
    startup::Surroundings around;
    around.host_addresses = addresses_of(links);
    worker_.run(
        [config = config_, node = node_, around, prepared = prepared_,
         held = state_.tunnel_address](store::Kv& kv) mutable {
            const SystemClock clock;
            detect_address(config, around);
            auto state = prepared ? startup::repair(kv, config, node, around, clock, held)
                                  : startup::prepare(kv, config, node, around, clock);
            return Outcome{std::move(state), around.detection};
        },
        [this, &links](Outcome outcome) {
            running_ = false;
            detection_ = outcome.detection;
            finish(std::move(outcome.state));
            // A conflict ends when its cause is removed, which no event of ours tells.
            if (!done_ || !state_.conflict.empty()) {
                retry_.start(back_off_, [this, &links] { run(links); });
                back_off_ = std::min(back_off_ * 2, kLongestBackOff);
            } else if (differs()) {
                check(seen_present_, seen_address_, seen_tunnel_, links);
            }
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
    const bool same_conflict = !result->conflict.empty() && result->conflict == state_.conflict;
    prepared_ = true;
    done_ = true;
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
