// SPDX-License-Identifier: Apache-2.0
// What a speaker guards itself and its routes by, and what it promises beyond RFC 4271: ours against
// ours, and against octets.

#include "support/bgp/codec.h"
#include "support/bgp/hostile.h"
#include "support/bgp/lab_test.h"

#include <gmock/gmock.h>

#include <netinet/in.h>

namespace margay::bgp::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using namespace std::chrono_literals;

const std::string kFirst = "10.3.0.0/26", kSecond = "10.3.1.0/26", kThirdNet = "10.3.2.0/26";

struct GuardTest : LabTest {};

// What the raw peer tells, from outside our AS.
Bytes telling(std::initializer_list<std::string> prefixes)
{
    Attributes attributes;
    attributes.next_hop = lab_address(kRawHost).v4();
    attributes.as_path.prepend(kRawAs);
    std::vector<Prefix4> nets;
    for (const std::string& prefix : prefixes)
        nets.push_back(net(prefix));
    Bytes bytes;
    encode_announce(attributes, WireSession{}, nets, bytes);
    return bytes;
}

// The OPEN and the KEEPALIVE of a raw peer with these capabilities, too.
Bytes greeting(const std::function<void(Capabilities&)>& with)
{
    Open open = raw_open_of(kRawHost, kRawAs);
    with(open.capabilities);
    return together({message_of(open), whole_message(4)});
}
Bytes refreshing_greeting()
{
    return greeting([](Capabilities& c) { c.enhanced_refresh = true; });
}

Bytes refresh_message(RouteRefresh::Kind kind)
{
    Bytes bytes;
    encode_route_refresh({kind, kIpv4Unicast}, bytes);
    return bytes;
}

Bytes end_of_rib()
{
    Bytes bytes;
    encode_end_of_rib(kIpv4Unicast, bytes);
    return bytes;
}

// ---- Passwords (RFC 2385) ----

TEST_F(GuardTest, another_password_makes_no_session_and_the_status_says_what_it_may_be)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    PeerConfig to_b = peer_config(1, 2, 1790), to_a = peer_config(2, 1, 1790);
    to_b.password = "correct-horse";
    to_a.password = "battery-staple";
    to_a.passive = true;
    a.speaker().set_peers({to_b});
    b.speaker().set_peers({to_a});
    EXPECT_TRUE(until([&] { return a.peer().why_down.find("timed out") != std::string::npos; }));
    EXPECT_THAT(a.peer().why_down, HasSubstr("TCP MD5 password"));
    EXPECT_THAT(b.peer().why_down, HasSubstr("TCP MD5 password"));
    EXPECT_EQ(a.peer().received.open + b.peer().received.open, 0u);
    to_a.password = to_b.password;
    b.speaker().set_peers({to_a});
    EXPECT_TRUE(until([&] { return a.up() && b.up(); })) << a.peer().why_down;
}

// ---- GTSM (RFC 5082) ----

// A connection to the speaker with these hop limits. Neither waits for the other.
struct Ttl {
    boost::asio::ip::tcp::socket socket;

    Ttl(Executor& executor, int sent, int least) : socket(executor)
    {
        using boost::asio::ip::tcp;
        const auto at = [](int host, std::uint16_t port) {
            return tcp::endpoint(boost::asio::ip::address_v4(lab_address(host).v4().value()), port);
        };
        socket.open(tcp::v4());
        socket.bind(at(kRawHost, 0));
        send_with(sent);
        ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_MINTTL, &least, sizeof(least));
        socket.non_blocking(true);
        boost::system::error_code in_progress;
        socket.connect(at(kOurHost, kOurPort4), in_progress);
    }
    void send_with(int ttl)
    {
        ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    }
};

struct Guarded {
    Node node;

    explicit Guarded(Executor& executor) : node(executor, kOurHost, kOurPort4)
    {
        PeerConfig config = hostile_peer();
        config.ttl_security = 1;
        node.speaker().set_peers({config});
    }
};

