// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/lab.h"

#include <algorithm>
#include <fstream>
#include <iostream>

#include <sys/resource.h>

namespace margay::bgp_bench {
namespace {

using std::chrono::milliseconds;

constexpr auto kQuiet = milliseconds(500); // End-of-RIB and KEEPALIVEs are through by then
constexpr std::size_t kAtOnce = 4; // BIRD's listen() takes 8: more at once lose their last ACK

double own_cpu_ms()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto ms = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
    };
    return ms(usage.ru_utime) + ms(usage.ru_stime);
}

} // namespace

Lab::~Lab()
{
    if (show_log_)
        std::cerr << std::ifstream(daemon_.log_file()).rdbuf() << std::flush;
}

std::vector<Session*> Lab::add(const std::vector<Neighbor>& neighbors)
{
    std::vector<Session*> sessions;
    for (const Neighbor& neighbor : neighbors) {
        setup_.neighbors.push_back(neighbor);
        sessions.push_back(
            &loop_.add({neighbor.address, neighbor.as, kDeviceAddress, sizes_.hold_time}));
    }
    return sessions;
}

std::vector<Inbox*> Lab::inboxes(const std::vector<Session*>& sessions, const Table& table,
                                 std::size_t added_hops)
{
    std::vector<Inbox*> made;
    made.reserve(sessions.size());
    for (Session* session : sessions) {
        made.push_back(&inboxes_.emplace_back(table, added_hops));
        session->set_inbox(made.back());
    }
    return made;
}

bool Lab::enter()
{
    std::vector<Ipv4> addresses{kDeviceAddress};
    for (const Neighbor& neighbor : setup_.neighbors)
        addresses.push_back(neighbor.address);
    setup_.hold_time = sizes_.hold_time;
    if (!setup_.own.empty() && !device_.originates) {
        fail("its configuration has no routes of its own", true);
        return false;
    }
    Status status = enter_private_place(addresses);
    if (status)
        status = daemon_.start(device_, setup_);
    if (!status)
        fail(status.error().what);
    return static_cast<bool>(status);
}

bool Lab::start(const std::vector<Session*>& first)
{
    if (!enter() || !connect(first))
        return false;
    const auto end = Clock::now() + sizes_.limit;
    do {
        if (!until_established(first))
            return false;
        rest(kQuiet);
    } while (!std::ranges::all_of(first, &Session::established) && Clock::now() < end);
    loop_.count_losses();
    return until_established(first);
}

bool Lab::connect(std::span<Session* const> sessions)
{
    for (std::size_t at = 0; at < sessions.size(); at += kAtOnce) {
        const auto some = sessions.subspan(at, std::min(kAtOnce, sessions.size() - at));
        std::ranges::for_each(some, &Session::connect);
        if (!until_established(some))
            return false;
    }
    return true;
}

bool Lab::connect(Session& session)
{
    Session* const one[] = {&session};
    return connect(one);
}

std::vector<Session*> Lab::everybody() const
{
    std::vector<Session*> all;
    for (const auto& session : loop_.sessions())
        all.push_back(session.get());
    return all;
}

bool Lab::until_established(std::span<Session* const> sessions)
{
    const auto up = [&] { return std::ranges::all_of(sessions, &Session::established); };
    bool alive = true;
    const bool done = loop_.run_until(
        [&] { return up() || loop_.lost() > 0 || !(alive = daemon_.running()); }, sizes_.limit);
    if (!alive)
        fail(daemon_.last_words(), true);
    else if (!done || !up()) {
        const auto down = std::ranges::find_if_not(sessions, &Session::established);
        fail("the session of " + (*down)->config().address.str() + " does not come up: " +
             (*down)->why() + (loop_.lost() > 0 ? "; lost: " + loop_.why_lost() : "") +
             "; the daemon said: " + daemon_.last_words());
    }
    return !outcome_.failure;
}

Clock::time_point Lab::start_clock()
{
    usage_at_start_ = daemon_.usage();
    own_cpu_at_start_ = own_cpu_ms();
    clock_runs_ = true;
    return Clock::now();
}

void Lab::stop_clock()
{
    if (!std::exchange(clock_runs_, false))
        return;
    const Usage usage = daemon_.usage();
    figures().cpu_ms += usage.cpu_ms - usage_at_start_.cpu_ms;
    figures().bench_cpu_ms += own_cpu_ms() - own_cpu_at_start_;
    figures().peak_rss_mib = usage.peak_rss_mib;
}

void Lab::expect(const std::vector<Inbox*>& inboxes, std::size_t count)
{
    race_ = Race();
    expect_also(inboxes, count);
}

void Lab::expect_also(const std::vector<Inbox*>& inboxes, std::size_t count)
{
    for (Inbox* inbox : inboxes)
        inbox->expect(count, race_);
}

bool Lab::wait(const char* for_what)
{
    const std::size_t lost = loop_.lost();
    const bool done =
        loop_.run_until([&] { return race_.waiting == 0 || loop_.lost() > lost; }, sizes_.limit);
    stop_clock();
    if (done && race_.waiting == 0)
        return true;
    if (loop_.lost() > lost && !losses_fail_)
        return false;
    if (loop_.lost() > lost)
        fail("a session was lost, " + loop_.why_lost() +
             "; the daemon said: " + daemon_.last_words());
    else
        fail(std::string(for_what) + ": not done within " + std::to_string(sizes_.limit.count()) +
             " s: " + progress());
    return false;
}

std::string Lab::progress() const
{
    std::size_t least = ~std::size_t{0}, most = 0;
    for (const Inbox& inbox : inboxes_) {
        least = std::min(least, inbox.count());
        most = std::max(most, inbox.count());
    }
    return "receivers have " + std::to_string(least) + " to " + std::to_string(most) + " prefixes";
}

void Lab::fail(const std::string& what, bool refused)
{
    if (!outcome_.failure)
        outcome_.failure = Failure{refused, what};
}

// What was received is judged after the clock stopped: a fast daemon must be right as well.
Outcome Lab::finish()
{
    for (const Inbox& inbox : inboxes_)
        if (const std::string fault = inbox.fault(); !fault.empty())
            fail("wrong results: " + fault);
    if (!outcome_.failure && device_.tells_turns) {
        figures().turns = daemon_.end_and_ask_turns();
        if (!figures().turns)
            fail("it did not say what its turns cost; its last words: " + daemon_.last_words());
    }
    return outcome_;
}

} // namespace margay::bgp_bench
