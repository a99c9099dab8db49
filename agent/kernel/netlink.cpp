// SPDX-License-Identifier: Apache-2.0
#include "agent/kernel/netlink.h"

#include "agent/kernel/attributes.h"

#include <boost/asio/post.hpp>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace margay::kernel {
namespace {

constexpr std::size_t kReceiveBuffer = 64 * 1024; // one datagram; dumps use up to 32 KiB
constexpr int kDumpAttempts = 8;                  // of a dump that changes keep interrupting
constexpr int kMonitorBuffer = 8 * 1024 * 1024;   // bytes; a burst of some 10,000 route events
constexpr int kDatagramsPerTurn = 64;             // then the executor serves others

void set_option(int fd, int level, int option, int value)
{
    // Best effort: without these, errors have fewer words and bursts cost a second dump.
    (void)::setsockopt(fd, level, option, &value, sizeof(value));
}

Result<Fd> open_socket(int bus, int extra_flags)
{
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | extra_flags, bus));
    if (!fd.valid())
        return system_error(errno, "open netlink socket bus=" + std::to_string(bus));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
        return system_error(errno, "bind netlink socket bus=" + std::to_string(bus));
    set_option(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, 1);
    set_option(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, 1);
    set_option(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    return fd;
}

// One datagram from the kernel; others cannot speak to this socket (nl_pid is checked).
Result<std::size_t> receive_datagram(int fd, void* buffer, std::size_t size, int flags)
{
    for (;;) {
        sockaddr_nl from{};
        iovec part{buffer, size};
        msghdr header{};
        header.msg_name = &from;
        header.msg_namelen = sizeof(from);
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        const ssize_t n = ::recvmsg(fd, &header, flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_error(errno, "read netlink socket");
        if (from.nl_pid != 0)
            continue;
        if (header.msg_flags & MSG_TRUNC)
            return Error{Errc::System, ENOBUFS, "read netlink socket: datagram too large"};
        return static_cast<std::size_t>(n);
    }
}

// The kernel's own words in an error message, or nothing.
std::string extended_text(const nlmsghdr* message)
{
    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
        return {};
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
    std::size_t offset = sizeof(nlmsgerr);
    if (!(message->nlmsg_flags & NLM_F_CAPPED))
        offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
    return Attributes(message, offset).text(NLMSGERR_ATTR_MSG);
}

Errc code_of(int sys)
{
    switch (sys) {
    case ENOENT:
    case ENODEV:
    case ESRCH:
        return Errc::NotFound;
    case EEXIST:
        return Errc::Exists;
    case EOPNOTSUPP:
        return Errc::Unsupported;
    case EPERM:
        return Errc::Denied;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        return Errc::Unavailable;
    default:
        return Errc::System;
    }
}

Error kernel_error(int sys, const std::string& what, const std::string& words)
{
    Error error = system_error(sys, what);
    error.code = code_of(sys);
    if (!words.empty())
        error.what += " (" + words + ")";
    return error;
}

// The errno of an NLMSG_ERROR message, 0: an acknowledgement. A short one counts as EBADMSG.
int acknowledged(const nlmsghdr* message)
{
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr)))
        return EBADMSG;
    return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
}

} // namespace

// --- Message ------------------------------------------------------------------------------------

Message::Message(std::uint16_t type, std::uint16_t flags)
{
    nlmsghdr* head = mnl_nlmsg_put_header(bytes_.data());
    head->nlmsg_type = type;
    head->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
}

nlmsghdr* Message::header()
{
    return reinterpret_cast<nlmsghdr*>(bytes_.data());
}

const nlmsghdr* Message::header() const
{
    return reinterpret_cast<const nlmsghdr*>(bytes_.data());
}

void Message::require(std::size_t more) const
{
    if (header()->nlmsg_len + NLMSG_ALIGN(more) + NLA_HDRLEN > kCapacity)
        std::abort(); // see the class comment
}

void* Message::extra_header(std::size_t size)
{
    require(size);
    return mnl_nlmsg_put_extra_header(header(), size);
}

void Message::put(std::uint16_t type, std::uint32_t value)
{
    put_bytes(type, &value, sizeof(value));
}

void Message::put_u8(std::uint16_t type, std::uint8_t value)
{
    put_bytes(type, &value, sizeof(value));
}

void Message::put(std::uint16_t type, Ipv4 address)
{
    put(type, address.be());
}

void Message::put(std::uint16_t type, const Ipv6& address)
{
    put_bytes(type, address.bytes().data(), address.bytes().size());
}

void Message::put(std::uint16_t type, std::string_view text)
{
    const std::string terminated(text);
    put_bytes(type, terminated.c_str(), terminated.size() + 1);
}

