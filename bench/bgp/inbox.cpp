// SPDX-License-Identifier: Apache-2.0
#include "bench/bgp/inbox.h"

namespace margay::bgp_bench {

void Inbox::expect(std::size_t count, Race& race)
{
    expected_ = count;
    race_ = &race;
    ++race.waiting;
    check_arrival();
}

bool Inbox::on_update(View body)
{
    const auto update = split_update(body);
    if (!update)
        return false;
    if (!update->withdrawn.empty() && !unlearn(update->withdrawn))
        return false;
    if (!update->nlri.empty()) {
        const auto seen = read_attributes(update->attributes);
        if (!seen || !learn(update->nlri, *seen))
            return false;
    }
    check_arrival();
    return true;
}

std::string Inbox::fault() const
{
    std::string text;
    if (strange_ > 0)
        text += std::to_string(strange_) + " prefixes came that nobody announced";
    if (wrong_ > 0)
        text += (text.empty() ? "" : ", ") + std::to_string(wrong_) +
                " prefixes came with attributes that were not theirs";
    return text;
}

bool Inbox::learn(View nlri, const SeenAttributes& seen)
{
    const bool reflected = table_->mark == Mark::NextHop;
    const std::uint32_t mark = reflected ? seen.next_hop : seen.origin_as;
    return each_prefix(nlri, [&](std::uint32_t address, unsigned length) {
        const std::size_t index = table_->index.find(address, length);
        if (index == PrefixIndex::kNone) {
            ++strange_;
            return;
        }
        if (table_->marks[index] != mark || table_->hops[index] + added_hops_ != seen.hops ||
            reflected != seen.reflected)
            ++wrong_;
        count_ += has_[index] ? 0 : 1;
        has_[index] = true;
    });
}

bool Inbox::unlearn(View withdrawn)
{
    return each_prefix(withdrawn, [&](std::uint32_t address, unsigned length) {
        const std::size_t index = table_->index.find(address, length);
        if (index == PrefixIndex::kNone || !has_[index])
            return; // a withdrawal of what is not there is allowed
        --count_;
        has_[index] = false;
    });
}

void Inbox::check_arrival()
{
    if (!race_ || count_ != expected_)
        return;
    race_->finished = Clock::now();
    --race_->waiting;
    race_ = nullptr;
}

} // namespace margay::bgp_bench