TEST_F(GuardTest, guarded_peer_is_answered_with_the_highest_ttl_from_the_first_segment)
{
    Guarded speaker(executor);
    Ttl peer(executor, 255, 255);
    EXPECT_TRUE(until([&] { return speaker.node.peer().state == State::OpenSent; }))
        << "it hears nothing that came from afar, not even our SYN-ACK";
    const Bytes greeting = raw_greeting(kRawHost, kRawAs);
    EXPECT_TRUE(until([&] {
        boost::system::error_code not_yet;
        return peer.socket.write_some(boost::asio::buffer(greeting), not_yet) == greeting.size();
    }));
    EXPECT_TRUE(until([&] { return speaker.node.up(); }));
}

TEST_F(GuardTest, segments_from_two_hops_away_are_not_heard)
{
    Guarded speaker(executor);
    Ttl peer(executor, 254, 1);
    ASSERT_TRUE(until([&] { return speaker.node.peer().state == State::OpenSent; }));
    const Bytes greeting = raw_greeting(kRawHost, kRawAs);
    boost::system::error_code error;
    ASSERT_EQ(peer.socket.write_some(boost::asio::buffer(greeting), error), greeting.size());
    run_for(executor, 300ms);
    EXPECT_EQ(speaker.node.peer().received.open, 0u);
    peer.send_with(255); // the same octets again, from a neighbour
    EXPECT_TRUE(until([&] { return speaker.node.up(); }));
}

// ---- Send hold timer (RFC 9687) ----

TEST_F(GuardTest, peer_that_speaks_but_never_reads_is_given_up)
{
    PeerConfig peer = hostile_peer();
    peer.send_hold_time = Seconds(1);
    Hostile hostile(peer);
    boost::asio::socket_base::receive_buffer_size small(65536);
    hostile.raw->socket().set_option(small);
    hostile.raw->say(raw_greeting(kRawHost, kRawAs));
    ASSERT_TRUE(until([&] {
        run_for(hostile.executor, 1ms);
        return hostile.node.up();
    }));
    Announcement announcement;
    for (std::uint32_t i = 0; i < 40000; ++i) {
        announcement.med = i; // no two share an UPDATE
        hostile.node.speaker().announce(Prefix4{Ipv4(0x0b000000 + (i << 8)), 24}, announcement);
    }
    ASSERT_TRUE(run_until(hostile.executor, [&] {
        hostile.raw->say(whole_message(4));
        return !hostile.node.up();
    }));
    EXPECT_THAT(hostile.node.peer().why_down, HasSubstr("does not read"));
    EXPECT_EQ(hostile.node.peer().last_notification_sent, "Send Hold Timer Expired (8/0)");
    ASSERT_TRUE(hostile.ends()) << "it reads at last";
    ASSERT_TRUE(hostile.told);
    EXPECT_EQ(hostile.told->code, ErrorCode::SendHoldExpired);
}

// ---- The limit of prefixes (RFC 4486) ----

TEST_F(GuardTest, one_prefix_too_many_ends_the_session_and_takes_its_routes)
{
    PeerConfig peer = hostile_peer();
    peer.max_prefixes = 2;
    Hostile hostile(peer);
    hostile.raw->say(raw_greeting(kRawHost, kRawAs));
    hostile.raw->say(telling({kFirst, kSecond}));
    hostile.raw->say(telling({kFirst, kSecond})); // again is not more
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 2; }));
    EXPECT_TRUE(hostile.node.up());
    hostile.raw->say(telling({kThirdNet}));
    ASSERT_TRUE(hostile.ends());
    ASSERT_TRUE(hostile.told);
    EXPECT_EQ(describe(*hostile.told), "Maximum Number of Prefixes Reached (6/1)");
    EXPECT_THAT(hostile.told->data, ElementsAre(0, 1, 1, 0, 0, 0, 2)) << "family and limit";
    EXPECT_THAT(hostile.node.peer().why_down, HasSubstr("more than 2 prefixes of IPv4 unicast"));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 0; }));
}

