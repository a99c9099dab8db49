// SPDX-License-Identifier: Apache-2.0
// The BGP codec. The first octet says what was agreed on, the second what the others are: a stream
// of messages, or the body of one, so that a fuzzer need not find out about headers.
#include "bgp/wire/message.h"
#include "bgp/wire/update.h"
#include "fuzz/input.h"

#include <algorithm>

namespace margay::fuzz {
namespace {

using namespace bgp;

WireSession session_of(std::uint8_t choice)
{
    WireSession session;
    session.internal = choice & 1;
    session.four_octet_as = choice & 2;
    session.max_message = choice & 4 ? kMaxExtendedMessage : kMaxMessage;
    session.ipv4.carried = !(choice & 8) || !(choice & 16);
    session.ipv6.carried = choice & 16;
    session.ipv4.add_path_in = choice & 32;
    session.ipv6.add_path_in = choice & 64;
    session.ipv4.ipv6_next_hop = choice & 128;
    return session;
}

class Codec {
public:
    explicit Codec(const WireSession& session) : session_(session) {}

    void stream(ByteView octets);
    void frame(MessageType type, ByteView body);

private:
    void open(ByteView body);
    void update(ByteView body);
    template <typename P>
    void check_family(const FamilyUpdate<P>& update);
    template <typename P>
    void check_prefixes(const std::vector<Nlri<P>>& prefixes, bool add_path);
    template <typename P>
    void check_attributes(const Reach<P>& reach);
    static void check_rewritten(const AttributeSet& set);
    template <typename P>
    void check_announcement(const Reach<P>& reach, bool four_octet_as);
    template <typename P>
    void check_withdrawal(const std::vector<Nlri<P>>& prefixes);
    template <typename P>
    bool add_path() const
    {
        return std::is_same_v<P, Prefix4> ? session_.ipv4.add_path_in : session_.ipv6.add_path_in;
    }