void Message::put_bytes(std::uint16_t type, const void* data, std::size_t size)
{
    require(size);
    mnl_attr_put(header(), type, size, data);
}

nlattr* Message::begin(std::uint16_t type)
{
    require(0);
    return mnl_attr_nest_start(header(), type);
}

void Message::end(nlattr* nested)
{
    mnl_attr_nest_end(header(), nested);
}

void* Message::append(std::size_t size)
{
    return extra_header(size);
}

// --- Batch --------------------------------------------------------------------------------------

void Batch::add(const Message& message)
{
    const std::size_t start = bytes_.size();
    const std::uint32_t size = message.header()->nlmsg_len;
    bytes_.resize(start + NLMSG_ALIGN(size));
    std::memcpy(bytes_.data() + start, message.header(), size);
    starts_.push_back(start);
}

void Batch::clear()
{
    bytes_.clear();
    starts_.clear();
}

// --- NetlinkSocket ------------------------------------------------------------------------------

Result<NetlinkSocket> NetlinkSocket::open(int bus)
{
    Result<Fd> fd = open_socket(bus, 0);
    if (!fd)
        return fd.error();
    sockaddr_nl own{};
    socklen_t size = sizeof(own);
    if (::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&own), &size) != 0)
        return system_error(errno, "read the address of a netlink socket");
    return NetlinkSocket(std::move(*fd), own.nl_pid);
}

Status NetlinkSocket::send(const void* data, std::size_t size, const std::string& what)
{
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    ssize_t n = 0;
    do {
        n = ::sendto(fd_.get(), data, size, 0, reinterpret_cast<sockaddr*>(&kernel),
                     sizeof(kernel));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return system_error(errno, what);
    return {};
}

// Reads until the answer to `sequence` is complete: the acknowledgement, or the end of a dump.
// Answers to older requests (one that failed half way) are skipped.
Result<NetlinkSocket::Round> NetlinkSocket::receive(std::uint32_t sequence, const std::string& what,
                                                    const OnMessage& on_answer, bool until_done)
{
    buffer_.resize(kReceiveBuffer);
    bool interrupted = false;
    for (;;) {
        const auto size = receive_datagram(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (!size)
            return Error{size.error().code, size.error().sys, what + ": " + size.error().what};
        int left = static_cast<int>(*size);
        for (const auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data());
             mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            if (m->nlmsg_seq != sequence)
                continue;
            interrupted |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (m->nlmsg_type == NLMSG_ERROR) {
                if (const int sys = acknowledged(m))
                    return kernel_error(sys, what, extended_text(m));
                return Round::Done;
            }
            if (m->nlmsg_type == NLMSG_DONE)
                return interrupted ? Round::Interrupted : Round::Done;
            if (on_answer)
                on_answer(m);
            if (!until_done && !(m->nlmsg_flags & NLM_F_MULTI) && on_answer)
                return Round::Done;
        }
    }
}

Status NetlinkSocket::request(Message& message, const std::string& what)
{
    message.header()->nlmsg_flags |= NLM_F_ACK;
    message.header()->nlmsg_seq = ++sequence_;
    if (Status sent = send(message.header(), message.header()->nlmsg_len, what); !sent)
        return sent;
    const auto round = receive(sequence_, what, nullptr, true);
    return round ? Status{} : Status{round.error()};
}

Status NetlinkSocket::query(Message& message, const std::string& what, const OnMessage& on_answer)
{
    message.header()->nlmsg_seq = ++sequence_;
    if (Status sent = send(message.header(), message.header()->nlmsg_len, what); !sent)
        return sent;
    const auto round = receive(sequence_, what, on_answer, false);
    return round ? Status{} : Status{round.error()};
}

Status NetlinkSocket::dump(Message& message, const std::string& what, const OnMessage& on_answer,
                           const std::function<void()>& on_restart)
{
    message.header()->nlmsg_flags |= NLM_F_DUMP;
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
        message.header()->nlmsg_seq = ++sequence_;
        if (Status sent = send(message.header(), message.header()->nlmsg_len, what); !sent)
            return sent;
        const auto round = receive(sequence_, what, on_answer, true);
        if (!round)
            return round.error();
        if (*round == Round::Done)
            return {};
        on_restart();
    }
    return Error{Errc::Unavailable, EINTR, what + ": interrupted by changes again and again"};
}

