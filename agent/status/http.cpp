// SPDX-License-Identifier: Apache-2.0
#include "agent/status/http.h"

#include "agent/status/accept_loop.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace margay::status {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

class HttpSession : public std::enable_shared_from_this<HttpSession> {
public:
    HttpSession(tcp::socket socket, const HttpHandler& handler, AcceptLoop<tcp>::Place place)
        : stream_(std::move(socket)), handler_(handler), place_(std::move(place))
    {
        parser_.header_limit(kHeaderMax);
        parser_.body_limit(kHeaderMax);
    }

    void run()
    {
        stream_.expires_after(kDeadline);
        http::async_read(stream_, buffer_, parser_,
                         [self = shared_from_this()](beast::error_code ec, std::size_t) {
                             if (!ec)
                                 self->reply();
                         });
    }

private:
    static constexpr std::size_t kHeaderMax = 8 * 1024;
    static constexpr std::chrono::seconds kDeadline{15};

    void reply()
    {
        const auto& request = parser_.get();
        const bool head = request.method() == http::verb::head;
        HttpResponse made{405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
        if (head || request.method() == http::verb::get) {
            const std::string target(request.target());
            made = handler_(target.substr(0, target.find('?')));
        }
        response_.version(request.version());
        response_.result(made.code);
        response_.set(http::field::content_type, made.content_type);
        response_.keep_alive(false);
        response_.content_length(made.body.size());
        if (!head)
            response_.body() = std::move(made.body);
        http::async_write(stream_, response_,
                          [self = shared_from_this()](beast::error_code, std::size_t) {
                              beast::error_code ignored;
                              self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
                          });
    }

    beast::tcp_stream stream_;
    HttpHandler handler_; // a copy: the server may go first
    AcceptLoop<tcp>::Place place_;
    beast::flat_buffer buffer_{kHeaderMax * 2};
    http::request_parser<http::string_body> parser_;
    http::response<http::string_body> response_;
};

class HttpListener final : public HttpServer {
public:
    HttpListener(Executor& executor, const Log& log, const HttpHandler& handler)
        : loop_(executor, log, "HTTP", kSessionsMax,
                [handler](tcp::socket socket, const auto& place) {
                    std::make_shared<HttpSession>(std::move(socket), handler, place)->run();
                })
    {
    }

    Status listen(const Ip& address, std::uint16_t port)
    {
        const std::string name = "HTTP listener " + address.str() + " port " + std::to_string(port);
        tcp::acceptor& acceptor = loop_.acceptor();
        boost::system::error_code ec;
        const tcp::endpoint endpoint(asio::ip::make_address(address.str(), ec), port);
        if (!ec)
            acceptor.open(endpoint.protocol(), ec);
        if (!ec)
            acceptor.set_option(asio::socket_base::reuse_address(true), ec);
        if (!ec)
            acceptor.bind(endpoint, ec);
        if (!ec)
            acceptor.listen(asio::socket_base::max_listen_connections, ec);
        if (ec)
            return system_error(ec.value(), name);
        loop_.start();
        return {};
    }

    std::uint16_t port() const override
    {
        boost::system::error_code ec;
        return loop_.acceptor().local_endpoint(ec).port();
    }

private:
    static constexpr std::size_t kSessionsMax = 64;

    AcceptLoop<tcp> loop_;
};

} // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::create(Executor& executor, Log log,
                                                       const Ip& address, std::uint16_t port,
                                                       HttpHandler handler)
{
    auto server = std::make_unique<HttpListener>(executor, log, handler);
    if (const auto listening = server->listen(address, port); !listening)
        return listening.error();
    return std::unique_ptr<HttpServer>(std::move(server));
}

} // namespace margay::status
