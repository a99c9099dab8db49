// SPDX-License-Identifier: Apache-2.0
// A hostile peer on the wire: every fault that RFC 4271 6, 5492, 6608 and 7606 name, octet by octet,
// and what the speaker says and does about each. The same faults in the decoder alone are the
// business of unit/bgp.

#include "support/bgp/hostile.h"

#include <gmock/gmock.h>

namespace margay::bgp::lab {
namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

// ---- Header, OPEN and unexpected messages ----

// When the octets are said: the speaker has sent its OPEN; it has ours; the session is there.
struct WireCase {
    const char* name;
    State state;
    Bytes bytes;
    Notify expected;
};

std::ostream& operator<<(std::ostream& out, const WireCase& c)
{
    return out << c.name << " in " << name_of(c.state);
}

Notify header_error_of(std::uint8_t subcode, Bytes data = {})
{
    return Notify{ErrorCode::Header, subcode, std::move(data)};
}
Notify open_error_of(std::uint8_t subcode, Bytes data = {})
{
    return Notify{ErrorCode::Open, subcode, std::move(data)};
}
Notify fsm_error_of(std::uint8_t subcode, MessageType type)
{
    return Notify{ErrorCode::Fsm, subcode, {static_cast<std::uint8_t>(type)}};
}

class RefusedMessage : public ::testing::TestWithParam<WireCase> {
protected:
    void SetUp() override
    {
        if (!enter_private_network())
            GTEST_SKIP() << "needs root";
    }
};

// Before the fault, up to `state`.
Bytes way_to(State state)
{
    if (state == State::OpenSent)
        return {};
    return state == State::OpenConfirm ? raw_open(kRawHost, kRawAs)
                                       : raw_greeting(kRawHost, kRawAs);
}

TEST_P(RefusedMessage, ends_the_connection_with_its_code_subcode_and_data)
{
    const WireCase& c = GetParam();
    Hostile hostile;
    ASSERT_TRUE(hostile.comes_to(State::OpenSent));
    hostile.raw->say(way_to(c.state));
    ASSERT_TRUE(hostile.comes_to(c.state));
    hostile.raw->say(c.bytes);
    ASSERT_TRUE(hostile.ends());
    ASSERT_TRUE(hostile.told);
    EXPECT_EQ(describe(*hostile.told), describe(c.expected));
    EXPECT_EQ(hostile.told->data, c.expected.data);
    EXPECT_EQ(hostile.node.peer().last_notification_sent, describe(c.expected));
    EXPECT_FALSE(hostile.node.up());
}

Bytes bad_marker(std::size_t at)
{
    Bytes bytes = whole_message(4);
    bytes[at] = 0xfe;
    return bytes;
}

std::vector<WireCase> header_cases()
{
    std::vector<WireCase> cases;
    for (const State state : {State::OpenSent, State::OpenConfirm, State::Established}) {
        const auto add = [&](const char* name, Bytes bytes, const Notify& expected) {
            cases.push_back({name, state, std::move(bytes), expected});
        };
        add("marker's first octet", bad_marker(0), header_error_of(1));
        add("marker's last octet", bad_marker(15), header_error_of(1));
        add("length 0", raw_message(0, 4), header_error_of(2, {0, 0}));
        add("length 18", raw_message(18, 4), header_error_of(2, {0, 18}));
        add("length 65535", raw_message(65535, 2), header_error_of(2, {0xff, 0xff}));
        add("OPEN of 28", raw_message(28, 1), header_error_of(2, {0, 28}));
        add("UPDATE of 22", raw_message(22, 2), header_error_of(2, {0, 22}));
        add("NOTIFICATION of 20", raw_message(20, 3), header_error_of(2, {0, 20}));
        add("KEEPALIVE with a body", raw_message(20, 4), header_error_of(2, {0, 20}));
        add("OPEN of 4097", raw_message(4097, 1), header_error_of(2, {0x10, 1}));
        add("KEEPALIVE of 4097", raw_message(4097, 4), header_error_of(2, {0x10, 1}));
        add("UPDATE of 4097", raw_message(4097, 2), header_error_of(2, {0x10, 1}));
        add("type 0", raw_message(19, 0), header_error_of(3, {0}));
        add("type 6", raw_message(19, 6), header_error_of(3, {6}));
        add("type 255", raw_message(19, 255), header_error_of(3, {255}));
    }
    return cases;
}
INSTANTIATE_TEST_SUITE_P(Header, RefusedMessage, ::testing::ValuesIn(header_cases()));

// RFC 4271 4.2: version, AS, hold time, identifier, length of the parameters.
Bytes open_of(std::initializer_list<std::uint8_t> body)
{
    return whole_message(1, Bytes(body));
}
Bytes open_with(const Bytes& parameters)
{
    Bytes body{4, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, static_cast<std::uint8_t>(parameters.size())};
    body.insert(body.end(), parameters.begin(), parameters.end());
    return whole_message(1, body);
}

std::vector<WireCase> open_cases()
{
    const auto add = [](const char* name, Bytes bytes, const Notify& expected) {
        return WireCase{name, State::OpenSent, std::move(bytes), expected};
    };
    return {
        add("version 3", open_of({3, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 0}),
            open_error_of(1, {0, 4})),
        add("version 5", open_of({5, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 0}),
            open_error_of(1, {0, 4})),
        add("another AS", open_of({4, 0xfd, 0xea, 0, 90, 10, 99, 0, 3, 0}), open_error_of(2)),
        add("AS 0", open_of({4, 0, 0, 0, 90, 10, 99, 0, 3, 0}), open_error_of(2)),
        add("AS_TRANS without the capability", open_of({4, 0x5b, 0xa0, 0, 90, 10, 99, 0, 3, 0}),
            open_error_of(2)),
        add("AS 0 in the capability", open_with({2, 6, 65, 4, 0, 0, 0, 0}), open_error_of(2)),
        add("another AS in the capability", open_with({2, 6, 65, 4, 0, 0, 0xfd, 0xea}),
            open_error_of(2)),
        add("another AS beside the capability's",
            whole_message(1,
                          {4, 0xfd, 0xea, 0, 90, 10, 99, 0, 3, 8, 2, 6, 65, 4, 0, 0, 0xfd, 0xe9}),
            open_error_of(2)),
        add("hold time 1", open_of({4, 0xfd, 0xe9, 0, 1, 10, 99, 0, 3, 0}), open_error_of(6)),
        add("hold time 2", open_of({4, 0xfd, 0xe9, 0, 2, 10, 99, 0, 3, 0}), open_error_of(6)),
        add("identifier 0", open_of({4, 0xfd, 0xe9, 0, 90, 0, 0, 0, 0, 0}), open_error_of(3)),
        add("parameters cut", open_of({4, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 4}), open_error_of(0)),
        add("octets behind the parameters", open_of({4, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 0, 1}),
            open_error_of(0)),
        add("parameter's header cut", open_with({2}), open_error_of(0)),
        add("parameter longer than the OPEN", open_with({2, 7, 1, 4, 0, 1, 0, 1}),
            open_error_of(0)),
        add("capability's header cut", open_with({2, 1, 65}), open_error_of(0)),
        add("capability longer than its parameter", open_with({2, 5, 65, 4, 0, 0, 0xfd}),
            open_error_of(0)),
        add("multiprotocol capability of 3", open_with({2, 5, 1, 3, 0, 1, 0}), open_error_of(0)),
        add("AS capability of 2", open_with({2, 4, 65, 2, 0xfd, 0xe9}), open_error_of(0)),
        add("restart capability of 1", open_with({2, 3, 64, 1, 0}), open_error_of(0)),
        add("authentication (1)", open_with({1, 1, 0}), open_error_of(4)),
        add("parameter 77", open_with({77, 0}), open_error_of(4)),
        // RFC 5492 section 3: the data is the capability that is missing.
        add("IPv6 alone", open_with({2, 6, 1, 4, 0, 2, 0, 1}),
            open_error_of(7, {1, 4, 0, 1, 0, 1})),
    };
}
INSTANTIATE_TEST_SUITE_P(Open, RefusedMessage, ::testing::ValuesIn(open_cases()));

const Bytes kEmptyUpdate{0, 0, 0, 0};
const Bytes kRefresh{0, 1, 0, 1};

// RFC 6608 section 4: the data is the type of the message.
INSTANTIATE_TEST_SUITE_P(
    Unexpected, RefusedMessage,
    ::testing::Values(WireCase{"UPDATE", State::OpenSent, whole_message(2, kEmptyUpdate),
                               fsm_error_of(1, MessageType::Update)},
                      WireCase{"KEEPALIVE", State::OpenSent, whole_message(4),
                               fsm_error_of(1, MessageType::Keepalive)},
                      WireCase{"ROUTE-REFRESH", State::OpenSent, whole_message(5, kRefresh),
                               fsm_error_of(1, MessageType::RouteRefresh)},
                      WireCase{"OPEN", State::OpenConfirm, raw_open(kRawHost, kRawAs),
                               fsm_error_of(2, MessageType::Open)},
                      WireCase{"UPDATE", State::OpenConfirm, whole_message(2, kEmptyUpdate),
                               fsm_error_of(2, MessageType::Update)},
                      WireCase{"ROUTE-REFRESH", State::OpenConfirm, whole_message(5, kRefresh),
                               fsm_error_of(2, MessageType::RouteRefresh)},
                      WireCase{"OPEN", State::Established, raw_open(kRawHost, kRawAs),
                               fsm_error_of(3, MessageType::Open)},
                      WireCase{"OPEN of version 3", State::Established,
                               open_of({3, 0xfd, 0xe9, 0, 90, 10, 99, 0, 3, 0}),
                               fsm_error_of(3, MessageType::Open)}));

// ---- UPDATE ----

const Bytes kNet{24, 192, 0, 2}; // 192.0.2.0/24
const Bytes kLater{24, 198, 51, 100}; // 198.51.100.0/24
const Bytes kOrigin{0x40, 1, 1, 0};
const Bytes kIncomplete{0x40, 1, 1, 2}; // how the faulty one is known from the first
const Bytes kPath{0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9};
const Bytes kInnerPath{0x40, 2, 0};
const Bytes kHop{0x40, 3, 4, 10, 99, 0, 3};
const Bytes kPreference{0x40, 5, 4, 0, 0, 0, 100};

// RFC 7606 section 2; Replaced: there is no fault, the new route is taken as it is.
enum class Treatment { Replaced, Discarded, Withdrawn, Reset };

struct UpdateCase {
    const char* name;
    bool internal;
    Bytes message;
    Treatment expected;
    std::uint8_t subcode = 0; // of UPDATE Message Error, for Reset
};

std::ostream& operator<<(std::ostream& out, const UpdateCase& c)
{
    return out << c.name << (c.internal ? " (iBGP)" : " (eBGP)");
}

class FaultyUpdate : public ::testing::TestWithParam<UpdateCase> {
protected:
    void SetUp() override
    {
        if (!enter_private_network())
            GTEST_SKIP() << "needs root";
    }
    static Bytes good(const Bytes& nlri)
    {
        return GetParam().internal
                   ? update_message({}, together({kOrigin, kInnerPath, kHop, kPreference}), nlri)
                   : update_message({}, together({kOrigin, kPath, kHop}), nlri);
    }
    // A good route, the message of the case about the same prefix, and a later good one.
    static void play(Hostile& hostile)
    {
        const Asn as = GetParam().internal ? Asn{64512} : kRawAs;
        hostile.raw->say(raw_greeting(kRawHost, as));
        hostile.raw->say(good(kNet));
        ASSERT_TRUE(hostile.until([&] { return hostile.node.way("192.0.2.0/24") == "10.99.0.3"; }));
        hostile.raw->say(GetParam().message);
        hostile.raw->say(good(kLater));
    }
    static std::optional<Attributes> route(const Hostile& hostile)
    {
        for (const RouteView& view : hostile.node.speaker().routes())
            if (view.prefix == net("192.0.2.0/24"))
                return view.attributes;
        return std::nullopt;
    }
    static void expect_reset(Hostile& hostile)
    {
        ASSERT_TRUE(hostile.ends());
        ASSERT_TRUE(hostile.told);
        EXPECT_EQ(describe(*hostile.told), describe({ErrorCode::Update, GetParam().subcode, {}}));
        EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 0; }));
    }
    static void expect_survival(Hostile& hostile)
    {
        ASSERT_TRUE(hostile.until([&] { return !hostile.node.way("198.51.100.0/24").empty(); }))
            << hostile.node.peer().why_down;
        EXPECT_EQ(hostile.node.peer().established_count, 1u);
        EXPECT_TRUE(hostile.node.up());
        EXPECT_FALSE(hostile.told);
    }
};

