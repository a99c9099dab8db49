// SPDX-License-Identifier: Apache-2.0
#include "agent/explain/bird_socket.h"
#include "support/quiet.h"

#include "margay/fd.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace margay::explain {
namespace {

using ::testing::HasSubstr;

struct BirdSocketTest : ::testing::Test {
    std::string folder = "/tmp/margay-bird-" + std::to_string(::getpid());
    std::string path = folder + "/calico/bird.ctl";
    Executor executor;
    Log log = margay::testing::quiet_log();

    ~BirdSocketTest() override { std::filesystem::remove_all(folder); }

    Result<std::unique_ptr<BirdSocket>> open(std::chrono::milliseconds idle = std::chrono::hours(1))
    {
        return BirdSocket::create(
            executor, log, path,
            {[] { return std::string("0001 hello\n"); },
             [](const std::string& command) -> BirdPieces {
                 auto left = std::make_shared<int>(3); // an answer of three pieces
                 return [command, left] { return (*left)-- > 0 ? command + "\n" : std::string(); };
             }},
            idle);
    }
    Fd connect() const
    {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
                  0);
        return fd;
    }
    // What came until `enough` of it, or the end.
    std::string read(const Fd& fd, std::size_t enough, bool* ended = nullptr)
    {
        std::string all;
        for (int i = 0; i < 2000 && all.size() < enough; ++i) {
            executor.run_for(std::chrono::milliseconds(5));
            executor.restart();
            char buffer[4096];
            const ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
            if (got > 0)
                all.append(buffer, static_cast<std::size_t>(got));
            if (got == 0 || (got < 0 && errno == ECONNRESET)) {
                if (ended)
                    *ended = true;
                break;
            }
        }
        return all;
    }
};

TEST_F(BirdSocketTest, greets_and_answers_one_command_after_the_other)
{
    const auto socket = open();
    ASSERT_TRUE(socket) << socket.error().what;
    const Fd client = connect();
    EXPECT_EQ(::send(client.get(), "a\nb\n", 4, 0), 4);
    EXPECT_EQ(read(client, 23), "0001 hello\na\na\na\nb\nb\nb\n");
}

TEST_F(BirdSocketTest, is_for_its_owner_only)
{
    const auto socket = open();
    struct stat st{};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(BirdSocketTest, is_left_to_who_answers_there_and_taken_from_who_is_dead)
{
    {
        const auto first = open();
        ASSERT_TRUE(first);
        const auto second = open();
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, Errc::Exists);
    }
    Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    dead.reset(); // the file stays
    EXPECT_TRUE(open());
}

TEST_F(BirdSocketTest, what_is_no_socket_is_left_alone)
{
    std::filesystem::create_directories(folder + "/calico");
    std::ofstream(path) << "precious";
    const auto socket = open();
    ASSERT_FALSE(socket);
    EXPECT_THAT(socket.error().what, HasSubstr("no socket"));
    EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(BirdSocketTest, line_without_an_end_ends_the_connection)
{
    const auto socket = open();
    const Fd client = connect();
    const std::string line(BirdSocket::kLine + 1, 'x');
    EXPECT_EQ(::send(client.get(), line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));
    bool ended = false;
    EXPECT_EQ(read(client, 1000, &ended), "0001 hello\n");
    EXPECT_TRUE(ended);
}

TEST_F(BirdSocketTest, silent_client_is_let_go)
{
    const auto socket = open(std::chrono::milliseconds(20));
    const Fd client = connect();
    bool ended = false;
    read(client, 1000, &ended);
    EXPECT_TRUE(ended);
}

TEST_F(BirdSocketTest, clients_are_bounded_in_number)
{
    const auto socket = open();
    std::vector<Fd> clients;
    for (std::size_t i = 0; i < BirdSocket::kClients; ++i) {
        clients.push_back(connect());
        EXPECT_EQ(read(clients.back(), 11), "0001 hello\n");
    }
    const Fd one_more = connect();
    bool ended = false;
    EXPECT_EQ(read(one_more, 11, &ended), "");
    EXPECT_TRUE(ended);
    clients.pop_back();
    executor.run_for(std::chrono::milliseconds(5));
    executor.restart();
    EXPECT_EQ(read(connect(), 11), "0001 hello\n");
}

} // namespace
} // namespace margay::explain
