// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/scenario.h"

#include "bench/bgp/session.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <fstream>

#include <sys/resource.h>

namespace margay::bgp_bench {
namespace {

using std::chrono::milliseconds;

constexpr auto kQuiet = milliseconds(500); // End-of-RIB and KEEPALIVEs are through by then
constexpr std::size_t kAtOnce = 4; // BIRD's listen() takes 8: more at once lose their last ACK
constexpr auto kBetween = milliseconds(100);
constexpr std::uint32_t kFirstFeederAs = 64600, kReceiverAs = 65500;
constexpr std::size_t kFlapRounds = 3;

double ms_between(Clock::time_point from, Clock::time_point to)
{
    return std::chrono::duration<double, std::milli>(to - from).count();
}

double own_cpu_ms()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto ms = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
    };
    return ms(usage.ru_utime) + ms(usage.ru_stime);
}

// Feeders are 10.255.1.1 and on, receivers and clients 10.255.16.1 and on; 250 to an octet.
Ipv4 lab_address(unsigned third, std::size_t number)
{
    return Ipv4(10u << 24 | 255u << 16 | (third + static_cast<std::uint32_t>(number / 250)) << 8 |
                (1 + static_cast<std::uint32_t>(number % 250)));
}

Neighbor feeder(std::size_t number)
{
    return {lab_address(1, number), kFirstFeederAs + static_cast<std::uint32_t>(number), false};
}

Neighbor receiver(std::size_t number)
{
    return {lab_address(16, number), kReceiverAs, false};
}

Neighbor client(std::size_t number)
{
    return {lab_address(16, number), kDeviceAs, true};
}

std::vector<Neighbor> several(Neighbor (*make)(std::size_t), std::size_t count)
{
    std::vector<Neighbor> neighbors;
    for (std::size_t i = 0; i < count; ++i)
        neighbors.push_back(make(i));
    return neighbors;
}

std::vector<Announcer> announcers(const std::vector<Neighbor>& neighbors)
{
    std::vector<Announcer> out;
    for (const Neighbor& neighbor : neighbors)
        out.push_back({neighbor.address, neighbor.as, neighbor.client});
    return out;
}

// A daemon and all its neighbours. The first failure stays; after it nothing is measured.
class Lab {
public:
    Lab(const Device& device, const Sizes& sizes, bool show_log)
        : device_(device), sizes_(sizes), show_log_(show_log)
    {
    }
    ~Lab();

    std::vector<Session*> add(const std::vector<Neighbor>& neighbors);
    Inbox& inbox(Session& session, const Table& table, std::size_t added_hops);
    // Starts the daemon; `first` become Established, and then all is quiet.
    bool start(const std::vector<Session*>& first);
    bool connect(Session& session);
    std::vector<Session*> everybody() const;
    // From now on a lost session only ends the waiting.
    void tolerate_losses() { losses_fail_ = false; }

    // start_clock() to wait(): what the daemon uses in between is its figure.
    Clock::time_point start_clock();
    bool wait(const Race& race, const char* for_what);
    void rest(milliseconds time) { loop_.run_for(time); }

    Loop& loop() { return loop_; }
    const Sizes& sizes() const { return sizes_; }
    Figures& figures() { return outcome_.figures; }
    Outcome finish();

private:
    bool enter();
    bool until_established(std::span<Session* const> sessions);
    void stop_clock();
    void fail(const std::string& what, bool refused = false);
    std::string progress() const;

    const Device& device_;
    const Sizes& sizes_;
    const bool show_log_;
    Daemon daemon_;
    Loop loop_;
    Setup setup_;
    std::deque<Inbox> inboxes_; // addresses stay
    Outcome outcome_;
    bool losses_fail_ = true;
    Usage usage_at_start_;
    double own_cpu_at_start_ = 0;
};

