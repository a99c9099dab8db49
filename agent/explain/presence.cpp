// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/presence.h"

#include <spdlog/spdlog.h>

namespace margay::explain {
namespace {

constexpr std::chrono::seconds kLookAgain{5};

} // namespace

Presence::Presence(Executor& executor, Log log, std::vector<BirdFace> faces)
    : executor_(executor), log_(std::move(log)), timer_(executor)
{
    for (BirdFace& face : faces)
        birds_.push_back({std::move(face), {}, {}});
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
    for (Bird& bird : birds_)
        if (const Status there = complete(bird); !there)
            return there;
    return {};
}

Status Presence::complete(Bird& bird)
{
    if (bird.face.wanted && !bird.face.wanted()) {
        bird.process.reset();
        bird.socket.reset();
        return {};
    }
    if (!bird.socket) {
        auto socket = BirdSocket::create(executor_, log_, bird.face.socket, bird.face.handler);
        if (!socket)
            return socket.error();
        bird.socket = std::move(*socket);
    }
    if (const Status there = want_process(felix_, "calico-felix"); !there)
        return there;
    return want_process(bird.process, bird.face.process);
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