// ---- The end of ours ----

TEST_F(GuardTest, who_keeps_our_routes_is_not_told_that_we_go_and_come_back)
{
    for (const bool keeps : {true, false}) {
        SCOPED_TRACE(keeps);
        Hostile hostile;
        hostile.raw->say(greeting([keeps](Capabilities& c) {
            c.graceful_restart.reset();
            if (keeps) // with no family of his own to keep: a helper (RFC 4724 section 3)
                c.graceful_restart.emplace();
        }));
        ASSERT_TRUE(hostile.comes_to(State::Established));
        hostile.node.speaker().shutdown(Speaker::Goodbye::Restart);
        ASSERT_TRUE(hostile.ends());
        EXPECT_EQ(hostile.told.has_value(), !keeps);
        if (hostile.told) {
            EXPECT_EQ(describe(*hostile.told), "Administrative Shutdown (6/2): \"margayd stops\"");
        }
    }
}

// ---- Route refresh (RFC 2918, 7313) ----

TEST_F(GuardTest, refresh_of_bad_length_has_its_own_error_where_that_was_agreed_on)
{
    const std::vector<Bytes> bodies{{}, {0, 1}, {0, 1, 0}, {0, 1, 1, 1, 0}, Bytes(40, 1)};
    for (const bool enhanced : {true, false}) {
        for (const Bytes& body : bodies) {
            SCOPED_TRACE(::testing::Message() << body.size() << " octets, enhanced: " << enhanced);
            Hostile hostile;
            hostile.raw->say(enhanced ? refreshing_greeting() : raw_greeting(kRawHost, kRawAs));
            ASSERT_TRUE(hostile.comes_to(State::Established));
            const Bytes message = whole_message(5, body);
            hostile.raw->say(message);
            ASSERT_TRUE(hostile.ends());
            ASSERT_TRUE(hostile.told);
            const Notify expected =
                enhanced && body.size() > 2 // it says which kind it is
                    ? Notify{ErrorCode::RouteRefresh, refresh_error::kBadLength, message}
                    : Notify{
                          ErrorCode::Header, header_error::kBadLength, {message[16], message[17]}};
            EXPECT_EQ(*hostile.told, expected) << describe(*hostile.told);
        }
    }
}

// RFC 7313 section 5.
TEST_F(GuardTest, refresh_of_an_unknown_kind_is_ignored_whatever_its_length)
{
    Hostile hostile;
    hostile.raw->say(refreshing_greeting());
    for (const Bytes& body : {Bytes{0, 1, 3, 1}, Bytes{0, 1, 3}, Bytes{0, 1, 255, 1, 0}})
        hostile.raw->say(whole_message(5, body));
    hostile.raw->say(telling({kFirst}));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
    EXPECT_TRUE(hostile.node.up());
}

TEST_F(GuardTest, what_is_not_told_again_in_a_refresh_goes_at_its_end)
{
    Hostile hostile;
    hostile.raw->say(together({refreshing_greeting(), telling({kFirst, kSecond}), end_of_rib()}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 2; }));
    hostile.raw->say(together(
        {refresh_message(RouteRefresh::Kind::Begin), telling({kFirst}), telling({kThirdNet})}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 3; })) << "until then it stays";
    hostile.raw->say(refresh_message(RouteRefresh::Kind::End));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.way(kSecond).empty(); }));
    EXPECT_EQ(hostile.node.losses(kFirst), 0);
    EXPECT_EQ(hostile.node.way(kFirst), "10.99.0.3");
    EXPECT_EQ(hostile.node.way(kThirdNet), "10.99.0.3");
    EXPECT_TRUE(hostile.node.up());
}

