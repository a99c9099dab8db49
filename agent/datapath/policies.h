// SPDX-License-Identifier: Apache-2.0
// Policies: compiled programs in the slots of "policies".
//
// Endpoints with equal lists share a slot. A slot never changes its program: another list, or the
// same list from another compiler or for other maps, is another slot, and endpoints move from one
// to the other by one write. So the dictionary's key is a hash over the list's canonical hash, the
// compiled instructions and the ids of the maps in them; and after a restart a slot whose key is
// known and that still holds a program needs no load at all. A slot is filled before the
// dictionary names it, so what the dictionary names is never another key's.
//
// A long list is several programs. The continuations have slots of their own and are installed
// before the first segment.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/ids.h"
#include "agent/datapath/programs.h"
#include "agent/model/wanted.h"
#include "agent/policy/compiler.h"

namespace margay::datapath {

class Policies {
public:
    Policies(Ids& ids, const Programs& programs) : ids_(ids), programs_(programs) {}

    // After Ids::adopt(): which slots hold what the dictionary says.
    void adopt();

    // The slot of a program that is loaded and in place; compiles and loads it when it is new. One
    // release() for each.
    Result<std::uint32_t> acquire(const model::ProgramRef& program, Clock::Time now);
    void release(const policy::ProgramHash& hash, Clock::Time now);
    // Frees slots whose grace period is over. As Ids::expire().
    Status expire(Clock::Time now);

    // Whether acquire() would compile: the expensive case, for the caller's budget.
    bool known(const policy::ProgramHash& hash) const { return entries_.contains(hash); }
    // Why it was refused a moment ago: it is not tried again for a while, so that others have their
    // turn.
    const Error* refusal_of(const policy::ProgramHash& hash, Clock::Time now) const;
    // The address sets that a slot's program asks for.
    const std::set<policy::SetId>& sets_of(std::uint32_t slot) const;
    // "tier default, policy web, rule 2 (Deny)" for what events carry.
    std::string describe(std::uint32_t slot, std::uint32_t rule) const;

    struct Info {
        std::uint32_t slot = 0;
        std::uint32_t users = 0;
        std::size_t segments = 0;
        std::size_t instructions = 0;
        model::ProgramRef program;
    };
    std::vector<Info> list() const;

private:
    struct Entry {
        model::ProgramRef program;
        std::uint32_t slot = 0;
        std::uint32_t users = 0;
        std::size_t instructions = 0;
        std::vector<IdHash> keys; // of the segments, the first one's first
        std::set<policy::SetId> sets;
    };

    struct Refusal {
        Error why;
        Clock::Time until;
    };

    Result<policy::CompileContext> context() const;
    Result<std::vector<IdHash>> keys_of(const model::SharedProgram& program,
                                        const policy::CompileContext& context) const;
    Result<Entry> load(const model::ProgramRef& program, Clock::Time now);
    Status install(const policy::Compiled& compiled, const std::vector<std::uint32_t>& slots,
                   const policy::ProgramHash& hash) const;
    bool occupied(std::uint32_t slot) const;

    Ids& ids_;
    const Programs& programs_;
    std::map<policy::ProgramHash, Entry> entries_; // by canonical hash
    std::map<policy::ProgramHash, Refusal> refusals_;
    std::map<std::uint32_t, policy::ProgramHash> by_slot_;
    std::set<IdHash> installed_; // keys whose slot holds their program
};

} // namespace margay::datapath
