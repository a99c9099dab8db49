// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/route_writer.h"

#include <algorithm>
#include <span>
#include <utility>

namespace margay::kernel {
namespace {

constexpr std::size_t kPortion = 1024; // routes of a list that are handed over at a time

template <typename Kind>
const char* verb(Kind kind)
{
    switch (kind) {
    case Kind::Add:
        return "add route ";
    case Kind::Replace:
        return "replace route ";
    case Kind::Remove:
        return "remove route ";
    }
    return "";
}

template <typename P>
Message message_of(const RouteOperationOf<P>& operation)
{
    using Kind = typename RouteOperationOf<P>::Kind;
    if (operation.kind == Kind::Remove)
        return remove_message(operation.route);
    return add_message(operation.route, operation.kind == Kind::Add);
}

// What follows runs on the worker's thread.

template <typename P>
Result<std::vector<Refusal>> make(NetlinkSocket& socket,
                                  const std::vector<RouteOperationOf<P>>& operations)
{
    std::vector<Refusal> refusals;
    Batch batch;
    for (std::size_t begin = 0; begin < operations.size(); begin += NetlinkSocket::kMaxBatch) {
        const auto some =
            std::span(operations)
                .subspan(begin, std::min(NetlinkSocket::kMaxBatch, operations.size() - begin));
        batch.clear();
        for (const auto& operation : some)
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

template <typename P>
Status list_in_portions(NetlinkSocket& socket, const std::function<void()>& on_begin,
                        const std::function<void(std::vector<RouteOf<P>>)>& on_portion)
{
    std::vector<RouteOf<P>> routes;
    const Status status = list_routes<P>(
        socket,
        [&] {
            routes.clear();
            on_begin();
        },
        [&](const RouteOf<P>& route) {
            routes.push_back(route);
            if (routes.size() == kPortion)
                on_portion(std::exchange(routes, {}));
        });
    on_portion(std::move(routes));
    return status;
}

} // namespace

template <typename P>
Result<std::unique_ptr<RouteWriterOf<P>>> RouteWriterOf<P>::start(Executor& executor,
                                                                  Answers answers)
{
    auto socket = NetlinkSocket::open();
    if (!socket)
        return socket.error();
    return std::unique_ptr<RouteWriterOf>(
        new RouteWriterOf(executor, std::move(answers), std::move(*socket)));
}

template <typename P>
RouteWriterOf<P>::RouteWriterOf(Executor& executor, Answers answers, NetlinkSocket socket)
    : answers_(std::make_shared<const Answers>(std::move(answers))), port_id_(socket.port_id()),
      worker_(executor, std::make_unique<NetlinkSocket>(std::move(socket)), "routes")
{
}

template <typename P>
void RouteWriterOf<P>::write(std::vector<RouteOperation> operations)
{
    const auto given = std::make_shared<const std::vector<RouteOperation>>(std::move(operations));
    worker_.run([given](NetlinkSocket& socket) { return make<P>(socket, *given); },
                [given, answers = answers_](const Result<std::vector<Refusal>>& refusals) {
                    answers->on_written(*given, refusals);
                });
}

template <typename P>
void RouteWriterOf<P>::list()
{
    worker_.run(
        [post = worker_.post(), answers = answers_](NetlinkSocket& socket) {
            return list_in_portions<P>(
                socket, [&] { post([answers] { answers->on_list_begin(); }); },
                [&](std::vector<Route> routes) {
                    post([answers, routes = std::move(routes)] { answers->on_listed(routes); });
                });
        },
        [answers = answers_](const Status& status) { answers->on_list_end(status); });
}

template class RouteWriterOf<Prefix4>;
template class RouteWriterOf<Prefix6>;

} // namespace margay::kernel
