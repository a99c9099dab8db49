// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_writer.h"

#include <boost/asio/post.hpp>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <span>
#include <utility>

namespace margay::kernel {
namespace {

constexpr std::size_t kPortion = 1024; // routes of a list that are handed over at a time

const char* verb(RouteOperation::Kind kind)
{
    switch (kind) {
    case RouteOperation::Kind::Add:
        return "add route ";
    case RouteOperation::Kind::Replace:
        return "replace route ";
    case RouteOperation::Kind::Remove:
        return "remove route ";
    }
    return "";
}

Message message_of(const RouteOperation& operation)
{
    if (operation.kind == RouteOperation::Kind::Remove)
        return remove_message(operation.route);
    return add_message(operation.route, operation.kind == RouteOperation::Kind::Add);
}

} // namespace

Result<std::unique_ptr<RouteWriter>> RouteWriter::start(Executor& executor, Answers answers)
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    return std::unique_ptr<RouteWriter>(
        new RouteWriter(executor, std::move(answers), std::move(*socket)));
}

// Signals are for the thread of the executor.
RouteWriter::RouteWriter(Executor& executor, Answers answers, NetlinkSocket socket)
    : executor_(executor), answers_(std::move(answers)), socket_(std::move(socket)),
      alive_(std::make_shared<bool>(true))
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_setname_np(thread_.native_handle(), "routes");
}

RouteWriter::~RouteWriter()
{
    *alive_ = false;
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void RouteWriter::write(std::vector<RouteOperation> operations)
{
    add(std::move(operations));
}

void RouteWriter::list()
{
    add(List{});
}

void RouteWriter::add(Job job)
{
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
}

// --- On the thread ------------------------------------------------------------------------------

void RouteWriter::run()
{
    for (;;) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (ending_)
            return;
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        std::visit([this](auto& of) { make(of); }, job);
    }
}

template <typename Function>
void RouteWriter::answer(Function function)
{
    boost::asio::post(executor_, [alive = alive_, function = std::move(function)] {
        if (*alive)
            function();
    });
}

void RouteWriter::make(Writes& operations)
{
    Result<std::vector<Refusal>> refusals = send(operations);
    answer([this, operations = std::move(operations), refusals = std::move(refusals)] {
        answers_.on_written(operations, refusals);
    });
}

Result<std::vector<Refusal>> RouteWriter::send(const Writes& operations)
{
    std::vector<Refusal> refusals;
    for (std::size_t begin = 0; begin < operations.size(); begin += NetlinkSocket::kMaxBatch) {
        const auto some =
            std::span(operations)
                .subspan(begin, std::min(NetlinkSocket::kMaxBatch, operations.size() - begin));
        batch_.clear();
        for (const RouteOperation& operation : some)
            batch_.add(message_of(operation));
        auto refused = socket_.send_batch(
            batch_, [&](std::size_t i) { return verb(some[i].kind) + some[i].route.str(); });
        if (!refused)
            return refused.error();
        for (Refusal& refusal : *refused)
            refusals.push_back({begin + refusal.index, std::move(refusal.error)});
    }
    return refusals;
}

void RouteWriter::make(List)
{
    std::vector<Route> routes;
    const auto hand_over = [&] {
        answer([this, portion = std::exchange(routes, {})] { answers_.on_listed(portion); });
    };
    const Status status = list_routes(
        socket_,
        [&] {
            routes.clear();
            answer([this] { answers_.on_list_begin(); });
        },
        [&](const Route& route) {
            routes.push_back(route);
            if (routes.size() == kPortion)
                hand_over();
        });
    hand_over();
    answer([this, status] { answers_.on_list_end(status); });
}

} // namespace margay::kernel
