// SPDX-License-Identifier: Apache-2.0
#include "agent/status/feed.h"

#include <gtest/gtest.h>

namespace margay::status {
namespace {

TEST(FeedTest, listener_hears_what_comes_after_it_and_is_called_once)
{
    Feed feed;
    EXPECT_FALSE(feed.wanted());
    feed.publish("before");
    int calls = 0;
    const auto queue = feed.listen([&] { ++calls; });
    EXPECT_TRUE(feed.wanted());
    feed.publish("a");
    feed.publish("b");
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(queue->take(), "a\nb\n");
    EXPECT_EQ(queue->take(), "");
}

TEST(FeedTest, slow_listener_is_told_how_much_it_missed_and_in_which_place)
{
    Feed feed;
    const auto slow = feed.listen([] {});
    const auto quick = feed.listen([] {});
    for (std::size_t i = 0; i < FeedQueue::kLines + 3; ++i) {
        feed.publish("x");
        quick->take();
    }
    const std::string all = slow->take();
    EXPECT_EQ(all.size(),
              FeedQueue::kLines * 2 + std::string("{\"event\":\"dropped\",\"count\":3}\n").size());
    EXPECT_TRUE(all.ends_with("{\"event\":\"dropped\",\"count\":3}\n"));
    feed.publish("after");
    EXPECT_EQ(slow->take(), "after\n");
}

TEST(FeedTest, long_lines_are_bounded_by_their_octets)
{
    Feed feed;
    const auto slow = feed.listen([] {});
    const std::string line(FeedQueue::kOctets / 4, 'x');
    for (int i = 0; i < 10; ++i)
        feed.publish(line);
    EXPECT_LE(slow->take().size(), FeedQueue::kOctets + line.size());
}

TEST(FeedTest, listeners_are_bounded_in_number)
{
    Feed feed;
    std::vector<std::shared_ptr<FeedQueue>> queues;
    for (std::size_t i = 0; i < Feed::kListeners; ++i) {
        queues.push_back(feed.listen([] {}));
        EXPECT_TRUE(queues.back());
    }
    EXPECT_FALSE(feed.listen([] {}));
    queues.pop_back();
    EXPECT_TRUE(feed.listen([] {}));
}

TEST(FeedTest, listener_that_left_is_forgotten)
{
    Feed feed;
    auto queue = feed.listen([] {});
    queue.reset();
    EXPECT_FALSE(feed.wanted());
    EXPECT_FALSE(feed.has_room());
}

} // namespace
} // namespace margay::status
