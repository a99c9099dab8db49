// SPDX-License-Identifier: Apache-2.0
#include "agent/intake.h"

#include <utility>

namespace margay {

Result<std::unique_ptr<store::Kv>> Intake::open(const store::StoreConfig& config)
{
    auto made = store::make_store(executor_, log_, config);
    if (!made)
        return made.error();
    store_ = std::move(*made);
    return store::make_kv(config);
}

void Intake::start()
{
    store_->start(store::Callbacks{
        [this](const std::vector<store::Entry>& entries, std::int64_t revision) {
            on_snapshot(entries, revision);
        },
        [this](const std::vector<store::Change>& changes) { on_changes(changes); },
        [this](bool connected, const std::string& reason) {
            if (connected)
                log_->info("datastore connected endpoint={}", store_->status().endpoint);
            else
                log_->warn("datastore lost: {}", reason);
        },
        [this](const std::vector<store::Problem>& problems) {
            for (const auto& problem : problems)
                log_->warn("datastore: {}: {}", problem.source, problem.reason);
        }});
}

void Intake::stop()
{
    if (store_)
        store_->stop();
}

store::StoreStatus Intake::status() const
{
    return store_ ? store_->status() : store::StoreStatus{};
}

void Intake::on_snapshot(const std::vector<store::Entry>& entries, std::int64_t revision)
{
    for (const store::Entry& entry : entries)
        admit(entry.key, entry.value);
    synced_ = true;
    log_->info("datastore snapshot keys={} revision={}", entries.size(), revision);
    finish();
}

void Intake::on_changes(const std::vector<store::Change>& changes)
{
    for (const store::Change& change : changes)
        admit(change.key,
              change.value ? std::optional<std::string_view>(*change.value) : std::nullopt);
    finish();
}

void Intake::admit(std::string_view key, std::optional<std::string_view> value)
{
    if (callbacks_.concerns_us && !callbacks_.concerns_us(key))
        return;
    if (const auto update = quarantine_.admit(key, value))
        callbacks_.on_update(*update);
}

void Intake::finish()
{
    for (const model::Issue& issue : quarantine_.take_news())
        log_->warn("datastore value {} key={} reason=\"{}\"", model::issue_kind_name(issue.kind),
                   issue.key, issue.reason);
    callbacks_.on_told();
}

} // namespace margay
