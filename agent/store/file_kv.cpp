// SPDX-License-Identifier: Apache-2.0
#include "agent/store/file_kv.h"

#include <thread>

namespace margay::store {
namespace {

using namespace std::chrono_literals;

std::optional<Entry> find(const FileFolder::View& view, const std::string& key)
{
    const auto it = view.entries.find(key);
    return it == view.entries.end() ? std::nullopt : std::optional(it->second);
}

} // namespace

Result<Fd> FileKv::lock(FileFolder::Access access)
{
    const auto until = std::chrono::steady_clock::now() + timeout_;
    while (!cancelled_) {
        auto held = folder_.try_lock(access);
        if (held || held.error().code != Errc::Conflict)
            return held;
        if (std::chrono::steady_clock::now() > until)
            return Error{Errc::Unavailable, 0, held.error().what};
        std::this_thread::sleep_for(2ms);
    }
    return Error{Errc::Unavailable, 0, "file store: cancelled"};
}

Result<FileKv::View> FileKv::read()
{
    auto held = lock(FileFolder::Access::Read);
    if (!held)
        return held.error();
    return folder_.read();
}

Result<std::optional<Entry>> FileKv::get(const std::string& key)
{
    auto view = read();
    if (!view)
        return view.error();
    return find(*view, key);
}

Result<std::vector<Entry>> FileKv::list(const std::string& prefix)
{
    auto view = read();
    if (!view)
        return view.error();
    std::vector<Entry> found;
    for (auto it = view->entries.lower_bound(prefix);
         it != view->entries.end() && it->first.starts_with(prefix); ++it)
        found.push_back(std::move(it->second));
    return found;
}

// `action` gets the view and what the key holds now, with the lock held.
template <typename Action>
Result<TxnResult> FileKv::write(const std::string& key, Action action)
{
    auto held = lock(FileFolder::Access::Write);
    if (!held)
        return held.error();
    auto view = folder_.read();
    if (!view)
        return view.error();
    return action(*view, find(*view, key));
}

Result<TxnResult> FileKv::store(const View& view, const std::string& key, const std::string& value,
                                std::optional<std::chrono::seconds> ttl)
{
    const auto manifest = view.manifests.find(key);
    const std::uint64_t base = manifest == view.manifests.end() ? 0 : manifest->second;
    auto revision = folder_.write(key, value, base, ttl);
    if (!revision)
        return revision.error();
    return TxnResult{{}, *revision, {}};
}

Result<TxnResult> FileKv::create(const std::string& key, const std::string& value)
{
    return write(key, [&](const View& view, std::optional<Entry> current) -> Result<TxnResult> {
        if (current)
            return TxnResult{Errc::Exists, 0, std::move(current)};
        return store(view, key, value);
    });
}

Result<TxnResult> FileKv::update(const std::string& key, const std::string& value,
                                 std::int64_t mod_revision)
{
    return write(key, [&](const View& view, std::optional<Entry> current) -> Result<TxnResult> {
        if (!current)
            return TxnResult{Errc::NotFound, 0, {}};
        if (current->mod_revision != mod_revision)
            return TxnResult{Errc::Conflict, 0, std::move(current)};
        return store(view, key, value);
    });
}

Result<TxnResult> FileKv::remove(const std::string& key, std::optional<std::int64_t> mod_revision)
{
    return write(key, [&](const View& view, std::optional<Entry> current) -> Result<TxnResult> {
        if (!current)
            return TxnResult{Errc::NotFound, 0, {}};
        if (mod_revision && current->mod_revision != *mod_revision)
            return TxnResult{Errc::Conflict, 0, std::move(current)};
        if (view.manifests.contains(key))
            return Error{Errc::Denied, 0, key + " is written in a manifest: remove it there"};
        auto revision = folder_.remove(key);
        if (!revision)
            return revision.error();
        return TxnResult{{}, *revision, {}};
    });
}

Result<TxnResult> FileKv::put(const std::string& key, const std::string& value,
                              std::optional<std::chrono::seconds> ttl)
{
    return write(
        key, [&](const View& view, std::optional<Entry>) { return store(view, key, value, ttl); });
}

} // namespace margay::store
