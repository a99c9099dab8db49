// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/scenario.h"

#include "bench/bgp/lab.h"

#include <algorithm>

namespace margay::bgp_bench {
namespace {

constexpr auto kBetween = std::chrono::milliseconds(100);
constexpr std::uint32_t kFirstFeederAs = 64600, kReceiverAs = 65500;
constexpr std::size_t kFlapRounds = 3;

double ms_between(Clock::time_point from, Clock::time_point to)
{
    return std::chrono::duration<double, std::milli>(to - from).count();
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

Neighbor mesh_peer(std::size_t number)
{
    return {lab_address(16, number), kDeviceAs, false};
}

std::vector<Neighbor> several(Neighbor (*make)(std::size_t), std::size_t count)
{
    std::vector<Neighbor> neighbors;
    neighbors.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        neighbors.push_back(make(i));
    return neighbors;
}

std::vector<Announcer> announcers(const std::vector<Neighbor>& neighbors)
{
    std::vector<Announcer> out;
    out.reserve(neighbors.size());
    for (const Neighbor& neighbor : neighbors)
        out.push_back({neighbor.address, neighbor.as, neighbor.internal()});
    return out;
}

// ---- table, fanout -----------------------------------------------------------------------------

Outcome run_table(const Device& device, const Sizes& sizes, bool show_log)
{
    const Announced announced =
        make_table(sizes.mix, sizes.prefixes, feeder(0).as, feeder(0).address);
    Lab lab(device, sizes, show_log);
    Session& from = *lab.add({feeder(0)}).front();
    const std::vector<Inbox*> inboxes =
        lab.inboxes(lab.add(several(receiver, sizes.receivers)), announced.table, 1);
    if (!lab.start(lab.everybody()))
        return lab.finish();
    lab.expect(inboxes, sizes.prefixes);
    const auto start = lab.start_clock();
    from.send(announced.announcements);
    if (lab.wait("the table at all receivers"))
        lab.figures().ms.push_back(ms_between(start, lab.finished()));
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
    const std::vector<Inbox*> inboxes = lab.inboxes(sessions, announced.table, 0);
    if (!lab.start(sessions))
        return lab.finish();
    lab.expect(inboxes, (sizes.clients - 1) * sizes.each);
    const auto start = lab.start_clock();
    for (std::size_t i = 0; i < sessions.size(); ++i)
        sessions[i]->send(announced.announcements[i]);
    if (lab.wait("all clients' routes at all others"))
        lab.figures().ms.push_back(ms_between(start, lab.finished()));
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
    const std::vector<Inbox*> witnessed = lab.inboxes({&witness}, announced.table, 1);
    if (!lab.start({&from, &witness}))
        return lab.finish();
    lab.expect(witnessed, sizes.prefixes);
    from.send(announced.announcements);
    if (!lab.wait("the table at the first receiver"))
        return lab.finish();
    lab.rest(5 * kBetween);
    for (Session* joiner : receivers) {
        lab.expect(lab.inboxes({joiner}, announced.table, 1), sizes.prefixes);
        lab.start_clock();
        if (!lab.connect(*joiner) || !lab.wait("the table at a receiver that joins"))
            break;
        lab.figures().ms.push_back(ms_between(joiner->confirmed_at(), lab.finished()));
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
    const std::vector<Inbox*> inboxes =
        lab.inboxes(lab.add(several(receiver, sizes.receivers)), announced.table, 1);
    if (!lab.start(lab.everybody()))
        return lab.finish();
    lab.expect(inboxes, sizes.feeders * sizes.each);
    for (std::size_t i = 0; i < froms.size(); ++i)
        froms[i]->send(announced.announcements[i]);
    if (!lab.wait("the routes at all receivers"))
        return lab.finish();
    for (std::size_t left = froms.size(); left-- > 0;) {
        lab.rest(kBetween);
        lab.expect(inboxes, left * sizes.each);
        const auto start = lab.start_clock();
        froms[left]->reset();
        if (!lab.wait("the withdrawal at all receivers"))
            break;
        lab.figures().ms.push_back(ms_between(start, lab.finished()));
    }
    return lab.finish();
}

// ---- mesh --------------------------------------------------------------------------------------

// The node is full when the witness, which is outside of the mesh and told of everything, has all.
struct Mesh {
    Session* router; // has the outside's table
    std::vector<Session*> peers;
    std::vector<Inbox*> at_peers;
    std::vector<Inbox*> at_witness;
};

// The outside's table comes, or goes; all peers and the witness are told.
bool change_table(Lab& lab, const Mesh& mesh, const MeshAnnounced& announced, bool coming)
{
    const std::size_t gone = coming ? 0 : announced.outside.table.index.size();
    lab.expect(mesh.at_peers, announced.at_peer.index.size() - gone);
    lab.expect_also(mesh.at_witness, announced.at_outside.index.size() - gone);
    mesh.router->send(coming ? announced.outside.announcements : announced.outside.withdrawals);
    return lab.wait(coming ? "the outside's table everywhere" : "its withdrawal everywhere");
}

// All peers are lost at once, and all come back at once to a full table.
bool restart_peers(Lab& lab, const Mesh& mesh, const MeshAnnounced& announced)
{
    const std::size_t theirs = mesh.peers.size() * announced.own.size();
    lab.expect(mesh.at_witness, announced.at_outside.index.size() - theirs);
    std::ranges::for_each(mesh.peers, &Session::reset);
    if (!lab.wait("the withdrawal of all peers' routes"))
        return false;
    lab.expect(lab.inboxes(mesh.peers, announced.at_peer, 0), announced.at_peer.index.size());
    lab.expect_also(mesh.at_witness, announced.at_outside.index.size());
    std::ranges::for_each(mesh.peers, &Session::connect);
    return lab.wait("all routes at the peers that came back, and at the witness");
}

// A node comes up, so the time is that of the sessions, too.
Outcome run_mesh(const Device& device, const Sizes& sizes, bool show_log)
{
    const std::vector<Neighbor> peers = several(mesh_peer, sizes.peers);
    const MeshAnnounced announced =
        make_mesh(announcers(peers), kDeviceAs, sizes.each,
                  make_table(sizes.mix, sizes.prefixes, feeder(0).as, feeder(0).address));
    Lab lab(device, sizes, show_log);
    lab.originate(announced.own);
    Mesh mesh{lab.add({feeder(0)}).front(), lab.add(peers), {}, {}};
    Session& witness = *lab.add({feeder(1)}).front();
    mesh.at_peers = lab.inboxes(mesh.peers, announced.at_peer, 0);
    mesh.at_witness = lab.inboxes({&witness}, announced.at_outside, 1);
    for (std::size_t i = 0; i < mesh.peers.size(); ++i)
        mesh.peers[i]->set_greeting(announced.announcements[i]);
    if (!lab.start({mesh.router, &witness}))
        return lab.finish();
    lab.expect(mesh.at_peers, sizes.each);
    lab.expect_also(mesh.at_witness, (sizes.peers + 1) * sizes.each);
    const auto start = lab.start_clock();
    if (!lab.connect(mesh.peers) || !lab.wait("the mesh's routes at the peers and the witness"))
        return lab.finish();
    lab.figures().ms.push_back(ms_between(start, lab.finished()));
    lab.rest(kBetween);
    // What makes turns long is no time of convergence, and takes minutes where connections queue up.
    if (device.tells_turns && change_table(lab, mesh, announced, true) &&
        change_table(lab, mesh, announced, false) && change_table(lab, mesh, announced, true))
        restart_peers(lab, mesh, announced);
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
    const std::vector<Inbox*> inboxes =
        lab.inboxes(lab.add(several(receiver, sizes.receivers)), announced.table, 1);
    if (!lab.start(lab.everybody()))
        return lab.finish();
    lab.tolerate_losses();
    for (std::size_t round = 0; round < 2 * kFlapRounds && lab.loop().lost() == 0; ++round) {
        const bool coming = round % 2 == 0;
        lab.expect(inboxes, coming ? sizes.prefixes : 0);
        const auto start = lab.start_clock();
        from.send(coming ? announced.announcements : announced.withdrawals);
        if (!lab.wait(coming ? "the table at all receivers" : "its withdrawal"))
            break;
        lab.figures().ms.push_back(ms_between(start, lab.finished()));
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
    {"mesh",
     "a node of a full mesh comes up; from the first connection until it has all peers' routes and "
     "they have its own",
     {.prefixes = 10000, .peers = 1000, .each = 4},
     run_mesh},
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
