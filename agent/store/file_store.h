// SPDX-License-Identifier: Apache-2.0
// FileStore: Store on a folder of manifests, watched by inotify.
//
// Any event leads to a reading of the whole folder a moment later (files that did not change are
// not parsed again) and a comparison with what was told before. A reading during which a manifest
// was being written is thrown away, so a half-written file is never taken for a whole one.

#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>

#include <array>
#include <memory>
#include <set>
#include <string>

#include "agent/store/cache.h"
#include "agent/store/file_folder.h"

namespace margay::store {

class FileStore final : public Store {
public:
    FileStore(Executor& executor, Log log, StoreConfig config, FileFolder folder);

    void start(Callbacks callbacks) override;
    void stop() override;
    StoreStatus status() const override;

private:
    void open();
    Status add_watches();
    void wait_for_events();
    bool drain_events();
    bool on_event(std::uint32_t mask, const std::string& name, bool in_state);
    void scan_soon();
    void scan();
    void publish(FileFolder::View view);
    bool note_problems(const std::vector<Problem>& problems);
    void lost(const std::string& why);

    Executor& executor_;
    Log log_;
    StoreConfig config_;
    FileFolder folder_;
    Callbacks callbacks_;
    Cache cache_;
    StoreStatus status_;

    std::shared_ptr<boost::asio::posix::stream_descriptor> inotify_; // handlers hold it weakly
    std::shared_ptr<int> alive_;                                     // from start() to stop()
    int state_watch_ = -1;
    std::set<std::string> being_written_; // manifests changed and not closed yet
    Timer scan_timer_;
    Timer late_timer_; // expiry of a record, or a writer that does not close its file
    bool announced_ = false;
    unsigned disturbed_ = 0; // readings thrown away in a row
};

} // namespace margay::store