Result<std::vector<Refusal>>
NetlinkSocket::send_batch(Batch& batch, const std::function<std::string(std::size_t)>& name)
{
    std::vector<Refusal> refusals;
    if (batch.size() == 0)
        return refusals;
    const std::uint32_t first = sequence_ + 1;
    nlmsghdr* header = nullptr;
    for (const std::size_t start : batch.starts_) {
        header = reinterpret_cast<nlmsghdr*>(batch.bytes_.data() + start);
        header->nlmsg_seq = ++sequence_;
    }
    header->nlmsg_flags |= NLM_F_ACK;
    if (Status sent = send(batch.bytes_.data(), batch.bytes_.size(), "send a batch of changes");
        !sent)
        return sent.error();

    buffer_.resize(kReceiveBuffer);
    for (;;) {
        const auto size = receive_datagram(fd_.get(), buffer_.data(), buffer_.size(), 0);
        if (!size)
            return size.error();
        int left = static_cast<int>(*size);
        for (const auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data());
             mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
            const std::uint32_t index = m->nlmsg_seq - first;
            if (index >= batch.size() || m->nlmsg_type != NLMSG_ERROR)
                continue;
            if (const int sys = acknowledged(m))
                refusals.push_back({index, kernel_error(sys, name(index), extended_text(m))});
            if (index == batch.size() - 1)
                return refusals;
        }
    }
}

// --- NetlinkMonitor -----------------------------------------------------------------------------

NetlinkMonitor::NetlinkMonitor(Executor& executor, Fd fd, Callbacks callbacks)
    : callbacks_(std::move(callbacks)), stream_(executor, fd.release()), buffer_(kReceiveBuffer),
      alive_(std::make_shared<bool>(true))
{
}

NetlinkMonitor::~NetlinkMonitor()
{
    *alive_ = false;
}

namespace {

// The kernel then drops the echo of what that socket did instead of queueing it: 100,000 routes would
// overrun the queue, and each overrun costs a dump of the table.
Status leave_out(std::uint32_t port_id, int socket)
{
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(nlmsghdr, nlmsg_pid)), // as if it were big-endian
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port_id), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
    if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
        return system_error(errno, "filter a netlink socket");
    return {};
}

} // namespace

Result<std::unique_ptr<NetlinkMonitor>>
NetlinkMonitor::open(Executor& executor, int bus, const std::vector<unsigned>& groups,
                     Callbacks callbacks, int receive_buffer, std::uint32_t own_port)
{
    Result<Fd> fd = open_socket(bus, SOCK_NONBLOCK);
    if (!fd)
        return fd.error();
    if (own_port != 0)
        if (Status status = leave_out(own_port, fd->get()); !status)
            return status.error();
    const int wanted = receive_buffer ? receive_buffer : kMonitorBuffer;
    set_option(fd->get(), SOL_SOCKET, receive_buffer ? SO_RCVBUF : SO_RCVBUFFORCE, wanted);
    for (const unsigned group : groups) {
        const int value = static_cast<int>(group);
        if (::setsockopt(fd->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &value, sizeof(value)))
            return system_error(errno, "subscribe to netlink group " + std::to_string(group));
    }
    std::unique_ptr<NetlinkMonitor> monitor(
        new NetlinkMonitor(executor, std::move(*fd), std::move(callbacks)));
    monitor->wait();
    return monitor;
}

void NetlinkMonitor::pause()
{
    paused_ = true;
}

void NetlinkMonitor::resume()
{
    paused_ = false;
    wait();
}

void NetlinkMonitor::wait()
{
    if (paused_ || std::exchange(waiting_, true))
        return;
    stream_.async_wait(stream_.wait_read,
                       [this, alive = alive_](const boost::system::error_code& error) {
                           if (!*alive)
                               return;
                           waiting_ = false;
                           if (!error && !paused_)
                               on_readable();
                       });
}

// The callbacks may destroy this monitor; nothing of it is touched after one that did.
void NetlinkMonitor::on_readable()
{
    const auto alive = alive_;
    for (int i = 0; i < kDatagramsPerTurn && *alive && !paused_; ++i)
        if (!read_datagram())
            break;
    if (*alive && callbacks_.on_turn)
        callbacks_.on_turn();
    if (*alive)
        wait();
}

// What is queued is older than the loss: applied after a dump it could bring back an object whose
// end was among the lost messages. So the queue is thrown away before anybody dumps.
void NetlinkMonitor::on_overrun()
{
    for (;;) {
        const auto size =
            receive_datagram(stream_.native_handle(), buffer_.data(), buffer_.size(), 0);
        if (!size && size.error().sys != ENOBUFS)
            break;
    }
    if (callbacks_.on_overrun)
        callbacks_.on_overrun();
}

// false: nothing more to read in this turn.
bool NetlinkMonitor::read_datagram()
{
    const auto alive = alive_;
    const auto size = receive_datagram(stream_.native_handle(), buffer_.data(), buffer_.size(), 0);
    if (!size) {
        if (size.error().sys == ENOBUFS)
            on_overrun();
        return false;
    }
    int left = static_cast<int>(*size);
    for (const auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
        callbacks_.on_message(m);
        if (!*alive)
            return false;
    }
    return true;
}

} // namespace margay::kernel
