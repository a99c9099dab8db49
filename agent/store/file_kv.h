// SPDX-License-Identifier: Apache-2.0
// FileKv: Kv on a folder. Several processes may use one folder; flock(2) makes each operation
// atomic. A key that a manifest holds can be updated (the record then stands for the manifest
// until somebody edits it) but not removed: that is Denied, with the remedy.

#pragma once

#include <atomic>

#include "agent/store/file_folder.h"

namespace margay::store {

class FileKv final : public Kv {
public:
    FileKv(FileFolder folder, std::chrono::milliseconds timeout)
        : folder_(std::move(folder)), timeout_(timeout)
    {
    }

    Result<std::optional<Entry>> get(const std::string& key) override;
    Result<std::vector<Entry>> list(const std::string& prefix) override;
    Result<TxnResult> create(const std::string& key, const std::string& value) override;
    Result<TxnResult> update(const std::string& key, const std::string& value,
                             std::int64_t mod_revision) override;
    Result<TxnResult> remove(const std::string& key,
                             std::optional<std::int64_t> mod_revision) override;
    Result<TxnResult> put(const std::string& key, const std::string& value,
                          std::optional<std::chrono::seconds> ttl) override;
    void cancel() override { cancelled_ = true; }

private:
    using View = FileFolder::View;
    Result<Fd> lock(FileFolder::Access access);
    Result<View> read();
    template <typename Action>
    Result<TxnResult> write(const std::string& key, Action action);
    Result<TxnResult> store(const View& view, const std::string& key, const std::string& value,
                            std::optional<std::chrono::seconds> ttl = {});

    FileFolder folder_;
    std::chrono::milliseconds timeout_;
    std::atomic<bool> cancelled_{false};
};

} // namespace margay::store
