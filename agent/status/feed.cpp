// SPDX-License-Identifier: Apache-2.0
#include "agent/status/feed.h"

#include <utility>

namespace margay::status {

void FeedQueue::put(const std::string& line)
{
    if (!has_room() || dropped_ > 0) // in order: first it is to hear of what it missed
        return drop();
    octets_ += line.size() + 1;
    lines_.push_back(line + "\n");
    if (lines_.size() == 1)
        on_news_();
}

void FeedQueue::drop()
{
    ++dropped_;
}

std::string FeedQueue::take()
{
    std::string text;
    text.reserve(octets_);
    for (const std::string& line : lines_)
        text += line;
    lines_.clear();
    octets_ = 0;
    if (const std::size_t dropped = std::exchange(dropped_, 0); dropped > 0)
        text += "{\"event\":\"dropped\",\"count\":" + std::to_string(dropped) + "}\n";
    return text;
}

template <typename Visit>
void Feed::for_each(const Visit& visit)
{
    std::erase_if(queues_, [](const auto& queue) { return queue.expired(); });
    for (const auto& queue : queues_)
        visit(*queue.lock());
}

std::shared_ptr<FeedQueue> Feed::listen(std::function<void()> on_news)
{
    std::size_t listeners = 0;
    for_each([&](FeedQueue&) { ++listeners; });
    if (listeners >= kListeners)
        return nullptr;
    auto queue = std::make_shared<FeedQueue>(std::move(on_news));
    queues_.push_back(queue);
    return queue;
}

bool Feed::wanted()
{
    bool any = false;
    for_each([&](FeedQueue&) { any = true; });
    return any;
}

bool Feed::has_room()
{
    bool any = false;
    for_each([&](FeedQueue& queue) { any |= queue.has_room(); });
    return any;
}

void Feed::publish(const std::string& line)
{
    for_each([&](FeedQueue& queue) { queue.put(line); });
}

void Feed::drop()
{
    for_each([](FeedQueue& queue) { queue.drop(); });
}

} // namespace margay::status
