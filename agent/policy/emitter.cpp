// SPDX-License-Identifier: Apache-2.0

#include "agent/policy/emitter.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cstddef>

#include "maps/policy.h"
#include "maps/stats.h"

namespace margay::policy {

namespace {

constexpr auto kScratch = Reg::R6;
constexpr auto kContext = Reg::R9;
constexpr auto kTemporary = Reg::R0;

constexpr std::size_t kSearchMin = 6; // rules; fewer are faster one by one

constexpr int kStackKey = -4;
constexpr int kStackPrefix = -16; // struct class4_key

Reg set_register(bool destination)
{
    return destination ? Reg::R8 : Reg::R7;
}

int port_offset(bool destination)
{
    return destination ? offsetof(judgement, dport) : offsetof(judgement, sport);
}

int address_offset(bool destination)
{
    return destination ? offsetof(judgement, daddr) : offsetof(judgement, saddr);
}

bool asks_sets(const Check& check, bool destination)
{
    return check.destination == destination &&
           (check.kind == Check::Kind::AllSets || check.kind == Check::Kind::AnySet);
}

bool asks_sets(const Condition& condition, bool destination)
{
    return std::any_of(condition.any.begin(), condition.any.end(), [&](const Alternative& a) {
        return asks_sets(a.check, destination) || (a.also && asks_sets(*a.also, destination));
    });
}

} // namespace

SegmentEmitter::SegmentEmitter(const Lowered& lowered, const Plan& plan,
                               const CompileContext& context, const std::vector<std::string>& texts,
                               std::size_t segment)
    : lowered_(lowered), plan_(plan), context_(context), texts_(texts), segment_(segment),
      allow_(out_.label()), deny_(out_.label()), default_deny_(out_.label()),
      unknown_class_(out_.label()), write_(out_.label()), drop_(out_.label())
{
    for (const auto& p : plan.segments[segment])
        if (p.opens)
            block_starts_[p.block] = out_.label();
}

Result<Segment> SegmentEmitter::run()
{
    prologue();
    for (const auto& p : plan_.segments[segment_])
        part(p);
    end_of_segment();
    for (const auto& b : bodies_)
        body(b);
    continuations();
    exits();

    auto instructions = out_.finish();
    if (!instructions)
        return instructions.error();
    result_.instructions = std::move(*instructions);
    return std::move(result_);
}

void SegmentEmitter::prologue()
{
    note("the packet's fields, left by the hook in scratch");
    out_.move(kContext, Reg::R1);
    out_.store_imm(Size::Word, Reg::R10, kStackKey, 0);
    out_.move(Reg::R2, Reg::R10);
    out_.add_imm(Reg::R2, kStackKey);
    out_.map(Reg::R1, context_.scratch);
    out_.call(BPF_FUNC_map_lookup_elem);
    out_.jump_if_zero(Reg::R0, drop_);
    out_.move(kScratch, Reg::R0);
    if (segment_ == 0)
        out_.store_imm(Size::Word, kScratch, offsetof(judgement, log), 0);
}

// Leaves the words of the address's class in set_register(). Two lookups: prefix to class, class
// to sets. A class without contents is CLASS_UNKNOWN: nobody can say what the address is, so deny.
void SegmentEmitter::load_classes(bool destination)
{
    note(destination ? "the destination's class and its sets" : "the source's class and its sets");
    out_.store_imm(Size::Word, Reg::R10, kStackPrefix, 32);
    out_.load(Size::Word, Reg::R1, kScratch, address_offset(destination));
    out_.store(Size::Word, Reg::R10, kStackPrefix + 4, Reg::R1);
    out_.move(Reg::R2, Reg::R10);
    out_.add_imm(Reg::R2, kStackPrefix);
    out_.map(Reg::R1, context_.classes4);
    out_.call(BPF_FUNC_map_lookup_elem);

    const auto outside = out_.label(); // no prefix covers the address: class 0
    out_.move_imm(Reg::R1, 0);
    out_.jump_if_zero(Reg::R0, outside);
    out_.load(Size::Word, Reg::R1, Reg::R0, 0);
    bind(outside);
    out_.store(Size::Word, Reg::R10, kStackKey, Reg::R1);
    out_.move(Reg::R2, Reg::R10);
    out_.add_imm(Reg::R2, kStackKey);
    out_.map(Reg::R1, context_.class_sets);
    out_.call(BPF_FUNC_map_lookup_elem);
    out_.jump_if_zero(Reg::R0, unknown_class_);
    out_.move(set_register(destination), Reg::R0);
    kept_.fill(std::nullopt);
    has_classes_[destination] = true;
}

// Called where a block begins, and only there: every later block is reached through it, whereas
// a Pass could jump over a load in the middle of a block.
void SegmentEmitter::load_missing_classes(const std::vector<LoweredRule>& rules)
{
    for (const bool destination : {false, true}) {
        const bool asked = std::any_of(rules.begin(), rules.end(), [&](const auto& rule) {
            return std::any_of(rule.conditions.begin(), rule.conditions.end(), [&](auto id) {
                return asks_sets(lowered_.conditions[id], destination);
            });
        });
        if (asked && !has_classes_[destination])
            load_classes(destination);
    }
}

void SegmentEmitter::part(const Part& p)
{
    const auto& block = lowered_.blocks[p.block];
    if (p.opens)
        bind(block_starts_.at(p.block));
    if (!out_.reachable())
        return;
    std::vector<LoweredRule> rules(block.rules.begin() + static_cast<std::ptrdiff_t>(p.first),
                                   block.rules.begin() + static_cast<std::ptrdiff_t>(p.last));
    load_missing_classes(rules);
    chain(rules, 0, rules.size(), pass_label(p.block));
    if (p.ends && block.deny_at_end && out_.reachable()) {
        note(block.name + ", end of tier (Deny)");
        decide(*block.deny_at_end, deny_);
    }
}

// Rules [begin, end), whose conditions that are known to hold were taken off. Whatever saves the
// most rules comes first: a guard that they share, or a search among them.
void SegmentEmitter::chain(std::vector<LoweredRule>& rules, std::size_t begin, std::size_t end,
                           Label pass)
{
    for (auto i = begin; i < end && out_.reachable();) {
        const auto [shared, guards] = longest_guard(rules, i, end);
        const auto run = longest_run(rules, i, end);
        if (run.length >= kSearchMin && run.length > guards) {
            searched(rules, i, run, pass);
            i += run.length;
        } else if (guards > 1) {
            guarded(rules, i, i + guards, shared, pass);
            i += guards;
        } else {
            rule_in_chain(rules[i++], pass);
        }
    }
}

std::pair<ConditionId, std::size_t>
SegmentEmitter::longest_guard(const std::vector<LoweredRule>& rules, std::size_t begin,
                              std::size_t end) const
{
    std::pair<ConditionId, std::size_t> longest{0, 1};
    for (const auto id : rules[begin].conditions) {
        auto last = begin + 1;
        while (last < end &&
               std::count(rules[last].conditions.begin(), rules[last].conditions.end(), id))
            ++last;
        if (last - begin > longest.second)
            longest = {id, last - begin};
    }
    return longest;
}

void SegmentEmitter::guarded(std::vector<LoweredRule>& rules, std::size_t begin, std::size_t end,
                             ConditionId shared, Label pass)
{
    note("the next " + std::to_string(end - begin) + " rules share a condition");
    const auto after = out_.label();
    jump_if(lowered_.conditions[shared], false, after);
    for (auto i = begin; i < end; ++i)
        std::erase(rules[i].conditions, shared);
    chain(rules, begin, end, pass);
    bind(after);
}

std::optional<std::pair<SegmentEmitter::Value, std::uint32_t>>
SegmentEmitter::equality(const Condition& condition)
{
    if (condition.negate || condition.any.size() != 1 || condition.any.front().also)
        return std::nullopt;
    const auto& check = condition.any.front().check;
    if (check.kind == Check::Kind::Port && check.a == check.b)
        return std::pair{Value{Value::Kind::PortRaw, check.destination, 0},
                         std::uint32_t{htons(static_cast<std::uint16_t>(check.a))}};
    if (check.kind == Check::Kind::Net)
        return std::pair{Value{Value::Kind::Masked, check.destination, check.b}, htonl(check.a)};
    return std::nullopt;
}

std::optional<ConditionId> SegmentEmitter::find_equality(const LoweredRule& rule,
                                                         const Value& wanted) const
{
    for (const auto id : rule.conditions)
        if (const auto equal = equality(lowered_.conditions[id]); equal && equal->first == wanted)
            return id;
    return std::nullopt;
}

SegmentEmitter::Run SegmentEmitter::longest_run(const std::vector<LoweredRule>& rules,
                                                std::size_t begin, std::size_t end) const
{
    Run longest;
    for (const auto id : rules[begin].conditions) {
        const auto equal = equality(lowered_.conditions[id]);
        if (!equal)
            continue;
        auto last = begin + 1;
        while (last < end && find_equality(rules[last], equal->first))
            ++last;
        if (last - begin > longest.length)
            longest = {equal->first, last - begin};
    }
    return longest;
}

// A packet goes to the bodies of the one constant that its value equals; where the last of them
// fails, it goes on after the whole run.
void SegmentEmitter::searched(std::vector<LoweredRule>& rules, std::size_t begin, const Run& run,
                              Label pass)
{
    note("search among the next " + std::to_string(run.length) + " rules");
    std::map<std::uint32_t, std::vector<std::size_t>> by_constant;
    for (auto i = begin; i < begin + run.length; ++i) {
        const auto id = *find_equality(rules[i], run.value);
        by_constant[equality(lowered_.conditions[id])->second].push_back(i);
        std::erase(rules[i].conditions, id);
    }

    const auto after = out_.label();
    out_.expect(after);
    std::vector<Case> cases;
    for (const auto& [constant, members] : by_constant) {
        auto start = out_.label();
        cases.push_back({constant, rules[members.front()].ordinal, start});
        for (const auto member : members) {
            const auto& rule = rules[member];
            const bool always = rule.conditions.empty() && rule.action != Action::Log;
            const auto next = always || member == members.back() ? after : out_.label();
            if (rule.action == Action::Pass)
                out_.expect(pass);
            bodies_.push_back({start, next, pass, rule});
            if (always)
                break; // the rules behind it never get a packet
            start = next;
        }
    }
    bisect(value(run.value), cases, 0, cases.size(), after);
    bind(after);
}

void SegmentEmitter::bisect(Reg reg, const std::vector<Case>& cases, std::size_t begin,
                            std::size_t end, Label none)
{
    constexpr std::size_t kLinear = 3;
    if (end - begin <= kLinear) {
        for (auto i = begin; i < end; ++i) {
            note(texts_[cases[i].ordinal]);
            out_.jump_if32(Jump::Equal, reg, cases[i].constant, cases[i].start);
        }
        if (end < cases.size())
            out_.jump(none);
        return;
    }
    const auto middle = begin + (end - begin) / 2;
    const auto upper = out_.label();
    note("search among " + std::to_string(end - begin) + " values");
    out_.jump_if32(Jump::AtLeast, reg, cases[middle].constant, upper);
    bisect(reg, cases, begin, middle, none);
    out_.bind(upper); // `reg` holds the value on the way here, too
    bisect(reg, cases, middle, end, none);
}

void SegmentEmitter::rule_in_chain(const LoweredRule& rule, Label pass)
{
    note(texts_[rule.ordinal]);
    if (rule.conditions.empty()) {
        if (rule.action == Action::Log)
            return remember_log(rule.ordinal);
        return act(rule, pass, pass);
    }
    const auto& first = lowered_.conditions[rule.conditions.front()];
    const bool bare = rule.conditions.size() == 1;
    if (bare && rule.action == Action::Pass) {
        jump_if(first, true, pass);
        return;
    }
    Body rest{out_.label(), out_.label(), pass, rule};
    rest.rule.conditions.erase(rest.rule.conditions.begin());
    jump_if(first, true, rest.start);
    if (rule.action == Action::Pass)
        out_.expect(pass);
    if (!bare || rule.action == Action::Log) {
        out_.expect(rest.next);
        bind(rest.next);
    }
    bodies_.push_back(std::move(rest));
}

void SegmentEmitter::body(const Body& b)
{
    bind(b.start);
    note(texts_[b.rule.ordinal]);
    for (const auto id : b.rule.conditions)
        jump_if(lowered_.conditions[id], false, b.next);
    act(b.rule, b.next, b.pass);
}

void SegmentEmitter::act(const LoweredRule& rule, Label next, Label pass)
{
    switch (rule.action) {
    case Action::Allow:
        decide(rule.ordinal, allow_);
        break;
    case Action::Deny:
        decide(rule.ordinal, deny_);
        break;
    case Action::Pass:
        out_.jump(pass);
        break;
    case Action::Log:
        remember_log(rule.ordinal);
        out_.jump(next);
        break;
    }
}

void SegmentEmitter::remember_log(std::uint32_t ordinal)
{
    out_.store_imm(Size::Word, kScratch, offsetof(judgement, log), ordinal + 1);
}

void SegmentEmitter::end_of_segment()
{
    if (segment_ + 1 < plan_.segments.size()) {
        if (out_.reachable())
            out_.jump(continuation(segment_ + 1));
        return;
    }
    bind(default_deny_);
    if (out_.reachable()) {
        note("no rule matched (Deny)");
        decide(POLICY_RULE_NO_PROFILE, deny_);
    }
}

void SegmentEmitter::continuations()
{
    if (segment_ + 1 < plan_.segments.size() && out_.referenced(default_deny_)) {
        bind(default_deny_); // a Pass out of the last block, from a segment before the last
        note("no rule matched (Deny)");
        decide(POLICY_RULE_NO_PROFILE, deny_);
    }
    for (const auto& [segment, label] : continuations_) {
        if (!out_.referenced(label))
            continue;
        bind(label);
        note("on in segment " + std::to_string(segment));
        out_.move(Reg::R1, kContext);
        out_.map(Reg::R2, context_.policies);
        out_.move_imm(Reg::R3, context_.continuations[segment - 1]);
        out_.call(BPF_FUNC_tail_call);
        out_.jump(drop_);
    }
}

void SegmentEmitter::exits()
{
    if (out_.referenced(allow_)) {
        bind(allow_);
        note("allow");
        out_.store_imm(Size::Word, kScratch, offsetof(judgement, verdict), POLICY_ALLOW);
        out_.jump(write_);
    }
    if (out_.referenced(unknown_class_)) {
        bind(unknown_class_);
        note("no room for the class of the address (Deny)");
        decide(POLICY_RULE_CLASS_UNKNOWN, deny_);
    }
    if (out_.referenced(deny_)) {
        bind(deny_);
        note("deny");
        out_.store_imm(Size::Word, kScratch, offsetof(judgement, verdict), POLICY_DENY);
    }
    bind(write_);
    if (out_.reachable()) {
        note("back to the hook's next stage");
        out_.store(Size::Word, kScratch, offsetof(judgement, rule), Reg::R1);
        out_.load(Size::Word, Reg::R3, kScratch, offsetof(judgement, next_stage));
        out_.move(Reg::R1, kContext);
        out_.map(Reg::R2, context_.stages);
        out_.call(BPF_FUNC_tail_call);
    }
    bind(drop_);
    note("nobody there to go on: drop, counted");
    count_drop();
    out_.move_imm(Reg::R0, TC_ACT_SHOT);
    out_.exit();
}

// As count() of bpf/finish.h. The hook that would have counted is not reached.
void SegmentEmitter::count_drop()
{
    const auto done = out_.label();
    out_.store_imm(Size::Word, Reg::R10, kStackKey, REASON_STAGE_MISSING);
    out_.move(Reg::R2, Reg::R10);
    out_.add_imm(Reg::R2, kStackKey);
    out_.map(Reg::R1, context_.counters);
    out_.call(BPF_FUNC_map_lookup_elem);
    out_.jump_if_zero(Reg::R0, done);
    out_.load(Size::Double, Reg::R1, Reg::R0, offsetof(counter, packets));
    out_.add_imm(Reg::R1, 1);
    out_.store(Size::Double, Reg::R0, offsetof(counter, packets), Reg::R1);
    out_.load(Size::Word, Reg::R2, kContext, offsetof(__sk_buff, len));
    out_.load(Size::Double, Reg::R1, Reg::R0, offsetof(counter, bytes));
    out_.add(Reg::R1, Reg::R2);
    out_.store(Size::Double, Reg::R0, offsetof(counter, bytes), Reg::R1);
    bind(done);
}

void SegmentEmitter::jump_if(const Condition& condition, bool holds, Label to)
{
    if (condition.negate == holds)
        jump_if_none(condition.any, to);
    else
        jump_if_any(condition.any, to);
}

void SegmentEmitter::jump_if_any(const std::vector<Alternative>& any, Label to)
{
    for (const auto& alternative : any)
        jump_if(alternative, true, to);
}

void SegmentEmitter::jump_if_none(const std::vector<Alternative>& any, Label to)
{
    const auto some = out_.label();
    for (std::size_t i = 0; i + 1 < any.size(); ++i)
        jump_if(any[i], true, some);
    jump_if(any.back(), false, to);
    bind(some);
}

void SegmentEmitter::jump_if(const Alternative& alternative, bool holds, Label to)
{
    if (!alternative.also) {
        jump_if(alternative.check, holds, to);
    } else if (holds) {
        const auto fails = out_.label();
        jump_if(alternative.check, false, fails);
        jump_if(*alternative.also, true, to);
        bind(fails);
    } else {
        jump_if(alternative.check, false, to);
        jump_if(*alternative.also, false, to);
    }
}

void SegmentEmitter::jump_if(const Check& check, bool holds, Label to)
{
    using Kind = Check::Kind;
    const auto equal = holds ? Jump::Equal : Jump::NotEqual;
    const auto jump_if_byte = [&](std::size_t offset) {
        const auto reg = value({Value::Kind::Byte, false, static_cast<std::uint32_t>(offset)});
        out_.jump_if32(equal, reg, check.a, to);
    };
    switch (check.kind) {
    case Kind::Protocol:
        return jump_if_byte(offsetof(judgement, proto));
    case Kind::IcmpType:
        return jump_if_byte(offsetof(judgement, icmp_type));
    case Kind::IcmpCode:
        return jump_if_byte(offsetof(judgement, icmp_code));
    case Kind::Port:
        return jump_if_port_in_range(check, holds, to);
    case Kind::Net: {
        const auto reg = value({Value::Kind::Masked, check.destination, check.b});
        return out_.jump_if32(equal, reg, htonl(check.a), to);
    }
    case Kind::AllSets:
    case Kind::AnySet:
        return jump_if_sets(check, holds, to);
    }
}

void SegmentEmitter::jump_if_port_in_range(const Check& check, bool holds, Label to)
{
    if (check.a == check.b) {
        const auto raw = value({Value::Kind::PortRaw, check.destination, 0});
        const auto wanted = htons(static_cast<std::uint16_t>(check.a));
        return out_.jump_if32(holds ? Jump::Equal : Jump::NotEqual, raw, wanted, to);
    }
    const auto port = value({Value::Kind::PortHost, check.destination, 0});
    if (check.a == 0)
        return out_.jump_if32(holds ? Jump::AtMost : Jump::Greater, port, check.b, to);
    // Unsigned: a port below the range wraps around to a large number.
    out_.move(kTemporary, port);
    out_.subtract_imm32(kTemporary, check.a);
    out_.jump_if32(holds ? Jump::AtMost : Jump::Greater, kTemporary, check.b - check.a, to);
}

void SegmentEmitter::jump_if_sets(const Check& check, bool holds, Label to)
{
    const auto word = value({Value::Kind::SetWord, check.destination, check.a});
    const bool some_bit_decides =
        check.kind == Check::Kind::AnySet || (check.b & (check.b - 1)) == 0;
    if (some_bit_decides && holds)
        return out_.jump_if32(Jump::SomeBits, word, check.b, to);
    out_.move(kTemporary, word);
    out_.and_imm32(kTemporary, check.b);
    if (some_bit_decides)
        out_.jump_if32(Jump::Equal, kTemporary, 0, to);
    else
        out_.jump_if32(holds ? Jump::Equal : Jump::NotEqual, kTemporary, check.b, to);
}

// The register that holds the value, loaded if none does.
Reg SegmentEmitter::value(const Value& v)
{
    const auto reg_of = [](std::size_t i) { return static_cast<Reg>(i + 1); };
    for (std::size_t i = 0; i < kKept; ++i)
        if (kept_[i] == v)
            return reg_of(i);
    const auto i = next_kept_;
    next_kept_ = (next_kept_ + 1) % kKept;
    load_value(v, reg_of(i));
    kept_[i] = v;
    return reg_of(i);
}

void SegmentEmitter::load_value(const Value& v, Reg to)
{
    switch (v.kind) {
    case Value::Kind::Byte:
        return out_.load(Size::Byte, to, kScratch, static_cast<int>(v.parameter));
    case Value::Kind::PortRaw:
        return out_.load(Size::Half, to, kScratch, port_offset(v.destination));
    case Value::Kind::PortHost:
        out_.load(Size::Half, to, kScratch, port_offset(v.destination));
        return out_.big_endian16(to);
    case Value::Kind::Masked:
        out_.load(Size::Word, to, kScratch, address_offset(v.destination));
        if (v.parameter != ~std::uint32_t{0})
            out_.and_imm32(to, htonl(v.parameter));
        return;
    case Value::Kind::SetWord:
        return out_.load(Size::Word, to, set_register(v.destination),
                         static_cast<int>(v.parameter * sizeof(__u32)));
    }
}

// Where paths meet, no register is known to hold anything.
void SegmentEmitter::bind(Label label)
{
    if (out_.referenced(label))
        kept_.fill(std::nullopt);
    out_.bind(label);
}

void SegmentEmitter::decide(std::uint32_t rule, Label verdict)
{
    out_.move_imm(Reg::R1, rule);
    out_.jump(verdict);
}

// Where a Pass in this block goes: to the next block, or past the last one.
SegmentEmitter::Label SegmentEmitter::pass_label(std::size_t block)
{
    if (block + 1 == lowered_.blocks.size())
        return default_deny_;
    const auto segment = plan_.segment_of_block[block + 1];
    return segment == segment_ ? block_starts_.at(block + 1) : continuation(segment);
}

SegmentEmitter::Label SegmentEmitter::continuation(std::size_t segment)
{
    const auto [at, is_new] = continuations_.try_emplace(segment);
    if (is_new)
        at->second = out_.label();
    return at->second;
}

void SegmentEmitter::note(const std::string& text)
{
    const auto here = static_cast<std::uint32_t>(out_.size());
    if (!result_.lines.empty() && result_.lines.back().instruction == here)
        result_.lines.back().text = text; // no instruction came of the previous text
    else
        result_.lines.push_back({here, text});
}

} // namespace margay::policy
