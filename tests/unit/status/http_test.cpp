// SPDX-License-Identifier: Apache-2.0
#include "agent/status/http.h"
#include "support/quiet.h"

#include <gmock/gmock.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

namespace margay::status {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string exchange(std::uint16_t port, const std::string& request)
{
    boost::asio::io_context context;
    boost::asio::ip::tcp::socket socket(context);
    socket.connect({boost::asio::ip::address_v4::loopback(), port});
    boost::system::error_code ec;
    boost::asio::write(socket, boost::asio::buffer(request), ec);
    std::string reply;
    boost::asio::read(socket, boost::asio::dynamic_buffer(reply), ec);
    return reply;
}

struct HttpTest : ::testing::Test {
    Executor executor;
    Log log = margay::testing::quiet_log();
    std::unique_ptr<HttpServer> server;

    void SetUp() override
    {
        auto made = HttpServer::create(
            executor, log, Ip(*Ipv4::parse("127.0.0.1")), 0, [](const std::string& target) {
                if (target == "/healthz")
                    return HttpResponse{200, "text/plain", "ok\n"};
                return HttpResponse{404, "text/plain", "no " + target + "\n"};
            });
        ASSERT_TRUE(made) << made.error().what;
        server = std::move(*made);
    }

    std::string ask(const std::string& request)
    {
        std::thread serving([&] { executor.run_for(std::chrono::seconds(20)); });
        auto reply = exchange(server->port(), request);
        executor.stop();
        serving.join();
        executor.restart();
        return reply;
    }
};

TEST_F(HttpTest, get_returns_the_body_and_head_only_its_length)
{
    EXPECT_THAT(ask("GET /healthz?verbose HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("\r\n\r\nok\n"));
    const auto head = ask("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(head, HasSubstr("Content-Length: 3"));
    EXPECT_THAT(head, Not(HasSubstr("ok\n")));
}

TEST_F(HttpTest, other_methods_and_paths_are_refused)
{
    EXPECT_THAT(ask("POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
                StartsWith("HTTP/1.1 405"));
    EXPECT_THAT(ask("GET /../etc/passwd HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
}

TEST_F(HttpTest, oversized_request_is_cut_off)
{
    EXPECT_EQ(ask("GET /" + std::string(100000, 'a') + " HTTP/1.1\r\n\r\n"), "");
}

TEST_F(HttpTest, taken_port_is_named_in_the_error)
{
    const auto second =
        HttpServer::create(executor, log, Ip(*Ipv4::parse("127.0.0.1")), server->port(),
                           [](const std::string&) { return HttpResponse{}; });
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().what, HasSubstr(std::to_string(server->port())));
}

} // namespace
} // namespace margay::status
