// SPDX-License-Identifier: Apache-2.0
#include "agent/status/control.h"

#include "agent/status/unix_socket.h"

#include <unistd.h>

#include <boost/asio/buffers_iterator.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>

#include "margay/fd.h"

namespace margay::status {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using Protocol = asio::local::stream_protocol;

std::string failure(const std::string& text)
{
    return json::serialize(json::object{{"ok", false}, {"error", text}}) + "\n";
}

Result<Request> parse_request(const std::string& line)
{
    boost::system::error_code ec;
    const json::value parsed = json::parse(line, ec);
    if (ec || !parsed.is_object())
        return Error{Errc::Invalid, 0, "request is not a JSON object"};
    Request request;
    const auto* command = parsed.as_object().if_contains("command");
    if (command == nullptr || !command->is_string())
        return Error{Errc::Invalid, 0, "request has no \"command\""};
    request.command = command->as_string().c_str();
    if (const auto* args = parsed.as_object().if_contains("args")) {
        if (!args->is_object())
            return Error{Errc::Invalid, 0, "\"args\" is not an object"};
        for (const auto& [key, value] : args->as_object())
            if (value.is_string())
                request.args[std::string(key)] = value.as_string().c_str();
    }
    return request;
}

std::string answer(const ControlHandler& handler, const std::string& line)
{
    const auto request = parse_request(line);
    if (!request)
        return failure(request.error().what);
    const auto result = handler(*request);
    if (!result)
        return failure(result.error().what);
    return "{\"ok\":true,\"result\":" + *result + "}\n";
}

// One connection; keeps itself alive through its pending operations.
class ControlSession : public std::enable_shared_from_this<ControlSession> {
public:
    ControlSession(Executor& executor, Protocol::socket socket, const ControlHandler& handler,
                   const ControlFeeds& feeds, UnixListener::Loop::Place place)
        : socket_(std::move(socket)), deadline_(executor), handler_(handler), feeds_(feeds),
          place_(std::move(place))
    {
    }

    void run()
    {
        deadline_.start(kDeadline, [weak = weak_from_this()] {
            if (const auto self = weak.lock())
                self->close();
        });
        asio::async_read_until(
            socket_, input_, '\n',
            [self = shared_from_this()](boost::system::error_code ec, std::size_t n) {
                if (!ec)
                    self->reply(n);
            });
    }

private:
    static constexpr std::size_t kRequestMax = 64 * 1024;
    static constexpr std::chrono::seconds kDeadline{30};

    void reply(std::size_t length)
    {
        const auto begin = asio::buffers_begin(input_.data());
        const std::string line(begin, begin + static_cast<std::ptrdiff_t>(length));
        if (const auto request = parse_request(line); request && feeds_.contains(request->command))
            return stream(*feeds_.at(request->command));
        output_ = answer(handler_, line);
        send();
    }
    void send()
    {
        asio::async_write(socket_, asio::buffer(output_),
                          [self = shared_from_this()](boost::system::error_code, std::size_t) {});
    }

    // News until the listener leaves, or does not take them for the time of the deadline.
    void stream(Feed& feed)
    {
        news_ = feed.listen([weak = weak_from_this()] {
            if (const auto self = weak.lock())
                asio::post(self->socket_.get_executor(), [self] { self->write_news(); });
        });
        if (!news_) {
            output_ = failure("there are " + std::to_string(Feed::kListeners) +
                              " listeners already; end one of them");
            return send();
        }
        deadline_.stop();
        output_ = "{\"ok\":true,\"stream\":true}\n";
        write_news();
        // He sends nothing more: what can be read is his end.
        asio::async_read(socket_, input_, [self = shared_from_this()](auto, std::size_t) {
            self->close();
            self->news_.reset();
        });
    }
    void write_news()
    {
        if (writing_ || !news_)
            return;
        output_ += news_->take();
        if (output_.empty())
            return;
        writing_ = true;
        deadline_.start(kDeadline, [weak = weak_from_this()] {
            if (const auto self = weak.lock())
                self->close();
        });
        asio::async_write(socket_, asio::buffer(output_),
                          [self = shared_from_this()](boost::system::error_code ec, std::size_t) {
                              self->writing_ = false;
                              self->deadline_.stop();
                              self->output_.clear();
                              if (ec)
                                  self->news_.reset();
                              self->write_news();
                          });
    }
    void close()
    {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

    Protocol::socket socket_;
    Timer deadline_;
    ControlHandler handler_; // a copy: the server may go first
    ControlFeeds feeds_;
    std::shared_ptr<FeedQueue> news_;
    bool writing_ = false;
    UnixListener::Loop::Place place_;
    asio::streambuf input_{kRequestMax};
    std::string output_;
};

class ControlListener final : public ControlServer {
public:
    ControlListener(Executor& executor, const Log& log, const std::string& path,
                    const ControlHandler& handler, const ControlFeeds& feeds)
        : path_(path),
          listener_(executor, log, "control", path, kSessionsMax,
                    [&executor, handler, feeds](Protocol::socket socket, const auto& place) {
                        std::make_shared<ControlSession>(executor, std::move(socket), handler,
                                                         feeds, place)
                            ->run();
                    })
    {
    }

