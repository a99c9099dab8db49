// SPDX-License-Identifier: Apache-2.0
// Feed: news for everybody who listens on the control socket, a line of JSON each. What waits for a slow
// listener is bounded; what he misses is counted and told to him in its place.

#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::status {

// One listener's queue. The transport takes from it, the feed puts in.
class FeedQueue {
public:
    // Also what a turn of the event loop writes at most: some milliseconds.
    static constexpr std::size_t kLines = 2048;
    static constexpr std::size_t kOctets = 512 << 10;

    // `on_news`: something is there that was not before.
    explicit FeedQueue(std::function<void()> on_news) : on_news_(std::move(on_news)) {}

    bool has_room() const { return lines_.size() < kLines && octets_ < kOctets; }
    void put(const std::string& line);
    void drop();
    // All that waits, each line with its end; empty: nothing does.
    std::string take();

private:
    std::function<void()> on_news_;
    std::deque<std::string> lines_;
    std::size_t octets_ = 0;
    std::size_t dropped_ = 0; // behind the last line
};

class Feed {
public:
    static constexpr std::size_t kListeners = 8; // others want to ask on the same socket

    // Null: there are too many.
    std::shared_ptr<FeedQueue> listen(std::function<void()> on_news);

    bool wanted(); // somebody listens
    bool has_room(); // of at least one
    void publish(const std::string& line);
    void drop(); // a line that nobody has room for

private:
    template <typename Visit>
    void for_each(const Visit& visit);

    std::vector<std::weak_ptr<FeedQueue>> queues_; // those that are gone are found so
};

} // namespace margay::status