TEST_F(GuardTest, second_beginning_asks_for_what_came_since_the_first_one)
{
    Hostile hostile;
    hostile.raw->say(together({refreshing_greeting(), telling({kFirst, kSecond}), end_of_rib()}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 2; }));
    hostile.raw->say(together({refresh_message(RouteRefresh::Kind::Begin), telling({kFirst}),
                               refresh_message(RouteRefresh::Kind::Begin), telling({kSecond}),
                               telling({kThirdNet})}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 3; })) << "until then it stays";
    hostile.raw->say(refresh_message(RouteRefresh::Kind::End));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.way(kFirst).empty(); }));
    EXPECT_EQ(hostile.node.losses(kSecond), 0);
    EXPECT_EQ(hostile.node.known(), 2u);
}

TEST_F(GuardTest, end_of_a_refresh_before_end_of_rib_takes_nothing_away)
{
    const auto restarting_greeting = [](bool restarting) {
        return greeting([restarting](Capabilities& c) {
            c.enhanced_refresh = true;
            c.graceful_restart =
                GracefulRestart{restarting, Seconds(60), {{kIpv4Unicast, true}}, false};
        });
    };
    Hostile hostile;
    hostile.raw->say(together({restarting_greeting(false), telling({kFirst}), end_of_rib()}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
    hostile.raw.emplace(hostile.executor, kRawHost, kOurHost, kOurPort4);
    hostile.raw->say(together(
        {restarting_greeting(true), refresh_message(RouteRefresh::Kind::End), telling({kSecond})}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 2; })) << "the stale one stays";
    EXPECT_EQ(hostile.node.losses(kFirst), 0);
    hostile.raw->say(end_of_rib());
    EXPECT_TRUE(hostile.until([&] { return hostile.node.way(kFirst).empty(); }));
}

TEST_F(GuardTest, beginning_and_end_of_a_refresh_mean_nothing_where_they_were_not_agreed_on)
{
    Hostile hostile;
    hostile.raw->say(together({raw_greeting(kRawHost, kRawAs), telling({kFirst})}));
    hostile.raw->say(together({refresh_message(RouteRefresh::Kind::Begin),
                               refresh_message(RouteRefresh::Kind::End), telling({kSecond})}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 2; }));
    EXPECT_EQ(hostile.node.losses(kFirst), 0);
    EXPECT_TRUE(hostile.node.up());
}

TEST_F(GuardTest, unknown_kind_of_refresh_is_ignored)
{
    Hostile hostile;
    hostile.raw->say(together({refreshing_greeting(), whole_message(5, {0, 1, 3, 1}),
                               whole_message(5, {0, 1, 255, 1}), telling({kFirst})}));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
    EXPECT_TRUE(hostile.node.up());
}

TEST_F(GuardTest, our_answer_to_a_refresh_is_beginning_routes_and_end)
{
    Hostile hostile;
    hostile.node.speaker().announce(net("10.1.0.0/26"));
    hostile.node.speaker().announce(net("10.1.1.0/26"), Announcement{1, 7, {}});
    hostile.node.speaker().announcements_complete();
    hostile.raw->say(refreshing_greeting());
    ASSERT_TRUE(hostile.until([&] { return hostile.updates == 3; })) << "two routes, End-of-RIB";
    const auto said_before = static_cast<std::ptrdiff_t>(hostile.heard.size());
    hostile.raw->say(refresh_message(RouteRefresh::Kind::Request));
    ASSERT_TRUE(hostile.until([&] {
        return hostile.heard.back().type == MessageType::RouteRefresh &&
               decode_route_refresh(hostile.heard.back().body).kind == RouteRefresh::Kind::End;
    }));
    std::vector<RawMessage> answer(hostile.heard.begin() + said_before, hostile.heard.end());
    std::erase_if(answer, [](const RawMessage& m) { return m.type == MessageType::Keepalive; });
    ASSERT_THAT(answer, SizeIs(4));
    EXPECT_THAT(answer.front().body, ElementsAre(0, 1, 1, 1));
    EXPECT_EQ(answer[1].type, MessageType::Update);
    EXPECT_EQ(answer[2].type, MessageType::Update);
    EXPECT_THAT(answer.back().body, ElementsAre(0, 1, 2, 1));
}

