// SPDX-License-Identifier: Apache-2.0
#include "agent/store/file_store.h"

#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace margay::store {
namespace {

using namespace std::chrono_literals;

constexpr auto kDebounce = 20ms;
constexpr auto kBusy = 5ms;
constexpr auto kRetry = 1s;
constexpr auto kLongestWrite = 2s; // then a file is read although its writer has it open
constexpr unsigned kMaxDisturbed = 100;

} // namespace

FileStore::FileStore(Executor& executor, Log log, StoreConfig config, FileFolder folder)
    : executor_(executor), log_(std::move(log)), config_(std::move(config)),
      folder_(std::move(folder)), scan_timer_(executor), late_timer_(executor)
{
    status_.endpoint = config_.folder;
    status_.reason = "not started";
}

void FileStore::start(Callbacks callbacks)
{
    callbacks_ = std::move(callbacks);
    alive_ = std::make_shared<int>();
    scan_timer_.start(0ms, [this] { open(); });
}

void FileStore::stop()
{
    scan_timer_.stop();
    late_timer_.stop();
    inotify_.reset();
    alive_.reset();
    status_.connected = false;
    status_.reason = "stopped";
}

StoreStatus FileStore::status() const
{
    return status_;
}

// --- inotify ---

void FileStore::open()
{
    being_written_.clear();
    if (auto ok = add_watches(); !ok)
        return lost(ok.error().what);
    wait_for_events();
    scan();
}

Status FileStore::add_watches()
{
    if (auto ok = folder_.prepare(); !ok)
        return ok;
    Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!fd.valid())
        return system_error(errno, "inotify_init1");
    const std::uint32_t manifests = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                    IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF |
                                    IN_MOVE_SELF | IN_ONLYDIR;
    if (::inotify_add_watch(fd.get(), config_.folder.c_str(), manifests) < 0)
        return system_error(errno, "watch " + config_.folder);
    state_watch_ = ::inotify_add_watch(fd.get(), folder_.state_folder().c_str(),
                                       IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR);
    if (state_watch_ < 0)
        return system_error(errno, "watch " + folder_.state_folder());
    inotify_ = std::make_shared<boost::asio::posix::stream_descriptor>(executor_, fd.release());
    return {};
}

void FileStore::wait_for_events()
{
    inotify_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this, mine = std::weak_ptr(inotify_)](const boost::system::error_code&) {
                             if (mine.expired())
                                 return; // stopped, or gone altogether
                             if (drain_events())
                                 scan_soon();
                             if (inotify_)
                                 wait_for_events();
                         });
}

// True if something happened that a reading has to see.
bool FileStore::drain_events()
{
    alignas(inotify_event) std::array<char, 64 << 10> buffer;
    bool relevant = false;
    for (;;) {
        const ssize_t size = ::read(inotify_->native_handle(), buffer.data(), buffer.size());
        if (size <= 0)
            return relevant;
        for (ssize_t at = 0; at < size;) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof(event));
            const char* name = buffer.data() + at + sizeof(event);
            relevant |= on_event(event.mask, event.len ? name : "", event.wd == state_watch_);
            at += static_cast<ssize_t>(sizeof(event) + event.len);
        }
    }
}

bool FileStore::on_event(std::uint32_t mask, const std::string& name, bool in_state)
{
    if (mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
        return true;
    if (in_state)
        return name == "revision";
    if (!FileFolder::is_manifest(name) &&
        !name.starts_with("..")) // "..data" of a mounted ConfigMap
        return false;
    if (mask & IN_MODIFY)
        being_written_.insert(name);
    if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE))
        being_written_.erase(name);
    return true;
}

// --- reading ---

void FileStore::scan_soon()
{
    if (!scan_timer_.running())
        scan_timer_.start(kDebounce, [this] { scan(); });
}

void FileStore::scan()
{
    drain_events();
    auto held = folder_.try_lock(FileFolder::Access::Read);
    if (!held && held.error().code == Errc::Conflict)
        return scan_timer_.start(kBusy, [this] { scan(); });
    if (!held)
        return lost(held.error().what);
    auto view = folder_.read(being_written_);
    if (!view)
        return lost(view.error().what);
    // What changed under our eyes is read again; somebody who never stops writing is no reason
    // never to publish.
    if (drain_events() && ++disturbed_ < kMaxDisturbed)
        return scan_soon();
    disturbed_ = 0;
    late_timer_.stop();
    if (!being_written_.empty()) {
        late_timer_.start(kLongestWrite, [this] {
            being_written_.clear();
            scan_soon();
        });
    } else if (view->next_expiry) {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        late_timer_.start(std::max<std::chrono::nanoseconds>(
                              std::chrono::seconds(*view->next_expiry) - now, 10ms),
                          [this] { scan_soon(); });
    }
    held->reset();
    publish(std::move(*view));
}

// Each callback may stop or destroy this store: nothing of it is touched after the last one, and
// no other follows once `alive` has gone.
void FileStore::publish(FileFolder::View view)
{
    const Callbacks callbacks = callbacks_;
    const std::weak_ptr<int> alive = alive_;
    std::vector<Entry> entries;
    for (auto& [key, entry] : view.entries)
        if (key.starts_with(config_.prefix))
            entries.push_back(std::move(entry));
    const std::int64_t revision = ++status_.revision;
    const bool first = !std::exchange(status_.synced, true);
    const bool transition = !std::exchange(status_.connected, true);
    status_.reason.clear();
    announced_ = true;
    std::vector<Change> changes;
    if (first)
        for (const Entry& e : entries)
            cache_.put(e.key, e.value, e.mod_revision);
    else
        changes = cache_.replace(std::move(entries), revision);
    const bool news = note_problems(view.problems);
    if (first)
        callbacks.on_snapshot(std::move(entries), revision);
    if (!alive.expired() && !changes.empty())
        callbacks.on_changes(std::move(changes));
    if (!alive.expired() && news && callbacks.on_problems)
        callbacks.on_problems(std::move(view.problems));
    if (!alive.expired() && transition && callbacks.on_state)
        callbacks.on_state(true, {});
}

// True if the list is not the one before.
bool FileStore::note_problems(const std::vector<Problem>& problems)
{
    if (problems == status_.problems)
        return false;
    for (const Problem& p : problems)
        if (std::find(status_.problems.begin(), status_.problems.end(), p) ==
            status_.problems.end())
            log_->warn("manifest refused: source=\"{}\" reason=\"{}\"", p.source, p.reason);
    status_.problems = problems;
    return true;
}

// The folder is gone or unreadable. What was told stays in force, as when etcd is gone.
void FileStore::lost(const std::string& why)
{
    const bool transition = status_.connected || !announced_;
    inotify_.reset();
    status_.connected = false;
    status_.reason = why;
    announced_ = true;
    scan_timer_.start(kRetry, [this] { open(); });
    if (!transition)
        return;
    log_->warn("file store lost: folder={} reason=\"{}\"", config_.folder, why);
    if (callbacks_.on_state)
        callbacks_.on_state(false, why);
}

} // namespace margay::store
