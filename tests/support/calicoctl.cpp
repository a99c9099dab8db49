// SPDX-License-Identifier: Apache-2.0
#include "support/calicoctl.h"

#include "margay/fd.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace margay::testing::calicoctl {
namespace {

// The words of /proc/PID/cmdline.
std::vector<std::string> command_line(const std::filesystem::path& process)
{
    std::ifstream file(process / "cmdline", std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');)
        words.push_back(word);
    return words;
}

pid_t parent_of(const std::filesystem::path& process)
{
    std::ifstream file(process / "status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("PPid:"))
            return static_cast<pid_t>(std::stol(line.substr(5)));
    return 0;
}

std::vector<std::string> words_of(const std::string& text)
{
    std::istringstream in(text);
    std::vector<std::string> words;
    for (std::string word; in >> word;)
        words.push_back(word);
    return words;
}

Error unexpected(const std::string& line)
{
    return Error{Errc::Invalid, 0, "unexpected output line from BIRD: '" + line + "'"};
}

// One line at a time, each within 2 s.
class Reader {
public:
    static Result<Reader> connect(const std::string& path)
    {
        Reader reader(Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
        const timeval limit{2, 0};
        ::setsockopt(reader.fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (::connect(reader.fd_.get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)) != 0)
            return system_error(errno, "connect to BIRD's socket " + path);
        return reader;
    }

    bool send(const std::string& text)
    {
        return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(text.size());
    }
    // False at the end and after the deadline.
    bool line(std::string& line)
    {
        std::size_t end = 0;
        while ((end = held_.find('\n')) == std::string::npos) {
            char buffer[4096];
            const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
            if (got <= 0)
                return false;
            held_.append(buffer, static_cast<std::size_t>(got));
        }
        line = held_.substr(0, end);
        held_.erase(0, end + 1);
        return true;
    }

private:
    explicit Reader(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
    std::string held_;
};

// A row has six columns or more, the second of them BGP, and a name that says what kind of peer it is;
// others are passed over in silence.
bool parse_peer(const std::string& row, char separator, PeerRow& peer)
{
    static const std::regex kName("^(Global|Node|Mesh)_(.+)$");
    const std::vector<std::string> columns = words_of(row);
    std::smatch name;
    if (columns.size() < 6 || columns[1] != "BGP" || !std::regex_match(columns[0], name, kName))
        return false;
    peer.type = name[1];
    peer.address = name[2];
    std::ranges::replace(peer.address, '_', separator);
    peer.state = columns[3];
    peer.since = columns[4];
    peer.bgp_state = columns[5];
    for (std::size_t i = 6; i < columns.size(); ++i)
        peer.info += (i > 6 ? " " : "") + columns[i];
    return true;
}

} // namespace

Processes processes(pid_t parent)
{
    Processes found;
    std::error_code ec;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ec)) {
        const std::string number = entry.path().filename().string();
        if (number.find_first_not_of("0123456789") != std::string::npos)
            continue;
        if (parent != 0 && parent_of(entry.path()) != parent)
            continue;
        const std::vector<std::string> words = command_line(entry.path());
        if (words.empty())
            continue;
        found.agent |= words[0] == "calico-felix" || words[0] == "calico-node" ||
                       (words.size() > 1 && words[1] == "-felix");
        found.bird |= words[0] == "bird";
        found.bird6 |= words[0] == "bird6";
    }
    return found;
}

Result<std::vector<PeerRow>> peers(const std::string& socket, Family family)
{
    auto reader = Reader::connect(socket);
    if (!reader)
        return reader.error();
    reader->send("show protocols\n");
    std::vector<PeerRow> peers;
    const auto add = [&peers, family](const std::string& row) {
        if (PeerRow peer; parse_peer(row, family == Family::Ipv4 ? '.' : ':', peer))
            peers.push_back(peer);
    };
    for (std::string line; reader->line(line);) {
        if (line.starts_with("0000"))
            return peers;
        if (line.starts_with("0001"))
            continue;
        if (line.starts_with("2002")) {
            if (words_of(line.substr(5)) !=
                std::vector<std::string>{"name", "proto", "table", "state", "since", "info"})
                return Error{Errc::Invalid, 0, "unknown BIRD table output format"};
        } else if (line.starts_with("1002")) {
            add(line.substr(5));
        } else if (line.starts_with(" ")) {
            add(line.substr(1));
        } else {
            return unexpected(line);
        }
    }
    return Error{Errc::Unavailable, 0, "BIRD did not end its answer"};
}

Result<std::map<std::string, std::string>> peer_details(const std::string& socket,
                                                        const std::string& name)
{
    const auto lines = ask(socket, "show protocols all " + name + "\n", {"0000", "8", "9"});
    if (!lines)
        return lines.error();
    if (!lines->back().starts_with("0000"))
        return unexpected(lines->back());
    std::map<std::string, std::string> details;
    for (const std::string& line : *lines)
        for (const std::string field : {"BGP state:", "Neighbor address:"})
            if (const auto at = line.find(field); at != std::string::npos) {
                const auto words = words_of(line.substr(at + field.size()));
                details[field] = words.empty() ? "" : words[0];
            }
    return details;
}

Result<DaemonStatus> daemon(const std::string& socket)
{
    const auto lines = ask(socket, "show status\n", {"0013", "8", "9"});
    if (!lines)
        return lines.error();
    DaemonStatus status;
    const auto take = [](const std::string& line, const std::string& before, std::string& value) {
        if (const auto at = line.find(before); at != std::string::npos)
            value = line.substr(at + before.size());
    };
    for (const std::string& line : *lines) {
        if (line.starts_with("0001"))
            continue;
        take(line, "1000-BIRD ", status.version);
        take(line, "Router ID is ", status.router_id);
        take(line, "Last reboot on ", status.booted);
        take(line, "Last reconfiguration on ", status.configured);
        status.running |= line.starts_with("0013");
    }
    return status;
}

// PREFIX via GATEWAY on DEVICE [PROTOCOL TIME] ...
Result<std::vector<RouteRow>> routes(const std::string& socket)
{
    const auto lines = ask(socket, "show route\n", {"0000", "8", "9"});
    if (!lines)
        return lines.error();
    std::vector<RouteRow> rows;
    for (const std::string& line : *lines) {
        if (line.starts_with("0000") || line.starts_with("0001"))
            continue;
        if (!line.starts_with("1007-") && !line.starts_with(" "))
            return unexpected(line);
        const auto words = words_of(line.substr(line.starts_with(" ") ? 1 : 5));
        RouteRow row;
        if (words.size() < 3)
            return unexpected(line);
        row.destination = words[0];
        std::size_t at = 1;
        if (words[1] == "via") {
            if (words.size() < 7 || words[3] != "on")
                return unexpected(line);
            row.gateway = words[2];
            row.device = words[4];
            at = 5;
        } else if (words[1] == "blackhole") {
            at = 2;
        }
        if (words[at].front() != '[')
            return unexpected(line);
        row.protocol = words[at].substr(1);
        rows.push_back(row);
    }
    return rows;
}

Result<std::vector<std::string>> ask(const std::string& socket, const std::string& command,
                                     const std::vector<std::string>& ends)
{
    auto reader = Reader::connect(socket);
    if (!reader)
        return reader.error();
    reader->send(command);
    std::vector<std::string> lines;
    for (std::string line; reader->line(line);) {
        lines.push_back(line);
        for (const std::string& end : ends)
            if (line.starts_with(end))
                return lines;
    }
    return Error{Errc::Unavailable, 0,
                 "BIRD did not end its answer, after " + std::to_string(lines.size()) + " lines"};
}

} // namespace margay::testing::calicoctl