// ---- Extended messages (RFC 8654) ----

// One route with an unknown attribute of so many octets.
Bytes long_update(std::size_t octets)
{
    Bytes attributes{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 10, 99, 0, 3};
    ByteWriter writer(attributes);
    writer.u8(0xd0);
    writer.u8(222);
    writer.u16(static_cast<std::uint16_t>(octets));
    attributes.insert(attributes.end(), octets, 7);
    return update_message({}, attributes, {24, 192, 0, 2});
}

TEST_F(GuardTest, long_message_is_taken_where_it_was_agreed_on_and_told)
{
    for (const bool agreed : {true, false}) {
        SCOPED_TRACE(agreed);
        Hostile hostile;
        Announcement large;
        for (std::uint32_t i = 0; i < 2000; ++i)
            large.communities.push_back(64512u << 16 | i);
        hostile.node.speaker().announce(net("10.1.0.0/26"), large);
        hostile.node.speaker().announce(net("10.1.1.0/26"));
        hostile.raw->say(greeting([&](Capabilities& c) { c.extended_message = agreed; }));
        ASSERT_TRUE(hostile.comes_to(State::Established));
        EXPECT_EQ(hostile.node.peer().extended_messages, agreed);
        ASSERT_TRUE(hostile.until([&] { return hostile.updates == 2; }))
            << "what is too long for a message is withdrawn";
        const auto longest = std::ranges::max_element(
            hostile.heard, {}, [](const RawMessage& message) { return message.body.size(); });
        EXPECT_EQ(longest->body.size() > kMaxMessage, agreed);
        hostile.raw->say(long_update(9000));
        if (agreed) {
            EXPECT_TRUE(hostile.until([&] { return !hostile.node.way("192.0.2.0/24").empty(); }));
            hostile.raw->say(raw_message(4097, 4));
        }
        ASSERT_TRUE(hostile.ends());
        ASSERT_TRUE(hostile.told);
        EXPECT_EQ(describe(*hostile.told), "Bad Message Length (1/2)");
    }
}

// RFC 9072.
TEST_F(GuardTest, open_with_extended_parameters_is_understood)
{
    Hostile hostile;
    Bytes unknown{222, 200};
    unknown.resize(202, 9);
    // The capabilities in two parameters of wide lengths: an unknown one, IPv4 unicast with the AS.
    const Bytes known{1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfd, 0xe9};
    const Bytes parameters = together({{2, 0, 202}, unknown, {2, 0, 12}, known});
    Bytes body{4, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 255, 255};
    ByteWriter(body).u16(static_cast<std::uint16_t>(parameters.size()));
    hostile.raw->say(together({whole_message(1, together({body, parameters})), whole_message(4)}));
    EXPECT_TRUE(hostile.comes_to(State::Established)) << hostile.node.peer().why_down;
}

// ---- The first AS of a path (RFC 4271 6.3) ----

Bytes telling_by_way_of(Asn first, const std::string& prefix)
{
    Attributes attributes;
    attributes.next_hop = lab_address(kRawHost).v4();
    attributes.as_path.prepend(kRawAs);
    if (first != kRawAs)
        attributes.as_path.prepend(first);
    Bytes bytes;
    encode_announce(attributes, WireSession{}, std::vector<Prefix4>{net(prefix)}, bytes);
    return bytes;
}

