// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bird_socket.h"

#include "agent/status/unix_socket.h"

#include <unistd.h>

#include <boost/asio/buffers_iterator.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <spdlog/spdlog.h>

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
               std::chrono::milliseconds idle, std::shared_ptr<std::size_t> open)
        : socket_(std::move(socket)), deadline_(executor), handler_(handler), idle_(idle),
          open_(std::move(open))
    {
        ++*open_;
    }
    ~BirdClient() { --*open_; }

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
    std::shared_ptr<std::size_t> open_;
    asio::streambuf input_{BirdSocket::kLine};
    BirdPieces pieces_;
    std::string output_;
};

class BirdListener final : public BirdSocket {
public:
    BirdListener(Executor& executor, Log log, std::string path, BirdHandler handler,
                 std::chrono::milliseconds idle)
        : executor_(executor), log_(std::move(log)), path_(std::move(path)),
          handler_(std::move(handler)), idle_(idle), acceptor_(executor), pause_(executor)
    {
    }
    ~BirdListener() override
    {
        error_code ignored;
        acceptor_.close(ignored);
        if (listening_)
            ::unlink(path_.c_str());
    }

    Status listen()
    {
        const Status listening = status::listen_at(acceptor_, path_);
        if (!listening)
            return listening;
        listening_ = true;
        accept();
        return {};
    }

private:
    static constexpr std::chrono::milliseconds kAcceptPause{100};

    void accept()
    {
        acceptor_.async_accept([this](error_code ec, Protocol::socket socket) {
            if (ec == asio::error::operation_aborted)
                return; // destroyed: `this` is gone
            if (ec) { // out of descriptors: it would fail again at once
                log_->warn("BIRD socket accept failed: {}", ec.message());
                return pause_.start(kAcceptPause, [this] { accept(); });
            }
            if (*open_ < kClients)
                std::make_shared<BirdClient>(executor_, std::move(socket), handler_, idle_, open_)
                    ->run();
            accept();
        });
    }

    Executor& executor_;
    Log log_;
    std::string path_;
    BirdHandler handler_;
    std::chrono::milliseconds idle_;
    Protocol::acceptor acceptor_;
    Timer pause_;
    std::shared_ptr<std::size_t> open_ = std::make_shared<std::size_t>(0);
    bool listening_ = false;
};

} // namespace

Result<std::unique_ptr<BirdSocket>> BirdSocket::create(Executor& executor, Log log,
                                                       const std::string& path, BirdHandler handler,
                                                       std::chrono::milliseconds idle)
{
    auto socket =
        std::make_unique<BirdListener>(executor, std::move(log), path, std::move(handler), idle);
    if (const Status listening = socket->listen(); !listening)
        return listening.error();
    return std::unique_ptr<BirdSocket>(std::move(socket));
}

} // namespace margay::explain