TEST_P(FaultyUpdate, gets_the_treatment_of_its_case)
{
    Hostile hostile(GetParam().internal ? Asn{64512} : kRawAs);
    play(hostile);
    if (GetParam().expected == Treatment::Reset)
        return expect_reset(hostile);
    expect_survival(hostile);
    const auto left = route(hostile);
    const PeerStatus peer = hostile.node.peer();
    switch (GetParam().expected) {
    case Treatment::Withdrawn:
        EXPECT_FALSE(left);
        EXPECT_EQ(hostile.node.losses("192.0.2.0/24"), 1);
        EXPECT_GE(peer.update_faults, 1u);
        break;
    case Treatment::Discarded: {
        ASSERT_TRUE(left);
        Attributes bare; // all that there is without the faulty attribute
        bare.origin = Origin::Incomplete;
        bare.next_hop = lab_address(kRawHost);
        if (!GetParam().internal)
            bare.as_path.prepend(kRawAs);
        else
            bare.local_pref = 100;
        EXPECT_EQ(*left, bare);
        EXPECT_GE(peer.update_faults, 1u);
        break;
    }
    default:
        ASSERT_TRUE(left);
        EXPECT_EQ(left->origin, Origin::Incomplete);
        EXPECT_EQ(peer.update_faults, 0u);
    }
}