TEST_F(GuardTest, path_that_begins_with_another_as_is_taken_unless_that_is_asked_for)
{
    for (const bool enforced : {false, true}) {
        SCOPED_TRACE(enforced);
        PeerConfig peer = hostile_peer();
        peer.enforce_first_as = enforced;
        Hostile hostile(peer);
        hostile.raw->say(
            together({raw_greeting(kRawHost, kRawAs), telling_by_way_of(Asn{65077}, kFirst),
                      telling_by_way_of(kRawAs, kSecond)}));
        ASSERT_TRUE(hostile.until([&] { return !hostile.node.way(kSecond).empty(); }));
        EXPECT_EQ(hostile.node.way(kFirst).empty(), enforced);
        EXPECT_TRUE(hostile.node.up());
    }
}

// ---- Capabilities that the peer does not know (RFC 5492 section 3) ----

TEST_F(GuardTest, who_refuses_the_capabilities_is_asked_without_and_has_a_session)
{
    using boost::asio::ip::tcp;
    constexpr std::uint16_t kListens = 1796;
    const boost::asio::ip::address_v4 address(lab_address(kRawHost).v4().value());
    tcp::acceptor acceptor(executor, tcp::endpoint(address, kListens));
    Node node(executor, kOurHost, kOurPort4);
    PeerConfig peer = peer_config(kOurHost, kRawHost, kListens);
    peer.remote_as = kRawAs;
    peer.connect_retry = 200ms;
    node.speaker().announce(net("10.1.0.0/26"));
    node.speaker().set_peers({peer});

    acceptor.non_blocking(true);
    const auto dialed = [&] {
        tcp::socket socket(executor);
        EXPECT_TRUE(until([&] {
            boost::system::error_code error;
            acceptor.accept(socket, error);
            return !error;
        }));
        return RawPeer(std::move(socket));
    };
    const auto open_of = [&](RawPeer& raw) {
        std::vector<RawMessage> heard;
        EXPECT_TRUE(until([&] {
            heard = raw.messages();
            return !heard.empty();
        }));
        const auto open = heard.empty() ? Open{} : std::get<Open>(decode_open(heard[0].body));
        return open.capabilities;
    };
    RawPeer first = dialed();
    EXPECT_TRUE(open_of(first).four_octet_as);
    first.say(whole_message(3, {2, 4}));
    RawPeer second = dialed();
    EXPECT_EQ(open_of(second), Capabilities{});
    Open open = raw_open_of(kRawHost, kRawAs);
    open.capabilities = {};
    second.say(together({message_of(open), whole_message(4)}));
    EXPECT_TRUE(until([&] { return node.up(); })) << node.peer().why_down;
    std::vector<RawMessage> told;
    EXPECT_TRUE(until([&] {
        for (RawMessage& message : second.messages())
            if (message.type == MessageType::Update)
                told.push_back(std::move(message));
        return !told.empty();
    }));
    const Bytes narrow_path{0x40, 2, 4, 2, 1, 0xfc, 0x00};
    EXPECT_FALSE(std::ranges::search(told[0].body, narrow_path).empty());
}

// ---- After an error (RFC 4271 8.1.1) ----

TEST_F(GuardTest, who_comes_back_right_after_his_error_is_kept_waiting_and_let_in)
{
    Hostile hostile;
    for (std::uint64_t session = 1; session <= 3; ++session) {
        hostile.raw->say(raw_greeting(kRawHost, kRawAs));
        ASSERT_TRUE(hostile.until([&] {
            return hostile.node.peer().established_count == session && hostile.node.up();
        })) << hostile.node.peer().why_down;
        hostile.raw->say(raw_message(19, 9));
        ASSERT_TRUE(hostile.ends());
        ASSERT_TRUE(hostile.told);
        EXPECT_EQ(describe(*hostile.told), "Bad Message Type (1/3)");
        EXPECT_EQ(hostile.node.peer().state, State::Idle);
        RawPeer given_up(executor, kRawHost, kOurHost, kOurPort4);
        hostile.raw.emplace(executor, kRawHost, kOurHost, kOurPort4);
        EXPECT_TRUE(hostile.until([&] { return given_up.messages(), given_up.ended(); }));
    }
}

// ---- DelayOpen (RFC 4271 8.1.1) ----