Lab::~Lab()
{
    if (show_log_)
        std::fprintf(
            stderr, "%s\n",
            std::string(std::istreambuf_iterator<char>(std::ifstream(daemon_.log_file()).rdbuf()),
                        {})
                .c_str());
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

Inbox& Lab::inbox(Session& session, const Table& table, std::size_t added_hops)
{
    Inbox& made = inboxes_.emplace_back(table, added_hops);
    session.set_inbox(&made);
    return made;
}

bool Lab::enter()
{
    std::vector<Ipv4> addresses{kDeviceAddress};
    for (const Neighbor& neighbor : setup_.neighbors)
        addresses.push_back(neighbor.address);
    setup_.hold_time = sizes_.hold_time;
    Status status = enter_private_place(addresses);
    if (status)
        status = daemon_.start(device_, setup_);
    if (!status)
        fail(status.error().what);
    return static_cast<bool>(status);
}

bool Lab::start(const std::vector<Session*>& first)
{
    if (!enter())
        return false;
    for (std::size_t at = 0; at < first.size(); at += kAtOnce) {
        const auto some = std::span(first).subspan(at, std::min(kAtOnce, first.size() - at));
        std::ranges::for_each(some, &Session::connect);
        if (!until_established(some))
            return false;
    }
    const auto end = Clock::now() + sizes_.limit;
    do {
        if (!until_established(first))
            return false;
        rest(kQuiet);
    } while (!std::ranges::all_of(first, &Session::established) && Clock::now() < end);
    loop_.count_losses();
    return until_established(first);
}

bool Lab::connect(Session& session)
{
    session.connect();
    Session* const one[] = {&session};
    return until_established(one);
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
    return Clock::now();
}

void Lab::stop_clock()
{
    const Usage usage = daemon_.usage();
    figures().cpu_ms += usage.cpu_ms - usage_at_start_.cpu_ms;
    figures().bench_cpu_ms += own_cpu_ms() - own_cpu_at_start_;
    figures().peak_rss_mib = usage.peak_rss_mib;
}

bool Lab::wait(const Race& race, const char* for_what)
{
    const std::size_t lost = loop_.lost();
    const bool done =
        loop_.run_until([&] { return race.waiting == 0 || loop_.lost() > lost; }, sizes_.limit);
    stop_clock();
    if (done && race.waiting == 0)
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
    return outcome_;
}

void expect_all(const std::vector<Inbox*>& inboxes, std::size_t count, Race& race)
{
    for (Inbox* inbox : inboxes)
        inbox->expect(count, race);
}

// ---- table, fanout -----------------------------------------------------------------------------

Outcome run_table(const Device& device, const Sizes& sizes, bool show_log)
{
    const Announced announced =
        make_table(sizes.mix, sizes.prefixes, feeder(0).as, feeder(0).address);
    Lab lab(device, sizes, show_log);
    Session& from = *lab.add({feeder(0)}).front();
    std::vector<Inbox*> inboxes;
    for (Session* to : lab.add(several(receiver, sizes.receivers)))
        inboxes.push_back(&lab.inbox(*to, announced.table, 1));
    if (!lab.start(lab.everybody()))
        return lab.finish();
    Race race;
    expect_all(inboxes, sizes.prefixes, race);
    const auto start = lab.start_clock();
    from.send(announced.announcements);
    if (lab.wait(race, "the table at all receivers"))
        lab.figures().ms.push_back(ms_between(start, race.finished));
    return lab.finish();
}

// ---- reflector ---------------------------------------------------------------------------------

// Each client announces its routes, and is done when it has all others'.
Outcome run_reflector(const Device& device, const Sizes& sizes, bool show_log)
{
    const std::vector<Neighbor> clients = several(client, sizes.clients);
    const ManyAnnounced announced = make_blocks(announcers(clients), sizes.each);
    Lab lab(device, sizes, show_log);
    const std::vector<Session*> sessions = lab.add(clients);
    std::vector<Inbox*> inboxes;
    for (Session* session : sessions)
        inboxes.push_back(&lab.inbox(*session, announced.table, 0));
    if (!lab.start(sessions))
        return lab.finish();
    Race race;
    expect_all(inboxes, (sizes.clients - 1) * sizes.each, race);
    const auto start = lab.start_clock();
    for (std::size_t i = 0; i < sessions.size(); ++i)
        sessions[i]->send(announced.announcements[i]);
    if (lab.wait(race, "all clients' routes at all others"))
        lab.figures().ms.push_back(ms_between(start, race.finished));
    return lab.finish();
}

// ---- joiner ------------------------------------------------------------------------------------

// A receiver of its own for each sample: some daemons make a neighbour wait that comes back.
Outcome run_joiner(const Device& device, const Sizes& sizes, bool show_log)
{
    const Announced announced =
        make_table(sizes.mix, sizes.prefixes, feeder(0).as, feeder(0).address);
    Lab lab(device, sizes, show_log);
    Session& from = *lab.add({feeder(0)}).front();
    std::vector<Session*> receivers = lab.add(several(receiver, sizes.receivers + 1));
    Session& witness = *receivers.back(); // that the table is in the daemon
    receivers.pop_back();
    Inbox& witnessed = lab.inbox(witness, announced.table, 1);
    if (!lab.start({&from, &witness}))
        return lab.finish();
    Race filling;
    witnessed.expect(sizes.prefixes, filling);
    from.send(announced.announcements);
    if (!lab.wait(filling, "the table at the first receiver"))
        return lab.finish();
    lab.rest(kQuiet);
    for (Session* joiner : receivers) {
        Race race;
        lab.inbox(*joiner, announced.table, 1).expect(sizes.prefixes, race);
        lab.start_clock();
        if (!lab.connect(*joiner) || !lab.wait(race, "the table at a receiver that joins"))
            break;
        lab.figures().ms.push_back(ms_between(joiner->confirmed_at(), race.finished));
        lab.rest(kBetween);
    }
    return lab.finish();
}

// ---- lost --------------------------------------------------------------------------------------

// One feeder after the other dies; its routes were nobody else's.
Outcome run_lost(const Device& device, const Sizes& sizes, bool show_log)
{
    const std::vector<Neighbor> feeders = several(feeder, sizes.feeders);
    const ManyAnnounced announced = make_blocks(announcers(feeders), sizes.each);
    Lab lab(device, sizes, show_log);
    const std::vector<Session*> froms = lab.add(feeders);
    std::vector<Inbox*> inboxes;
    for (Session* to : lab.add(several(receiver, sizes.receivers)))
        inboxes.push_back(&lab.inbox(*to, announced.table, 1));
    if (!lab.start(lab.everybody()))
        return lab.finish();
    Race filling;
    expect_all(inboxes, sizes.feeders * sizes.each, filling);
    for (std::size_t i = 0; i < froms.size(); ++i)
        froms[i]->send(announced.announcements[i]);
    if (!lab.wait(filling, "the routes at all receivers"))
        return lab.finish();
    for (std::size_t left = froms.size(); left-- > 0;) {
        lab.rest(kBetween);
        Race race;
        expect_all(inboxes, left * sizes.each, race);
        const auto start = lab.start_clock();
        froms[left]->reset();
        if (!lab.wait(race, "the withdrawal at all receivers"))
            break;
        lab.figures().ms.push_back(ms_between(start, race.finished));
    }
    return lab.finish();
}

// ---- flap --------------------------------------------------------------------------------------

// The table comes and goes while every session has a short hold time, and then all is quiet for
// two hold times. Sessions that are lost are what is measured here, not a failure.
Outcome run_flap(const Device& device, const Sizes& sizes, bool show_log)
{
    const Announced announced =
        make_table(sizes.mix, sizes.prefixes, feeder(0).as, feeder(0).address);
    Lab lab(device, sizes, show_log);
    Session& from = *lab.add({feeder(0)}).front();
    std::vector<Inbox*> inboxes;
    for (Session* to : lab.add(several(receiver, sizes.receivers)))
        inboxes.push_back(&lab.inbox(*to, announced.table, 1));
    if (!lab.start(lab.everybody()))
        return lab.finish();
    lab.tolerate_losses();
    for (std::size_t round = 0; round < 2 * kFlapRounds && lab.loop().lost() == 0; ++round) {
        const bool coming = round % 2 == 0;
        Race race;
        expect_all(inboxes, coming ? sizes.prefixes : 0, race);
        const auto start = lab.start_clock();
        from.send(coming ? announced.announcements : announced.withdrawals);
        if (!lab.wait(race, coming ? "the table at all receivers" : "its withdrawal"))
            break;
        lab.figures().ms.push_back(ms_between(start, race.finished));
    }
    lab.rest(2 * std::chrono::seconds(sizes.hold_time));
    lab.figures().sessions_lost = lab.loop().lost();
    return lab.finish();
}

constexpr Scenario kScenarios[] = {
    {"table",
     "one feeder's table to one receiver",
     {.prefixes = 100000, .receivers = 1},
     run_table},
    {"fanout",
     "one feeder's table to many receivers",
     {.prefixes = 100000, .receivers = 50},
     run_table},
    {"reflector",
     "clients of a route reflector, each announcing a few routes to all others",
     {.clients = 100, .each = 4},
     run_reflector},
    {"joiner",
     "receivers that join a full table, one after the other; from the KEEPALIVE that brings it up",
     {.prefixes = 10000, .receivers = 20},
     run_joiner},
    {"lost",
     "feeders that die, one after the other; until the withdrawal is at all receivers",
     {.receivers = 100, .feeders = 20, .each = 10},
     run_lost},
    {"flap",
     "a table that comes and goes under a short hold time: sessions lost",
     {.prefixes = 100000, .receivers = 10, .hold_time = 3},
     run_flap},
};

} // namespace

std::span<const Scenario> scenarios()
{
    return kScenarios;
}

const Scenario* find_scenario(std::string_view name)
{
    for (const Scenario& scenario : kScenarios)
        if (scenario.name == name)
            return &scenario;
    return nullptr;
}

} // namespace margay::bgp_bench
