// SPDX-License-Identifier: Apache-2.0
#include "agent/status/unix_socket.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

namespace margay::status {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

} // namespace

bool somebody_listens(const std::string& path)
{
    asio::io_context context;
    Protocol::socket probe(context);
    boost::system::error_code ec;
    probe.connect(Protocol::endpoint(path), ec);
    return !ec;
}

UnixListener::~UnixListener()
{
    if (loop_.acceptor().is_open())
        ::unlink(path_.c_str());
}

Status UnixListener::listen()
{
    const std::string& path = path_;
    Protocol::acceptor& acceptor = loop_.acceptor();
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return Error{Errc::Invalid, 0, "socket path is too long: " + path};
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    struct stat there{};
    if (::lstat(path.c_str(), &there) == 0) {
        if (!S_ISSOCK(there.st_mode))
            return Error{Errc::Invalid, 0, path + " is there and no socket; remove it"};
        if (somebody_listens(path))
            return Error{Errc::Exists, 0, "somebody else answers at " + path};
        ::unlink(path.c_str());
    }
    boost::system::error_code ec;
    const Protocol::endpoint endpoint(path);
    acceptor.open(endpoint.protocol(), ec);
    const auto before = ::umask(0177); // the socket is never open to others, not even briefly
    if (!ec)
        acceptor.bind(endpoint, ec);
    ::umask(before);
    if (!ec)
        acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (!ec) {
        loop_.start();
        return {};
    }
    const int code = ec.value();
    acceptor.close(ec);
    return system_error(code, "socket " + path);
}

} // namespace margay::status