    Status listen()
    {
        const Status listening = listener_.listen();
        if (!listening && listening.error().code == Errc::Exists)
            return Error{Errc::Exists, 0,
                         "another margayd serves " + path_ +
                             "; stop it first, or use another --run-dir"};
        return listening;
    }

private:
    static constexpr std::size_t kSessionsMax = 32;

    std::string path_;
    UnixListener listener_;
};

} // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::create(Executor& executor, Log log,
                                                             const std::string& path,
                                                             ControlHandler handler,
                                                             ControlFeeds feeds)
{
    auto server = std::make_unique<ControlListener>(executor, log, path, handler, feeds);
    if (const auto listening = server->listen(); !listening)
        return listening.error();
    return std::unique_ptr<ControlServer>(std::move(server));
}

namespace {

Status send_request(Protocol::socket& socket, const std::string& path, const Request& request)
{
    boost::system::error_code ec;
    socket.connect(Protocol::endpoint(path), ec);
    if (ec)
        return Error{Errc::Unavailable, ec.value(),
                     "margayd does not answer at " + path + " (" + ec.message() +
                         "); is it running, and is this its --run-dir?"};
    json::object args;
    for (const auto& [key, value] : request.args)
        args[key] = value;
    const std::string line =
        json::serialize(json::object{{"command", request.command}, {"args", std::move(args)}}) +
        "\n";
    asio::write(socket, asio::buffer(line), ec);
    if (ec)
        return Error{Errc::Unavailable, ec.value(),
                     "margayd closed the connection: " + ec.message()};
    return {};
}

Error refusal(const json::object& answer)
{
    const auto* error = answer.if_contains("error");
    return Error{Errc::Invalid, 0,
                 error != nullptr && error->is_string() ? error->as_string().c_str()
                                                        : "no reason given"};
}

} // namespace

Result<std::string> control_request(const std::string& path, const Request& request,
                                    std::chrono::seconds timeout)
{
    asio::io_context context;
    Protocol::socket socket(context);
    if (const Status sent = send_request(socket, path, request); !sent)
        return sent.error();
    std::string reply;
    bool whole = false;
    asio::async_read(socket, asio::dynamic_buffer(reply),
                     [&whole](const boost::system::error_code&, std::size_t) { whole = true; });
    context.run_for(timeout);
    if (!whole)
        return Error{Errc::Unavailable, ETIMEDOUT,
                     "margayd at " + path + " takes the request and does not answer within " +
                         std::to_string(timeout.count()) + " s; see its log"};

    boost::system::error_code ec;
    const json::value parsed = json::parse(reply, ec);
    if (ec || !parsed.is_object())
        return Error{Errc::Internal, 0, "margayd's answer is not JSON"};
    const auto& object = parsed.as_object();
    const auto* ok = object.if_contains("ok");
    if (ok != nullptr && ok->is_bool() && ok->as_bool() && object.contains("result"))
        return json::serialize(object.at("result"));
    return refusal(object);
}

Error control_stream(const std::string& path, const Request& request,
                     const std::function<void(const std::string&)>& on_line)
{
    asio::io_context context;
    Protocol::socket socket(context);
    if (const Status sent = send_request(socket, path, request); !sent)
        return sent.error();
    std::string held;
    bool begun = false;
    for (;;) {
        boost::system::error_code ec;
        const std::size_t length = asio::read_until(socket, asio::dynamic_buffer(held), '\n', ec);
        if (ec)
            return Error{Errc::Unavailable, ec.value(),
                         "margayd ended the stream: it stopped, or this reader was too slow"};
        const std::string line = held.substr(0, length - 1);
        held.erase(0, length);
        if (std::exchange(begun, true)) {
            on_line(line);
            continue;
        }
        const json::value first = json::parse(line, ec);
        if (ec || !first.is_object() || !first.as_object().contains("stream"))
            return ec || !first.is_object()
                       ? Error{Errc::Internal, 0, "margayd's answer is not JSON"}
                       : refusal(first.as_object());
    }
}

} // namespace margay::status