    WireSession session_;
    AttributePool pool_;
    UpdateDecoder decoder_{pool_};
    UpdateDecoder again_{pool_};
};

void Codec::stream(ByteView octets)
{
    for (;;) {
        const auto next = next_frame(octets, session_.max_message);
        if (const auto* notify = std::get_if<Notify>(&next)) {
            claim(notify->code == ErrorCode::Header, "a header's fault is named so");
            return;
        }
        const auto* found = std::get_if<Frame>(&next);
        if (!found)
            return;
        claim(found->size >= kHeaderSize && found->size <= octets.size(),
              "a frame is in its stream");
        frame(found->type, found->body);
        octets = octets.subspan(found->size);
    }
}

void Codec::frame(MessageType type, ByteView body)
{
    switch (type) {
    case MessageType::Open:
        return open(body);
    case MessageType::Update:
        return update(body);
    case MessageType::Notification: {
        const Notify notify = decode_notification(body);
        (void)describe(notify);
        (void)describe(hard_reset(notify));
        Bytes message;
        encode_notification(notify, message);
        const auto read = next_frame(message);
        claim(std::holds_alternative<Frame>(read), "a NOTIFICATION of ours is a message");
        if (notify.data.size() <= kMaxMessage - message.size() + notify.data.size())
            claim(decode_notification(std::get<Frame>(read).body).subcode == notify.subcode,
                  "a NOTIFICATION means the same when written");
        return;
    }
    case MessageType::RouteRefresh: {
        if (body.size() != 4)
            return;
        Bytes message;
        encode_route_refresh(decode_route_refresh(body), message);
        claim(std::ranges::equal(ByteView(message).subspan(kHeaderSize), body),
              "a ROUTE-REFRESH is the same when written");
        return;
    }
    case MessageType::Keepalive:
        return;
    }
}

void Codec::open(ByteView body)
{
    const auto decoded = decode_open(body);
    if (const auto* notify = std::get_if<Notify>(&decoded)) {
        claim(notify->code == ErrorCode::Open, "an OPEN's fault is named so");
        return;
    }
    const Open& open = std::get<Open>(decoded);
    claim(open.as.value != 0 && !open.identifier.is_zero(),
          "an OPEN that is accepted has no zeros");
    // What one capability cannot hold we never say.
    const Capabilities& caps = open.capabilities;
    if (caps.add_path.size() > 60 || caps.ipv6_next_hop.size() > 40)
        return;
    Bytes written;
    encode_open(open, written);
    const auto read = decode_open(written);
    claim(std::holds_alternative<Open>(read) && std::get<Open>(read) == open,
          "an OPEN means the same when written");
}

void Codec::update(ByteView body)
{
    if (const auto notify = decoder_.decode(body, session_)) {
        claim(notify->code == ErrorCode::Update, "an UPDATE's fault is named so");
        return;
    }
    const Update& update = decoder_.update();
    claim(session_.ipv4.carried || (update.ipv4.withdrawn.empty() && update.ipv4.announced.empty()),
          "no IPv4 where none was agreed on");
    claim(session_.ipv6.carried || (update.ipv6.withdrawn.empty() && update.ipv6.announced.empty()),
          "no IPv6 where none was agreed on");
    if (update.end_of_rib)
        claim(update.ipv4.withdrawn.empty() && update.ipv4.announced.empty() &&
                  update.ipv6.withdrawn.empty() && update.ipv6.announced.empty(),
              "End-of-RIB says nothing else");
    check_family(update.ipv4);
    check_family(update.ipv6);
}

template <typename P>
void Codec::check_family(const FamilyUpdate<P>& update)
{
    check_prefixes(update.withdrawn, add_path<P>());
    check_withdrawal(update.withdrawn);
    for (const Reach<P>& reach : update.announced) {
        check_prefixes(reach.prefixes, add_path<P>());
        claim(!reach.prefixes.empty(), "attributes are of some prefix");
        check_attributes(reach);
        check_rewritten(*reach.attributes);
        for (const bool four_octet_as : {true, false})
            check_announcement(reach, four_octet_as);
    }
}

template <typename P>
void Codec::check_prefixes(const std::vector<Nlri<P>>& prefixes, bool numbered)
{
    for (const Nlri<P>& nlri : prefixes) {
        claim(nlri.prefix.length <= decltype(P::addr)::kBits,
              "a prefix is no longer than an address");
        claim(nlri.prefix == nlri.prefix.network(), "a prefix has no host bits");
        claim(numbered || nlri.path == 0, "a path without ADD-PATH has no number");
    }
}

template <typename P>
void Codec::check_attributes(const Reach<P>& reach)
{
    const AttributeSet& set = *reach.attributes;
    WireSession canonical;
    AttributeList list;
    bgp::check_attributes(set.octets(), canonical, list);
    claim(list.faults.empty(), "canonical octets have no fault");
    claim(std::ranges::equal(list.octets, set.octets()), "canonical octets are read as they are");
    claim(list.has_origin && list.has_as_path, "what must be there is");
    const Attributes attributes = set.decode();
    claim(pool_.intern(attributes)->decode() == attributes,
          "attributes mean the same when written");
    claim(set.as_path().size() == set.path_size && attributes.as_path.length() == set.path_length &&
              attributes.as_path.neighbor() == set.neighbor && attributes.med == set.med &&
              attributes.local_pref == set.local_pref &&
              attributes.originator_id == set.originator_id &&
              attributes.cluster_list.size() == set.cluster_count,
          "the summary is of the attributes");
}

// As an external peer sees it.
void Codec::check_rewritten(const AttributeSet& set)
{
    Rewrite rewrite;
    rewrite.next_hop = set.next_hop;
    rewrite.prepend = Asn{4200000000};
    rewrite.strip_internal = rewrite.strip_med = true;
    const Attributes attributes = rewritten(set, rewrite);
    claim(attributes.as_path.length() == set.path_length + 1u &&
              attributes.as_path.neighbor() == rewrite.prepend,
          "our AS is put before the path");
    claim(!attributes.local_pref && !attributes.med && !attributes.originator_id &&
              attributes.cluster_list.empty(),
          "what is internal stays inside");
}

template <typename P>
void Codec::check_announcement(const Reach<P>& reach, bool four_octet_as)
{
    const AttributeSet& set = *reach.attributes;
    Rewrite rewrite;
    rewrite.encoding = {four_octet_as, add_path<P>(), session_.max_message};
    rewrite.next_hop = set.next_hop;
    rewrite.in_mp_reach = std::is_same_v<P, Prefix6> || !set.next_hop.is_v4();
    Bytes octets;
    write_attributes(set.octets(), set, rewrite, octets);
    WireSession reader = session_;
    reader.four_octet_as = four_octet_as;
    reader.ipv4.ipv6_next_hop = true;
    std::span<const Nlri<P>> rest(reach.prefixes);
    while (!rest.empty()) {
        Bytes message;
        const std::size_t count = encode_announce(octets, rewrite, rest, message);
        if (count == 0)
            return claim(octets.size() + 100 > session_.max_message, "what has room is written");
        claim(message.size() <= session_.max_message, "a message is no longer than agreed on");
        const auto frame = next_frame(message, session_.max_message);
        claim(std::holds_alternative<Frame>(frame), "an UPDATE of ours is a message");
        claim(!again_.decode(std::get<Frame>(frame).body, reader), "an UPDATE of ours is accepted");
        const FamilyUpdate<P>& read = of_family<P>(again_.update().ipv4, again_.update().ipv6);
        claim(again_.update().faults.empty(), "an UPDATE of ours has no fault");
        claim(read.withdrawn.empty() && read.announced.size() == 1, "it announces, once");
        claim(read.announced[0].attributes == reach.attributes, "its attributes are the same");
        claim(std::ranges::equal(read.announced[0].prefixes, rest.first(count)),
              "its prefixes are the same");
        rest = rest.subspan(count);
    }
}

template <typename P>
void Codec::check_withdrawal(const std::vector<Nlri<P>>& prefixes)
{
    const Encoding encoding{true, add_path<P>(), session_.max_message};
    std::span<const Nlri<P>> rest(prefixes);
    while (!rest.empty()) {
        Bytes message;
        const std::size_t count = encode_withdraw(encoding, rest, message);
        claim(count > 0 && message.size() <= session_.max_message, "a withdrawal has room");
        const auto frame = next_frame(message, session_.max_message);
        claim(std::holds_alternative<Frame>(frame), "a withdrawal of ours is a message");
        claim(!again_.decode(std::get<Frame>(frame).body, session_), "it is accepted");
        claim(std::ranges::equal(of_family<P>(again_.update().ipv4, again_.update().ipv6).withdrawn,
                                 rest.first(count)),
              "it withdraws the same");
        claim(!again_.update().end_of_rib, "it is no End-of-RIB");
        rest = rest.subspan(count);
    }
}

} // namespace

void run_wire(Octets octets)
{
    Input input(octets);
    Codec codec(session_of(input.u8()));
    const std::uint8_t kind = input.u8();
    if (kind >= static_cast<std::uint8_t>(MessageType::Open) &&
        kind <= static_cast<std::uint8_t>(MessageType::RouteRefresh))
        codec.frame(static_cast<MessageType>(kind), input.rest());
    else
        codec.stream(input.rest());
}

} // namespace margay::fuzz