// The attributes of an external route, in place of the good ones where there is a choice.
Bytes external(const Bytes& attributes)
{
    return update_message({}, attributes, kNet);
}
Bytes external_with(const Bytes& attribute)
{
    return external(together({kIncomplete, kPath, kHop, attribute}));
}
Bytes internal_with(const Bytes& attribute)
{
    return update_message({}, together({kIncomplete, kInnerPath, kHop, kPreference, attribute}),
                          kNet);
}

// An attribute with so many octets, by an extended length where the flags say so.
Bytes long_attribute(std::uint8_t flags, std::uint8_t type, std::size_t size, std::uint8_t fill)
{
    Bytes bytes{flags, type};
    ByteWriter writer(bytes);
    writer.u16(static_cast<std::uint16_t>(size));
    bytes.insert(bytes.end(), size, fill);
    return bytes;
}

using enum Treatment;

// RFC 7606 section 7.1 to 7.3, RFC 4271 5.1.
INSTANTIATE_TEST_SUITE_P(
    Mandatory, FaultyUpdate,
    ::testing::Values(
        UpdateCase{"no fault", false, external_with({}), Replaced},
        UpdateCase{"no fault", true, internal_with({}), Replaced},
        UpdateCase{"ORIGIN of 0", false, external(together({{0x40, 1, 0}, kPath, kHop})),
                   Withdrawn},
        UpdateCase{"ORIGIN of 2", false, external(together({{0x40, 1, 2, 0, 0}, kPath, kHop})),
                   Withdrawn},
        UpdateCase{"ORIGIN 3", false, external(together({{0x40, 1, 1, 3}, kPath, kHop})),
                   Withdrawn},
        UpdateCase{"ORIGIN optional", false, external(together({{0xc0, 1, 1, 0}, kPath, kHop})),
                   Withdrawn},
        UpdateCase{"ORIGIN not transitive", false,
                   external(together({{0x00, 1, 1, 0}, kPath, kHop})), Withdrawn},
        UpdateCase{"ORIGIN partial", false, external(together({{0x60, 1, 1, 0}, kPath, kHop})),
                   Withdrawn},
        UpdateCase{"no ORIGIN", false, external(together({kPath, kHop})), Withdrawn},
        UpdateCase{"AS_PATH optional", false,
                   external(together({kIncomplete, {0xc0, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH of segment 0", false,
                   external(together({kIncomplete, {0x40, 2, 6, 0, 1, 0, 0, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH of segment 5", false,
                   external(together({kIncomplete, {0x40, 2, 6, 5, 1, 0, 0, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH of a confederation", false,
                   external(together({kIncomplete, {0x40, 2, 6, 3, 1, 0, 0, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH with an empty segment", false,
                   external(together({kIncomplete, {0x40, 2, 2, 2, 0}, kHop})), Withdrawn},
        UpdateCase{"AS_PATH's segment longer than it", false,
                   external(together({kIncomplete, {0x40, 2, 6, 2, 2, 0, 0, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH with an octet too many", false,
                   external(together({kIncomplete, {0x40, 2, 7, 2, 1, 0, 0, 0xfd, 0xe9, 2}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH of AS 0", false,
                   external(together(
                       {kIncomplete, {0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 0}, kHop})),
                   Withdrawn},
        UpdateCase{"AS_PATH of 2-octet numbers", false,
                   external(together({kIncomplete, {0x40, 2, 4, 2, 1, 0xfd, 0xe9}, kHop})),
                   Withdrawn},
        UpdateCase{"no AS_PATH", false, external(together({kIncomplete, kHop})), Withdrawn},
        UpdateCase{"no AS_PATH", true,
                   update_message({}, together({kIncomplete, kHop, kPreference}), kNet), Withdrawn},
        UpdateCase{"NEXT_HOP of 3", false,
                   external(together({kIncomplete, kPath, {0x40, 3, 3, 10, 99, 0}})), Withdrawn},
        UpdateCase{
            "NEXT_HOP of 16", false,
            external(together({kIncomplete,
                               kPath,
                               {0x40, 3, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}})),
            Withdrawn},
        UpdateCase{"NEXT_HOP optional", false,
                   external(together({kIncomplete, kPath, {0xc0, 3, 4, 10, 99, 0, 3}})), Withdrawn},
        UpdateCase{"NEXT_HOP 0.0.0.0", false,
                   external(together({kIncomplete, kPath, {0x40, 3, 4, 0, 0, 0, 0}})), Withdrawn},
        UpdateCase{"NEXT_HOP loopback", false,
                   external(together({kIncomplete, kPath, {0x40, 3, 4, 127, 0, 0, 1}})), Withdrawn},
        UpdateCase{"NEXT_HOP multicast", false,
                   external(together({kIncomplete, kPath, {0x40, 3, 4, 224, 0, 0, 1}})), Withdrawn},
        UpdateCase{"NEXT_HOP broadcast", false,
                   external(together({kIncomplete, kPath, {0x40, 3, 4, 255, 255, 255, 255}})),
                   Withdrawn},
        UpdateCase{"no NEXT_HOP", false, external(together({kIncomplete, kPath})), Withdrawn},
        UpdateCase{"no attributes", false, update_message({}, {}, kNet), Withdrawn},
        UpdateCase{"LOCAL_PREF of 3", true,
                   update_message(
                       {}, together({kIncomplete, kInnerPath, kHop, {0x40, 5, 3, 0, 0, 1}}), kNet),
                   Withdrawn},
        UpdateCase{
            "LOCAL_PREF optional", true,
            update_message({}, together({kIncomplete, kInnerPath, kHop, {0xc0, 5, 4, 0, 0, 0, 1}}),
                           kNet),
            Withdrawn},
        UpdateCase{"LOCAL_PREF from outside", false, external_with({0x40, 5, 4, 0, 0, 0, 1}),
                   Discarded},
        UpdateCase{"LOCAL_PREF of 3 from outside", false, external_with({0x40, 5, 3, 0, 0, 1}),
                   Discarded}));

// RFC 7606 section 3 (c) (flags) and 7.4 to 7.14, RFC 6793 section 6, RFC 8092 section 5.
INSTANTIATE_TEST_SUITE_P(
    Optional, FaultyUpdate,
    ::testing::Values(
        UpdateCase{"MULTI_EXIT_DISC of 3", false, external_with({0x80, 4, 3, 0, 0, 1}), Withdrawn},
        UpdateCase{"MULTI_EXIT_DISC of 5", false, external_with({0x80, 4, 5, 0, 0, 0, 0, 1}),
                   Withdrawn},
        UpdateCase{"MULTI_EXIT_DISC transitive", false, external_with({0xc0, 4, 4, 0, 0, 0, 1}),
                   Withdrawn},
        UpdateCase{"MULTI_EXIT_DISC partial", false, external_with({0xa0, 4, 4, 0, 0, 0, 1}),
                   Withdrawn},
        UpdateCase{"COMMUNITIES partial", false, external_with({0xe0, 8, 4, 0, 0, 0, 1}), Replaced},
        UpdateCase{"ATOMIC_AGGREGATE of 1", false, external_with({0x40, 6, 1, 0}), Discarded},
        UpdateCase{"ATOMIC_AGGREGATE optional", false, external_with({0xc0, 6, 0}), Withdrawn},
        UpdateCase{"AGGREGATOR of 6 where numbers are wide", false,
                   external_with({0xc0, 7, 6, 0, 1, 10, 0, 0, 1}), Discarded},
        UpdateCase{"AGGREGATOR of 9", false,
                   external_with({0xc0, 7, 9, 0, 0, 0, 1, 10, 0, 0, 1, 0}), Discarded},
        UpdateCase{"AGGREGATOR well-known", false,
                   external_with({0x40, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1}), Withdrawn},
        UpdateCase{"AGGREGATOR of AS 0", false,
                   external_with({0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1}), Discarded},
        UpdateCase{"COMMUNITIES of 0", false, external_with({0xc0, 8, 0}), Withdrawn},
        UpdateCase{"COMMUNITIES of 5", false, external_with({0xc0, 8, 5, 0, 0, 0, 0, 0}),
                   Withdrawn},
        UpdateCase{"COMMUNITIES not transitive", false, external_with({0x80, 8, 4, 0, 0, 0, 1}),
                   Withdrawn},
        UpdateCase{"ORIGINATOR_ID of 3", true, internal_with({0x80, 9, 3, 10, 0, 0}), Withdrawn},
        UpdateCase{"ORIGINATOR_ID transitive", true, internal_with({0xc0, 9, 4, 10, 0, 0, 9}),
                   Withdrawn},
        UpdateCase{"ORIGINATOR_ID from outside", false, external_with({0x80, 9, 4, 10, 0, 0, 9}),
                   Discarded},
        UpdateCase{"CLUSTER_LIST of 0", true, internal_with({0x80, 10, 0}), Withdrawn},
        UpdateCase{"CLUSTER_LIST of 5", true, internal_with({0x80, 10, 5, 1, 2, 3, 4, 5}),
                   Withdrawn},
        UpdateCase{"CLUSTER_LIST from outside", false, external_with({0x80, 10, 4, 10, 0, 0, 9}),
                   Discarded},
        UpdateCase{"EXTENDED COMMUNITIES of 0", false, external_with({0xc0, 16, 0}), Withdrawn},
        UpdateCase{"EXTENDED COMMUNITIES of 7", false,
                   external_with({0xc0, 16, 7, 0, 2, 0, 0, 0, 0, 0}), Withdrawn},
        UpdateCase{"AS4_PATH from a new speaker", false,
                   external_with({0xc0, 17, 6, 2, 1, 0, 0, 0xfd, 0xe8}), Discarded},
        UpdateCase{"AS4_AGGREGATOR from a new speaker", false,
                   external_with({0xc0, 18, 8, 0, 0, 0, 1, 1, 1, 1, 1}), Discarded},
        UpdateCase{"LARGE_COMMUNITY of 0", false, external_with({0xc0, 32, 0}), Withdrawn},
        UpdateCase{"LARGE_COMMUNITY of 11", false,
                   external_with({0xc0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), Withdrawn},
        UpdateCase{"unknown, optional and transitive", false, external_with({0xc0, 222, 2, 1, 2}),
                   Replaced},
        UpdateCase{"unknown, optional and not transitive", false,
                   external_with({0x80, 222, 2, 1, 2}), Replaced},
        UpdateCase{"unknown, of 3,000 octets", false,
                   external_with(long_attribute(0xd0, 222, 3000, 7)), Replaced},
        UpdateCase{"unknown and well-known", false, external_with({0x40, 222, 1, 0}), Reset, 2}));

// RFC 7606 section 3 (g), 4 and 5.3; RFC 4271 6.3.
INSTANTIATE_TEST_SUITE_P(
    Structure, FaultyUpdate,
    ::testing::Values(
        UpdateCase{"ORIGIN twice", false, external_with({0x40, 1, 1, 0}), Discarded},
        UpdateCase{"NEXT_HOP twice, the second of 3", false, external_with({0x40, 3, 3, 1, 2, 3}),
                   Discarded},
        UpdateCase{"attribute longer than the list", false,
                   external_with({0xc0, 8, 200, 0, 0, 0, 1}), Withdrawn},
        UpdateCase{"extended length longer than the list", false,
                   external_with({0xd0, 8, 0xff, 0xff, 0, 0, 0, 1}), Withdrawn},
        UpdateCase{"list ends after the flags", false, external_with({0xc0}), Withdrawn},
        UpdateCase{"list ends after the type", false, external_with({0xc0, 8}), Withdrawn},
        UpdateCase{"list ends within an extended length", false, external_with({0xd0, 8, 0}),
                   Withdrawn},
        UpdateCase{"withdrawn routes longer than the message", false,
                   whole_message(2, {0, 9, 0, 0}), Reset, 1},
        UpdateCase{"attributes longer than the message", false,
                   whole_message(2, {0, 0, 0, 9, 0x40}), Reset, 1},
        UpdateCase{"prefix of 33 bits", false,
                   update_message({}, together({kIncomplete, kPath, kHop}), {33, 192, 0, 2, 0, 0}),
                   Reset, 10},
        UpdateCase{"prefix of 255 bits", false,
                   update_message({}, together({kIncomplete, kPath, kHop}), {255}), Reset, 10},
        UpdateCase{"prefix cut", false,
                   update_message({}, together({kIncomplete, kPath, kHop}), {24, 192, 0}), Reset,
                   10},
        UpdateCase{"withdrawn prefix of 33 bits", false,
                   update_message({33, 192, 0, 2, 0, 0}, {}, {}), Reset, 10},
        UpdateCase{"withdrawn prefix cut", false, update_message({24, 192, 0}, {}, {}), Reset, 10},
        UpdateCase{"MP_REACH_NLRI of a family that is not carried", false,
                   external_with({0x80, 14, 30, 0, 2, 1, 16, 0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0,
                                  0,    0,  0,  0, 0, 3, 0,  64,   0xfd, 2, 0, 0, 0, 0, 0, 0}),
                   Replaced},
        UpdateCase{"MP_UNREACH_NLRI of a family that is not carried", false,
                   external_with({0x80, 15, 12, 0, 2, 1, 64, 0xfd, 2, 0, 0, 0, 0, 0, 0}), Replaced},
        UpdateCase{
            "MP_REACH_NLRI twice", false,
            external_with(together({{0x80, 14, 5, 0, 2, 1, 0, 0}, {0x80, 14, 5, 0, 2, 1, 0, 0}})),
            Reset, 1},
        UpdateCase{"MP_UNREACH_NLRI twice", false,
                   external_with(together({{0x80, 15, 3, 0, 2, 1}, {0x80, 15, 3, 0, 2, 1}})), Reset,
                   1},
        UpdateCase{"MP_REACH_NLRI of 4", false, external_with({0x80, 14, 4, 0, 1, 1, 0}), Reset, 9},
        UpdateCase{"MP_REACH_NLRI, next hop longer than it", false,
                   external_with({0x80, 14, 5, 0, 1, 1, 9, 0}), Reset, 9},
        UpdateCase{"MP_REACH_NLRI, prefix of 33 bits", false,
                   external_with({0x80, 14, 15, 0, 1, 1, 4, 10, 99, 0, 3, 0, 33, 1, 2, 3, 4, 5}),
                   Reset, 9},
        UpdateCase{"MP_UNREACH_NLRI of 2", false, external_with({0x80, 15, 2, 0, 1}), Reset, 9},
        UpdateCase{"MP_UNREACH_NLRI, prefix cut", false,
                   external_with({0x80, 15, 5, 0, 1, 1, 24, 1}), Reset, 9}));

// ---- IPv6, in MP_REACH_NLRI and MP_UNREACH_NLRI of a session that carries it (RFC 7606 5 and 7.11) ----

// The parts of MP_REACH_NLRI: family, next hop with its length, reserved octet, prefixes.
const Bytes kFamily6{0, 2, 1};
const Bytes kHop6{16, 0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
const Bytes kLinkLocal{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
const Bytes kNet6{64, 0xfd, 2, 0, 0, 0, 0, 0, 0};
const Bytes kLater6{64, 0xfd, 3, 0, 0, 0, 0, 0, 0};

Bytes hop6_of(std::uint8_t length, std::uint8_t fill = 0xfd)
{
    Bytes bytes(1u + length, fill);
    bytes.front() = length;
    return bytes;
}
Bytes reach6(const Bytes& hop, const Bytes& nlri, std::uint8_t reserved = 0)
{
    const Bytes value = together({kFamily6, hop, {reserved}, nlri});
    return together({{0x80, 14, static_cast<std::uint8_t>(value.size())}, value});
}
Bytes unreach6(const Bytes& nlri)
{
    const Bytes value = together({kFamily6, nlri});
    return together({{0x80, 15, static_cast<std::uint8_t>(value.size())}, value});
}
Bytes external6(const Bytes& attributes)
{
    return update_message({}, together({attributes, kIncomplete, kPath}), {});
}

struct Ipv6Case {
    const char* name;
    Bytes message;
    Treatment expected;
    std::uint8_t subcode = 0;
};

std::ostream& operator<<(std::ostream& out, const Ipv6Case& c)
{
    return out << c.name;
}

class FaultyIpv6Update : public ::testing::TestWithParam<Ipv6Case> {
protected:
    void SetUp() override
    {
        if (!enter_private_network())
            GTEST_SKIP() << "needs root";
    }
};

TEST_P(FaultyIpv6Update, gets_the_treatment_of_its_case)
{
    PeerConfig peer = hostile_peer();
    peer.families = {kIpv4Unicast, kIpv6Unicast};
    Hostile hostile(peer);
    const auto route = [&](const char* prefix) -> std::optional<RouteView> {
        for (const RouteView& view : hostile.node.speaker().routes())
            if (view.prefix == *IpPrefix::parse(prefix))
                return view;
        return std::nullopt;
    };
    const auto good = [](const Bytes& nlri) {
        return update_message({}, together({reach6(kHop6, nlri), kOrigin, kPath}), {});
    };
    Open open = raw_open_of(kRawHost, kRawAs);
    open.capabilities.families = peer.families;
    hostile.raw->say(together({message_of(open), whole_message(4), good(kNet6)}));
    ASSERT_TRUE(hostile.until([&] { return route("fd02::/64").has_value(); }))
        << hostile.node.peer().why_down;
    hostile.raw->say(GetParam().message);
    hostile.raw->say(good(kLater6));
    if (GetParam().expected == Reset) {
        ASSERT_TRUE(hostile.ends());
        ASSERT_TRUE(hostile.told);
        EXPECT_EQ(describe(*hostile.told), describe({ErrorCode::Update, GetParam().subcode, {}}));
        EXPECT_TRUE(hostile.until([&] { return hostile.node.speaker().routes().empty(); }));
        return;
    }
    ASSERT_TRUE(hostile.until([&] { return route("fd03::/64").has_value(); }))
        << hostile.node.peer().why_down;
    EXPECT_TRUE(hostile.node.up());
    const auto left = route("fd02::/64");
    EXPECT_EQ(left.has_value(), GetParam().expected == Replaced);
    if (left) {
        EXPECT_EQ(left->attributes->next_hop, lab_address6(kRawHost));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Ipv6, FaultyIpv6Update,
    ::testing::Values(
        Ipv6Case{"no fault", external6(reach6(kHop6, kNet6)), Replaced},
        Ipv6Case{"withdrawn", update_message({}, unreach6(kNet6), {}), Withdrawn},
        Ipv6Case{"next hop with a link-local one",
                 external6(reach6(
                     together({{32}, Bytes(kHop6.begin() + 1, kHop6.end()), kLinkLocal}), kNet6)),
                 Replaced},
        Ipv6Case{"reserved octet that is not 0", external6(reach6(kHop6, kNet6, 7)), Replaced},
        Ipv6Case{"next hop of 0", external6(reach6(hop6_of(0), kNet6)), Reset, 9},
        Ipv6Case{"next hop of 4", external6(reach6(hop6_of(4), kNet6)), Reset, 9},
        Ipv6Case{"next hop of 15", external6(reach6(hop6_of(15), kNet6)), Reset, 9},
        Ipv6Case{"next hop of 24", external6(reach6(hop6_of(24), kNet6)), Reset, 9},
        Ipv6Case{"next hop of 33", external6(reach6(hop6_of(33), kNet6)), Reset, 9},
        Ipv6Case{"next hop longer than the attribute",
                 external6({0x80, 14, 6, 0, 2, 1, 16, 0xfd, 0x99}), Reset, 9},
        Ipv6Case{"next hop ::", external6(reach6(hop6_of(16, 0), kNet6)), Withdrawn},
        Ipv6Case{"next hop of multicast", external6(reach6(hop6_of(16, 0xff), kNet6)), Withdrawn},
        Ipv6Case{"no reserved octet", external6(together({{0x80, 14, 20}, kFamily6, kHop6})), Reset,
                 9},
        Ipv6Case{"prefix of 129 bits", external6(reach6(kHop6, together({{129}, Bytes(17, 1)}))),
                 Reset, 9},
        Ipv6Case{"prefix of 255 bits", external6(reach6(kHop6, {255})), Reset, 9},
        Ipv6Case{"prefix cut", external6(reach6(kHop6, {64, 0xfd, 2, 0})), Reset, 9},
        Ipv6Case{"a good prefix before one that is cut",
                 external6(reach6(kHop6, together({kNet6, {64, 0xfd}}))), Reset, 9},
        Ipv6Case{"withdrawn prefix of 129 bits",
                 update_message({}, unreach6(together({{129}, Bytes(17, 1)})), {}), Reset, 9},
        Ipv6Case{"withdrawn prefix cut", update_message({}, unreach6({64, 0xfd}), {}), Reset, 9},
        Ipv6Case{"MP_REACH_NLRI twice",
                 external6(together({reach6(kHop6, kNet6), reach6(kHop6, kLater6)})), Reset, 1},
        Ipv6Case{"MP_UNREACH_NLRI twice",
                 update_message({}, together({unreach6(kNet6), unreach6(kLater6)}), {}), Reset, 1},
        Ipv6Case{"no AS_PATH", update_message({}, together({reach6(kHop6, kNet6), kOrigin}), {}),
                 Withdrawn},
        Ipv6Case{"no ORIGIN", update_message({}, together({reach6(kHop6, kNet6), kPath}), {}),
                 Withdrawn},
        Ipv6Case{"ORIGIN 3",
                 update_message({}, together({reach6(kHop6, kNet6), {0x40, 1, 1, 3}, kPath}), {}),
                 Withdrawn},
        // RFC 7606 5.2: what it was about cannot be known.
        Ipv6Case{"a fault, and no prefix of any kind",
                 update_message({}, together({{0x40, 1, 1, 3}, kPath}), {}), Reset, 1},
        Ipv6Case{"a fault, and MP_REACH_NLRI without prefixes",
                 update_message({}, together({reach6(kHop6, {}), {0x40, 1, 1, 3}, kPath}), {}),
                 Reset, 1},
        Ipv6Case{"MP_REACH_NLRI without prefixes", external6(reach6(kHop6, {})), Replaced},
        Ipv6Case{"multicast of IPv6, which is not carried",
                 external6({0x80, 14, 14, 0, 2, 2, 0, 0, 64, 0xfd, 2, 0, 0, 0, 0, 0, 0}), Replaced},
        Ipv6Case{"a family that nobody knows", external6({0x80, 14, 6, 0x40, 4, 71, 0, 0, 9}),
                 Replaced},
        Ipv6Case{"MP_UNREACH_NLRI of a family that nobody knows",
                 update_message({}, {0x80, 15, 4, 0x40, 4, 71, 9}, {}), Replaced}));

// ---- What is no fault, and how sessions end ----

struct MalformedTest : ::testing::Test {
    void SetUp() override
    {
        if (!enter_private_network())
            GTEST_SKIP() << "needs root";
    }
};

TEST_F(MalformedTest, octets_that_come_one_by_one_make_a_session)
{
    Hostile hostile;
    Bytes all = raw_greeting(kRawHost, kRawAs);
    const Bytes update = update_message({}, together({kOrigin, kPath, kHop}), kNet);
    all.insert(all.end(), update.begin(), update.end());
    for (const std::uint8_t octet : all) {
        hostile.raw->say({octet});
        run_for(hostile.executor, 1ms);
    }
    EXPECT_TRUE(hostile.until([&] { return hostile.node.way("192.0.2.0/24") == "10.99.0.3"; }));
    EXPECT_EQ(hostile.node.peer().received.update, 1u);
}

TEST_F(MalformedTest, open_without_parameters_is_enough)
{
    Hostile hostile;
    hostile.raw->say(together({open_with({}), whole_message(4)}));
    EXPECT_TRUE(hostile.comes_to(State::Established));
    EXPECT_EQ(hostile.node.peer().hold_time, Seconds(90));
}

TEST_F(MalformedTest, unknown_capabilities_and_empty_parameters_are_passed_over)
{
    Hostile hostile;
    hostile.raw->say(together({open_with({2, 0, 2, 5, 222, 3, 1, 2, 3}), whole_message(4)}));
    EXPECT_TRUE(hostile.comes_to(State::Established));
}

// RFC 6793 section 6.
TEST_F(MalformedTest, broken_as4_path_of_an_old_speaker_is_discarded)
{
    const Bytes old_path{0x40, 2, 4, 2, 1, 0xfd, 0xe9};
    const std::vector<Bytes> broken{
        {0xc0, 17, 0},
        {0xc0, 17, 5, 2, 1, 0, 0, 0xfd},
        {0xc0, 17, 6, 9, 1, 0, 0, 0xfd, 0xe9},
        {0xc0, 17, 6, 2, 2, 0, 0, 0xfd, 0xe9},
        {0xc0, 17, 8, 2, 1, 0, 0, 0xfd, 0xe9, 2, 0},
        {0xc0, 18, 7, 0, 0, 0, 1, 10, 0, 0},
    };
    for (const Bytes& attribute : broken) {
        SCOPED_TRACE(::testing::PrintToString(attribute));
        Hostile hostile;
        hostile.raw->say(together({open_with({}), whole_message(4)}));
        hostile.raw->say(update_message({}, together({kOrigin, old_path, kHop, attribute}), kNet));
        ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
        EXPECT_EQ(hostile.node.speaker().routes().front().attributes->as_path.str(), "65001");
        EXPECT_EQ(hostile.node.peer().update_faults, 1u);
        EXPECT_TRUE(hostile.node.up());
    }
}

TEST_F(MalformedTest, hold_time_zero_means_no_keepalives)
{
    Hostile hostile;
    hostile.raw->say(together({raw_open(kRawHost, kRawAs, Seconds(0)), whole_message(4)}));
    EXPECT_TRUE(hostile.comes_to(State::Established));
    EXPECT_EQ(hostile.node.peer().hold_time, Seconds(0));
}

TEST_F(MalformedTest, refresh_of_a_family_that_is_not_carried_is_ignored)
{
    Hostile hostile;
    hostile.node.speaker().announce(net("10.1.0.0/26"));
    hostile.node.speaker().announcements_complete();
    hostile.raw->say(raw_greeting(kRawHost, kRawAs));
    ASSERT_TRUE(hostile.until([&] { return hostile.updates == 2; })) << "the route, End-of-RIB";
    for (const Bytes& other : {Bytes{0, 25, 0, 70}, Bytes{0, 2, 0, 1}, Bytes{0, 1, 0, 2}})
        hostile.raw->say(whole_message(5, other));
    hostile.raw->say(whole_message(5, kRefresh));
    EXPECT_TRUE(hostile.until([&] { return hostile.updates == 3; }));
    run_for(hostile.executor, 50ms);
    hostile.listen();
    EXPECT_EQ(hostile.updates, 3u);
    EXPECT_TRUE(hostile.node.up());
}

// With enhanced refresh (RFC 7313).
Bytes enhanced_greeting()
{
    return together({open_with({2, 10, 2, 0, 70, 0, 65, 4, 0, 0, 0xfd, 0xe9}), whole_message(4)});
}
Bytes refresh_message(std::uint8_t kind)
{
    return whole_message(5, {0, 1, kind, 1});
}

// Else who asks and does not read would fill our memory.
TEST_F(MalformedTest, refreshes_asked_for_at_once_have_few_begins)
{
    Hostile hostile;
    hostile.node.speaker().announce(net("10.1.0.0/26"));
    hostile.node.speaker().announcements_complete();
    hostile.raw->say(enhanced_greeting());
    ASSERT_TRUE(hostile.until([&] { return hostile.updates == 1; }));
    Bytes flood;
    for (int i = 0; i < 500; ++i)
        flood = together({flood, refresh_message(0)});
    hostile.raw->say(flood);
    ASSERT_TRUE(hostile.until([&] { return hostile.ends_of_refresh > 0; }));
    run_for(hostile.executor, 50ms);
    hostile.listen();
    EXPECT_EQ(hostile.begins, hostile.ends_of_refresh);
    EXPECT_LT(hostile.begins, 50u);
    EXPECT_EQ(hostile.node.peer().received.route_refresh, 500u);
}

TEST_F(MalformedTest, second_begin_of_a_refresh_takes_nothing_away)
{
    Hostile hostile;
    hostile.raw->say(enhanced_greeting());
    hostile.raw->say(update_message({}, together({kOrigin, kPath, kHop}), kNet));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
    hostile.raw->say(together({refresh_message(1), refresh_message(1)}));
    ASSERT_TRUE(hostile.until([&] { return hostile.node.peer().received.route_refresh == 2; }));
    run_for(hostile.executor, 50ms);
    EXPECT_EQ(hostile.node.known(), 1u);
    hostile.raw->say(refresh_message(2));
    EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 0; })) << "not told again";
}

TEST_F(MalformedTest, notification_ends_the_session_and_is_not_answered)
{
    const std::vector<std::pair<Bytes, std::string>> cases{
        {{6, 2}, "Administrative Shutdown (6/2)"},
        {{6, 2, 3, 'b', 'y', 'e'}, "Administrative Shutdown (6/2): \"bye\""},
        {{6, 2, 200, 'b'}, "Administrative Shutdown (6/2)"},
        {{4, 0}, "Hold Timer Expired (4/0)"},
        {{0, 0}, "Unknown Error (0/0)"},
        {{99, 98, 97}, "Unknown Error (99/98)"},
    };
    for (const auto& [body, words] : cases) {
        SCOPED_TRACE(words);
        Hostile hostile;
        hostile.raw->say(raw_greeting(kRawHost, kRawAs));
        hostile.raw->say(update_message({}, together({kOrigin, kPath, kHop}), kNet));
        ASSERT_TRUE(hostile.until([&] { return hostile.node.known() == 1; }));
        hostile.raw->say(whole_message(3, body));
        ASSERT_TRUE(hostile.ends());
        EXPECT_FALSE(hostile.told);
        EXPECT_EQ(hostile.node.peer().last_notification_received, words);
        EXPECT_TRUE(hostile.until([&] { return hostile.node.known() == 0; }));
    }
}

TEST_F(MalformedTest, notification_before_the_session_is_not_answered_either)
{
    for (const State state : {State::OpenSent, State::OpenConfirm}) {
        Hostile hostile;
        ASSERT_TRUE(hostile.comes_to(State::OpenSent));
        hostile.raw->say(way_to(state));
        ASSERT_TRUE(hostile.comes_to(state));
        hostile.raw->say(whole_message(3, {2, 1, 0, 4}));
        ASSERT_TRUE(hostile.ends());
        EXPECT_FALSE(hostile.told);
        EXPECT_EQ(hostile.node.peer().last_notification_received,
                  "Unsupported Version Number (2/1)");
    }
}

} // namespace
} // namespace margay::bgp::lab