TEST_F(GuardTest, delayed_open_waits_for_the_peers)
{
    PeerConfig peer = hostile_peer();
    peer.delay_open = 1h;
    Hostile hostile(peer);
    run_for(hostile.executor, 100ms);
    hostile.listen();
    EXPECT_TRUE(hostile.heard.empty());
    hostile.raw->say(raw_greeting(kRawHost, kRawAs));
    EXPECT_TRUE(hostile.comes_to(State::Established));
    EXPECT_TRUE(hostile.until([&] { return hostile.keepalives > 0; }));
    EXPECT_EQ(hostile.heard.front().type, MessageType::Open);
}

TEST_F(GuardTest, delayed_open_comes_by_itself_when_its_time_is_over)
{
    PeerConfig peer = hostile_peer();
    peer.delay_open = 300ms;
    Hostile hostile(peer);
    EXPECT_TRUE(hostile.until([&] { return !hostile.heard.empty(); }));
    EXPECT_EQ(hostile.heard.front().type, MessageType::Open);
    hostile.raw->say(raw_greeting(kRawHost, kRawAs));
    EXPECT_TRUE(hostile.comes_to(State::Established));
}

TEST_F(GuardTest, both_ends_may_delay)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    PeerConfig to_b = peer_config(1, 2, 1790), to_a = peer_config(2, 1, 1790);
    to_b.delay_open = to_a.delay_open = 200ms;
    a.speaker().set_peers({to_b});
    b.speaker().set_peers({to_a});
    EXPECT_TRUE(until([&] { return a.up() && b.up(); })) << a.peer().why_down;
}

// ---- Routes over a NOTIFICATION (RFC 8538) ----

struct Restarting {
    Node a, b;

    Restarting(Executor& executor, bool on_notification)
        : a(executor, 1, 1790), b(executor, 2, 1790)
    {
        PeerConfig to_a = peer_config(2, 1, 1790);
        to_a.restart_on_notification = on_notification;
        a.speaker().announce(net("10.1.0.0/26"));
        a.speaker().announcements_complete();
        b.speaker().announcements_complete();
        a.speaker().set_peers({to_b(on_notification)});
        b.speaker().set_peers({to_a});
    }
    static PeerConfig to_b(bool on_notification, Seconds hold_time = Seconds(240))
    {
        PeerConfig config = peer_config(1, 2, 1790);
        config.restart_on_notification = on_notification;
        config.hold_time = hold_time;
        return config;
    }
};

TEST_F(GuardTest, routes_outlive_a_notification_where_both_ends_say_so)
{
    for (const bool agreed : {true, false}) {
        SCOPED_TRACE(agreed);
        Restarting pair(executor, agreed);
        ASSERT_TRUE(until([&] { return !pair.b.way("10.1.0.0/26").empty(); }));
        pair.a.speaker().set_peers({Restarting::to_b(agreed, Seconds(90))}); // another hold time
        ASSERT_TRUE(until([&] {
            return pair.b.up() && pair.b.peer().established_count == 2 &&
                   pair.b.peer().end_of_rib_received && !pair.b.way("10.1.0.0/26").empty();
        }));
        EXPECT_THAT(pair.b.peer().last_notification_received, HasSubstr("(6/6)"));
        EXPECT_EQ(pair.b.losses("10.1.0.0/26"), agreed ? 0 : 1);
    }
}

TEST_F(GuardTest, routes_do_not_outlive_a_hard_reset)
{
    Restarting pair(executor, true);
    ASSERT_TRUE(until([&] { return !pair.b.way("10.1.0.0/26").empty(); }));
    pair.a.speaker().set_peers({});
    EXPECT_TRUE(until([&] { return pair.b.way("10.1.0.0/26").empty(); }));
    EXPECT_FALSE(pair.b.peer().routes_are_stale);
    EXPECT_THAT(pair.b.peer().last_notification_received, HasSubstr("Hard Reset"));
    EXPECT_THAT(pair.b.peer().last_notification_received, HasSubstr("Peer De-configured"));
}

