// SPDX-License-Identifier: Apache-2.0
// Intake: what the datastore tells, through the quarantine, and the log of that. The same for both roles.

#pragma once

#include "agent/model/quarantine.h"
#include "agent/store/kv.h"
#include "agent/store/store.h"
#include "margay/log.h"

#include <functional>
#include <memory>

namespace margay {

class Intake {
public:
    struct Callbacks {
        std::function<bool(std::string_view key)> concerns_us; // null: all of them do
        std::function<void(const model::Update&)> on_update;
        std::function<void()> on_told; // all updates of a snapshot, or of some changes
    };

    Intake(Executor& executor, Log log, Callbacks callbacks)
        : executor_(executor), log_(std::move(log)), callbacks_(std::move(callbacks))
    {
    }

    // What writes to the same datastore.
    Result<std::unique_ptr<store::Kv>> open(const store::StoreConfig& config);
    void start();
    void stop();

    bool synced() const { return synced_; } // the first snapshot is complete
    store::StoreStatus status() const;
    const model::Quarantine& quarantine() const { return quarantine_; }

private:
    void on_snapshot(const std::vector<store::Entry>& entries, std::int64_t revision);
    void on_changes(const std::vector<store::Change>& changes);
    void admit(std::string_view key, std::optional<std::string_view> value);
    void finish();

    Executor& executor_;
    Log log_;
    Callbacks callbacks_;
    model::Quarantine quarantine_;
    bool synced_ = false;
    std::unique_ptr<store::Store> store_;
};

} // namespace margay
