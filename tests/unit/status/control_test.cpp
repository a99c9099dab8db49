// SPDX-License-Identifier: Apache-2.0
#include "agent/status/control.h"
#include "support/quiet.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <thread>

namespace margay::status {
namespace {

using ::testing::HasSubstr;

struct ControlTest : ::testing::Test {
    std::string path = "/tmp/margay-control-" + std::to_string(::getpid()) + "/margayd.sock";
    Executor executor;
    Log log = margay::testing::quiet_log();
    std::unique_ptr<ControlServer> server;

    void SetUp() override
    {
        auto made =
            ControlServer::create(executor, log, path, [](const Request& r) -> Result<std::string> {
                if (r.command != "echo")
                    return Error{Errc::Invalid, 0, "unknown command '" + r.command + "'"};
                return "{\"said\":\"" + r.args.at("word") + "\"}";
            });
        ASSERT_TRUE(made) << made.error().what;
        server = std::move(*made);
    }

    // The client blocks, so the server's executor runs beside it.
    Result<std::string> ask(const Request& request)
    {
        std::thread serving([&] { executor.run_for(std::chrono::seconds(20)); });
        auto reply = control_request(path, request);
        executor.stop();
        serving.join();
        executor.restart();
        return reply;
    }
};

TEST_F(ControlTest, answer_carries_the_handlers_json)
{
    const auto reply = ask({"echo", {{"word", "claws"}}});
    ASSERT_TRUE(reply) << reply.error().what;
    EXPECT_EQ(*reply, R"({"said":"claws"})");
}

TEST_F(ControlTest, error_of_the_handler_reaches_the_client_as_text)
{
    const auto reply = ask({"meow", {}});
    ASSERT_FALSE(reply);
    EXPECT_THAT(reply.error().what, HasSubstr("unknown command 'meow'"));
}

TEST_F(ControlTest, socket_is_for_its_owner_only)
{
    struct stat st{};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(ControlTest, second_server_is_refused_while_the_first_lives_and_takes_over_when_it_is_dead)
{
    const auto handler = [](const Request&) -> Result<std::string> { return std::string("1"); };
    const auto second = ControlServer::create(executor, log, path, handler);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().what, HasSubstr("another margayd"));
    server.reset();
    EXPECT_TRUE(ControlServer::create(executor, log, path, handler));
}

TEST_F(ControlTest, silent_daemon_is_named_with_its_path)
{
    server.reset();
    const auto reply = control_request(path, {"echo", {}});
    ASSERT_FALSE(reply);
    EXPECT_THAT(reply.error().what, HasSubstr(path));
}

TEST_F(ControlTest, daemon_that_takes_the_request_and_says_nothing_is_not_waited_for_for_ever)
{
    // Nobody runs the executor: the kernel takes the connection, no one answers.
    const auto reply = control_request(path, {"echo", {}}, std::chrono::seconds(0));
    ASSERT_FALSE(reply);
    EXPECT_THAT(reply.error().what, HasSubstr("does not answer within"));
}

// ---- News --------------------------------------------------------------------------------------

struct ControlFeedTest : ControlTest {
    using Client = boost::asio::local::stream_protocol::socket;

    Feed feed;
    boost::asio::io_context outside;

    void SetUp() override
    {
        auto made = ControlServer::create(
            executor, log, path,
            [](const Request&) -> Result<std::string> { return std::string("1"); },
            {{"news", &feed}});
        ASSERT_TRUE(made) << made.error().what;
        server = std::move(*made);
    }
    bool until(const std::function<bool()>& done)
    {
        for (int i = 0; i < 4000 && !done(); ++i) {
            executor.run_for(std::chrono::milliseconds(5));
            executor.restart();
        }
        return done();
    }
    Client listen()
    {
        Client client(outside);
        client.connect(boost::asio::local::stream_protocol::endpoint(path));
        boost::asio::write(client, boost::asio::buffer(std::string("{\"command\":\"news\"}\n")));
        client.non_blocking(true);
        EXPECT_TRUE(until([this] { return feed.wanted(); }));
        return client;
    }
    // What comes until `end` is at its end.
    std::string hear(Client& client, const std::string& end)
    {
        std::string all;
        EXPECT_TRUE(until([&] {
            char buffer[65536];
            boost::system::error_code ec;
            const std::size_t got = client.read_some(boost::asio::buffer(buffer), ec);
            all.append(buffer, got);
            return all.ends_with(end);
        }));
        return all;
    }
};

TEST_F(ControlFeedTest, listener_gets_a_line_for_each_piece_of_news_until_it_leaves)
{
    Client client = listen();
    feed.publish("1");
    feed.publish("2");
    EXPECT_EQ(hear(client, "2\n"), "{\"ok\":true,\"stream\":true}\n1\n2\n");
    feed.publish("3");
    EXPECT_EQ(hear(client, "3\n"), "3\n");
    client.close();
    EXPECT_TRUE(until([this] { return !feed.wanted(); }));
}

TEST_F(ControlFeedTest, slow_listener_hears_how_much_it_missed)
{
    Client client = listen();
    const std::string line(1000, 'x');
    std::size_t published = 0;
    for (; published < 4 * FeedQueue::kLines; ++published) {
        feed.publish(line);
        if (published % 64 == 0) {
            executor.poll(); // the server writes, nobody reads
            executor.restart();
        }
    }
    const std::string all = hear(client, "}\n");
    const auto note = all.find("\"event\":\"dropped\",\"count\":");
    ASSERT_NE(note, std::string::npos);
    const std::size_t missed = std::stoul(all.substr(note + 26));
    EXPECT_GT(missed, 0u);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(all, '\n')) - 2 + missed, published);
}

} // namespace
} // namespace margay::status
