// SPDX-License-Identifier: Apache-2.0
// BFD: the packet and the state machine.
#include "bfd/session.h"
#include "fuzz/input.h"

#include <utility>

namespace margay::fuzz {
namespace {

using namespace bfd;
using std::chrono::milliseconds;

constexpr std::uint32_t kOurs = 77;

class Caller {
public:
    explicit Caller(Input& input) : input_(input), session_(parameters(), kOurs, input.u8() + 1u) {}

    void run()
    {
        take(session_.start(now_));
        while (!input_.at_end() && !finished_)
            step();
    }

private:
    Parameters parameters();
    void step();
    void hear(const Packet& packet);
    void tick(microseconds later);
    void take(const Actions& actions);

    Input& input_;
    Session session_;
    Time now_{std::chrono::hours(1)};
    State shown_ = State::Down;
    bool shutting_down_ = false;
    bool finished_ = false;
};

Parameters Caller::parameters()
{
    Parameters parameters;
    parameters.min_tx = microseconds(1 + input_.u16() * 50);
    parameters.min_rx = microseconds(1 + input_.u16() * 50);
    parameters.detect_mult = static_cast<std::uint8_t>(1 + input_.below(255));
    return parameters;
}

void Caller::step()
{
    switch (input_.below(6)) {
    case 0:
        return tick(milliseconds(input_.u8()));
    case 1:
        return tick(milliseconds(100 * input_.u16()));
    case 2:
        if (const auto at = session_.deadline(); at && *at > now_)
            return tick(std::chrono::ceil<microseconds>(*at - now_));
        return;
    case 3:
        if (!shutting_down_)
            take(session_.change(parameters(), now_));
        return;
    case 4:
        if (input_.below(16) == 0 && !std::exchange(shutting_down_, true))
            take(session_.shut_down(now_));
        return;
    default: {
        const auto decoded = decode(input_.take(kPacketSize + input_.below(4)));
        if (const auto* packet = std::get_if<Packet>(&decoded))
            hear(*packet);
    }
    }
}

void Caller::hear(const Packet& packet)
{
    claim(packet.my_discriminator != 0 && packet.detect_mult != 0, "a packet has no such zeros");
    if (!packet.authenticated) {
        const PacketBytes written = encode(packet);
        const auto read = decode(written);
        claim(std::holds_alternative<Packet>(read) && std::get<Packet>(read) == packet,
              "a packet means the same when written");
    }
    Actions actions;
    (void)session_.receive(packet, now_, actions);
    take(actions);
}

void Caller::tick(microseconds later)
{
    now_ += later;
    take(session_.tick(now_));
    if (!finished_)
        claim(!session_.deadline() || *session_.deadline() > now_, "what was due is done");
}

void Caller::take(const Actions& actions)
{
    for (const Action& action : actions) {
        if (const auto* send = std::get_if<Send>(&action)) {
            claim(!finished_, "who has finished is silent");
            claim(send->packet.my_discriminator == kOurs, "a packet of ours says so");
            claim(!(send->packet.poll && send->packet.final), "a packet asks or answers");
            claim(send->packet.state == session_.state(), "a packet tells the state");
            claim(std::holds_alternative<Packet>(decode(encode(send->packet))),
                  "a packet of ours is one");
        } else if (const auto* change = std::get_if<StateChanged>(&action)) {
            claim(change->from == shown_, "a change begins where the last one ended");
            claim(change->to != shown_, "a change is one");
            claim(!change->failure || (shown_ == State::Up && change->to == State::Down),
                  "only what was Up fails");
            shown_ = change->to;
        } else {
            claim(shutting_down_ && !std::exchange(finished_, true), "the end comes once");
        }
    }
    claim(shown_ == session_.state(), "every change is told");
    claim((session_.state() == State::Up) == session_.why_down().empty(), "who is down says why");
    claim(!finished_ || !session_.deadline(), "who has finished waits for nothing");
}

} // namespace

void run_bfd(Octets octets)
{
    Input input(octets.first(octets.size() < 4096 ? octets.size() : 4096));
    Caller(input).run();
}

} // namespace margay::fuzz