// ---- Sessions of other kinds ----

TEST_F(GuardTest, session_has_an_as_of_its_own)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790, false, Asn{65002});
    PeerConfig to_b = peer_config(1, 2, 1790), to_a = peer_config(2, 1, 1790);
    to_b.local_as = Asn{64999};
    to_b.remote_as = Asn{65002};
    to_a.remote_as = Asn{64999};
    a.speaker().announce(net("10.1.0.0/26"));
    a.speaker().set_peers({to_b});
    b.speaker().set_peers({to_a});
    b.speaker().announce(net("10.2.0.0/26"));
    ASSERT_TRUE(until([&] {
        return !b.way("10.1.0.0/26").empty() && !a.way("10.2.0.0/26").empty();
    })) << a.peer().why_down;
    EXPECT_EQ(b.speaker().routes().front().attributes->as_path.str(), "64999");
    EXPECT_EQ(a.speaker().routes().back().attributes->as_path.str(), "65002");
}

TEST_F(GuardTest, speaker_without_an_address_listens_for_both_families)
{
    constexpr std::uint16_t kPortOfAll = 1795;
    constexpr int kFourHost = 4, kSixHost = 5;
    SpeakerConfig config;
    config.local_as = Asn{64512};
    config.router_id = lab_address(kOurHost).v4();
    config.listen_port = kPortOfAll;
    Speaker speaker(executor, lab_log(), config, {});
    ASSERT_TRUE(speaker.listen());
    std::vector<PeerConfig> expected;
    for (const Ip& address : {lab_address(kFourHost), lab_address6(kSixHost)}) {
        PeerConfig waits;
        waits.name = address.str();
        waits.address = address;
        waits.remote_as = Asn{64512};
        waits.passive = true;
        waits.password = "for " + address.str();
        expected.push_back(waits);
    }
    speaker.set_peers(expected);
    Node four(executor, kFourHost, 1790), six(executor, kSixHost, 1790);
    PeerConfig over4 = peer_config(kFourHost, kOurHost, kPortOfAll);
    over4.password = expected[0].password;
    PeerConfig over6 = over4;
    over6.address = lab_address6(kOurHost);
    over6.source = lab_address6(kSixHost);
    over6.password = expected[1].password;
    four.speaker().set_peers({over4});
    six.speaker().set_peers({over6});
    EXPECT_TRUE(until([&] { return four.up() && six.up(); }))
        << four.peer().why_down << ", " << six.peer().why_down;
}

// BFD (RFC 5882, 9384).
TEST_F(GuardTest, peer_that_another_protocol_lost_is_gone_at_once_and_comes_back)
{
    Node a(executor, 1, 1790), b(executor, 2, 1790);
    a.speaker().set_peers({peer_config(1, 2, 1790)});
    b.speaker().set_peers({peer_config(2, 1, 1790)});
    b.speaker().announce(net("10.2.0.0/26"));
    ASSERT_TRUE(until([&] { return !a.way("10.2.0.0/26").empty(); }));
    a.speaker().lose_peer("nobody", "BFD");
    a.speaker().lose_peer("peer", "BFD: no packet for 900 ms");
    EXPECT_FALSE(a.up());
    EXPECT_EQ(a.peer().why_down, "BFD: no packet for 900 ms");
    a.speaker().lose_peer("peer", "once more"); // there is no session to lose
    EXPECT_TRUE(until([&] { return a.losses("10.2.0.0/26") == 1 && !b.up(); }))
        << "graceful restart is no reason to keep them";
    EXPECT_THAT(b.peer().last_notification_received, HasSubstr("(6/10)"));
    EXPECT_TRUE(until([&] { return a.up() && !a.way("10.2.0.0/26").empty(); }));
}

} // namespace
} // namespace margay::bgp::lab
