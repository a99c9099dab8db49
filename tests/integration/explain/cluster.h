// SPDX-License-Identifier: Apache-2.0
// Two nodes with a margayd each, and an etcd: n1 at 10.77.0.1, n2 at 10.77.0.2, on one wire. Each has a
// tunnel address from a block of its own, so there is a route each way.

#pragma once

#include "support/etcd.h"
#include "support/netns.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace margay::testing {

class Margayd {
public:
    Margayd(const Netns& netns, std::string name, std::string folder, std::string etcd);
    ~Margayd();
    Margayd(const Margayd&) = delete;
    Margayd& operator=(const Margayd&) = delete;

    void start();
    void stop() { process_.reset(); }
    void kill(); // SIGKILL
    pid_t pid() const { return process_->pid(); }
    std::string bird_socket() const { return folder_ + "/calico/bird.ctl"; }
    std::string log() const;
    // margayctl's output of both kinds.
    CommandResult ctl(const std::string& arguments) const;
    std::string metrics() const;

private:
    const Netns& netns_;
    std::string name_;
    std::string folder_;
    std::string etcd_;
    std::unique_ptr<Background> process_;
};

struct Pair {
    Pair();
    ~Pair();
    bool established() const; // n1 sees n2's session and route

    std::string folder;
    Netns ns1{"n1"};
    Netns ns2{"n2"};
    std::unique_ptr<Etcd> etcd;
    std::unique_ptr<Margayd> n1;
    std::unique_ptr<Margayd> n2;
};

// Made once for a test program; the tests leave it as they found it.
Pair& the_pair();

struct PairTest : ::testing::Test {
    void SetUp() override
    {
        if (!is_root())
            GTEST_SKIP() << "needs root";
        pair = &the_pair();
        ASSERT_TRUE(eventually([this] { return pair->established(); }, std::chrono::seconds(60)))
            << pair->n1->log();
    }

    Pair* pair = nullptr;
};

} // namespace margay::testing
