// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bird_socket.h"

#include "agent/status/unix_socket.h"

#include <boost/asio/buffers_iterator.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <utility>

namespace margay::explain {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;
using boost::system::error_code;

// One client; lives by its pending operations.
class BirdClient : public std::enable_shared_from_this<BirdClient> {
public:
    BirdClient(Executor& executor, Protocol::socket socket, const BirdHandler& handler,
               std::chrono::milliseconds idle, status::UnixListener::Loop::Place place)
        : socket_(std::move(socket)), deadline_(executor), handler_(handler), idle_(idle),
          place_(std::move(place))
    {
    }

    void run()
    {
        pieces_ = [text = handler_.greeting()]() mutable { return std::exchange(text, {}); };
        write();
    }

private:
    void write()
    {
        output_ = pieces_();
        if (output_.empty())
            return read();
        arm();
        asio::async_write(socket_, asio::buffer(output_),
                          [self = shared_from_this()](error_code ec, std::size_t) {
                              if (!ec)
                                  self->write();
                          });
    }
    // A line that is too long ends it: the buffer is full then, and async_read_until fails.
    void read()
    {
        arm();
        asio::async_read_until(socket_, input_, '\n',
                               [self = shared_from_this()](error_code ec, std::size_t length) {
                                   if (!ec)
                                       self->answer(length);
                               });
    }
    void answer(std::size_t length)
    {
        const auto begin = asio::buffers_begin(input_.data());
        std::string line(begin, begin + static_cast<std::ptrdiff_t>(length - 1));
        input_.consume(length);
        pieces_ = handler_.answer(line);
        write();
    }
    void arm()
    {
        deadline_.start(idle_, [weak = weak_from_this()] {
            if (const auto self = weak.lock()) {
                error_code ignored;
                self->socket_.close(ignored);
            }
        });
    }

    Protocol::socket socket_;
    Timer deadline_;
    BirdHandler handler_; // a copy: the server may go first
    std::chrono::milliseconds idle_;
    status::UnixListener::Loop::Place place_;
    asio::streambuf input_{BirdSocket::kLine};
    BirdPieces pieces_;
    std::string output_;
};

class BirdListener final : public BirdSocket {
public:
    BirdListener(Executor& executor, const Log& log, const std::string& path,
                 const BirdHandler& handler, std::chrono::milliseconds idle)
        : listener_(executor, log, "BIRD socket", path, kClients,
                    [&executor, handler, idle](Protocol::socket socket, const auto& place) {
                        std::make_shared<BirdClient>(executor, std::move(socket), handler, idle,
                                                     place)
                            ->run();
                    })
    {
    }

    Status listen() { return listener_.listen(); }

private:
    status::UnixListener listener_;
};

} // namespace

Result<std::unique_ptr<BirdSocket>> BirdSocket::create(Executor& executor, Log log,
                                                       const std::string& path, BirdHandler handler,
                                                       std::chrono::milliseconds idle)
{
    auto socket = std::make_unique<BirdListener>(executor, log, path, handler, idle);
    if (const Status listening = socket->listen(); !listening)
        return listening.error();
    return std::unique_ptr<BirdSocket>(std::move(socket));
}

} // namespace margay::explain
