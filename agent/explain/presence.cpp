// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/presence.h"

#include <spdlog/spdlog.h>

namespace margay::explain {
namespace {

constexpr std::chrono::seconds kLookAgain{5};

} // namespace

Presence::Presence(Executor& executor, Log log, std::string path, BirdHandler handler)
    : executor_(executor), log_(std::move(log)), path_(std::move(path)),
      handler_(std::move(handler)), timer_(executor)
{
}

void Presence::look()
{
    const Status complete_now = complete();
    const std::string trouble = complete_now ? "" : complete_now.error().what;
    if (trouble != trouble_ && !trouble.empty())
        log_->warn("calicoctl cannot see this node: {}", trouble);
    trouble_ = trouble;
    timer_.start(kLookAgain, [this] { look(); });
}

Status Presence::complete()
{
    if (!socket_) {
        auto socket = BirdSocket::create(executor_, log_, path_, handler_);
        if (!socket)
            return socket.error();
        socket_ = std::move(*socket);
    }
    if (const Status there = want_process(felix_, "calico-felix"); !there)
        return there;
    return want_process(bird_, "bird");
}

Status Presence::want_process(std::optional<StandIn>& process, const char* name)
{
    if (process && process->running())
        return {};
    process.reset();
    auto started = StandIn::start(name);
    if (!started)
        return started.error();
    process.emplace(std::move(*started));
    return {};
}

} // namespace margay::explain
