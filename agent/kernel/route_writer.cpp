// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_writer.h"

#include <algorithm>
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

// What follows runs on the worker's thread.

Result<std::vector<Refusal>> make(NetlinkSocket& socket,
                                  const std::vector<RouteOperation>& operations)
{
    std::vector<Refusal> refusals;
    Batch batch;
    for (std::size_t begin = 0; begin < operations.size(); begin += NetlinkSocket::kMaxBatch) {
        const auto some =
            std::span(operations)
                .subspan(begin, std::min(NetlinkSocket::kMaxBatch, operations.size() - begin));
        batch.clear();
        for (const RouteOperation& operation : some)
            batch.add(message_of(operation));
        auto refused = socket.send_batch(
            batch, [&](std::size_t i) { return verb(some[i].kind) + some[i].route.str(); });
        if (!refused)
            return refused.error();
        for (Refusal& refusal : *refused)
            refusals.push_back({begin + refusal.index, std::move(refusal.error)});
    }
    return refusals;
}

Status list_in_portions(NetlinkSocket& socket, const std::function<void()>& on_begin,
                        const std::function<void(std::vector<Route>)>& on_portion)
{
    std::vector<Route> routes;
    const Status status = list_routes(
        socket,
        [&] {
            routes.clear();
            on_begin();
        },
        [&](const Route& route) {
            routes.push_back(route);
            if (routes.size() == kPortion)
                on_portion(std::exchange(routes, {}));
        });
    on_portion(std::move(routes));
    return status;
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

RouteWriter::RouteWriter(Executor& executor, Answers answers, NetlinkSocket socket)
    : answers_(std::make_shared<const Answers>(std::move(answers))), port_id_(socket.port_id()),
      worker_(executor, std::make_unique<NetlinkSocket>(std::move(socket)), "routes")
{
}

void RouteWriter::write(std::vector<RouteOperation> operations)
{
    const auto given = std::make_shared<const std::vector<RouteOperation>>(std::move(operations));
    worker_.run([given](NetlinkSocket& socket) { return make(socket, *given); },
                [given, answers = answers_](const Result<std::vector<Refusal>>& refusals) {
                    answers->on_written(*given, refusals);
                });
}

void RouteWriter::list()
{
    worker_.run(
        [post = worker_.post(), answers = answers_](NetlinkSocket& socket) {
            return list_in_portions(
                socket, [&] { post([answers] { answers->on_list_begin(); }); },
                [&](std::vector<Route> routes) {
                    post([answers, routes = std::move(routes)] { answers->on_listed(routes); });
                });
        },
        [answers = answers_](const Status& status) { answers->on_list_end(status); });
}

} // namespace margay::kernel
