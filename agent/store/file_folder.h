// SPDX-License-Identifier: Apache-2.0
// The folder of the file store: manifests written by people, and below .state/ the keys written
// by agents. Both the Store and the Kv of a folder read it through FileFolder.
//
// .state/<key>.kv holds one key each: a line "margay 1 <revision> <base> <expiry>", then the
// value. `revision` comes from the counter in .state/revision, `base` tells which manifest the
// write replaced (hash of its JSON, 0: none), `expiry` is in Unix seconds (0: never).
//
// Who wins when a key is in both? The newer one. A record counts while the manifest is still the
// one it replaced; when the manifest changes, appears or vanishes, the record is obsolete.
//
// Every reader and writer holds flock(.state/lock), shared or exclusive; records and the counter
// are replaced by rename(2), the counter first. So a reader sees whole writes only, and a crash
// leaves at worst a counter that was raised for nothing.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/store/manifest.h"
#include "agent/store/store.h"
#include "margay/fd.h"

namespace margay::store {

class FileFolder {
public:
    // Makes the folder and .state/ if they are absent.
    static Result<FileFolder> open(const std::string& folder);

    // Makes .state/ again, but not the folder itself: that it is gone must be noticed.
    Status prepare();

    enum class Access { Read, Write };
    // Held while the Fd lives. Conflict: somebody else holds it now.
    Result<Fd> try_lock(Access access);

    struct View {
        std::map<std::string, Entry> entries;
        std::map<std::string, std::uint64_t> manifests; // key → hash, of those that exist
        std::vector<Problem> problems;
        std::optional<std::int64_t> next_expiry; // Unix seconds
    };
    // All keys. Files in `being_written` are taken as they were read last. A file, or a document
    // in it, that is wrong now leaves in force what the file gave before.
    // Error: the folder itself cannot be read.
    Result<View> read(const std::set<std::string>& being_written = {});

    // With the lock held for writing. They return the revision of the write.
    Result<std::int64_t> write(const std::string& key, const std::string& value, std::uint64_t base,
                               std::optional<std::chrono::seconds> ttl);
    Result<std::int64_t> remove(const std::string& key);

    std::string state_folder() const { return folder_ + "/.state"; }
    static bool is_manifest(const std::string& file_name);

private:
    struct File {
        std::string version; // inode, size and times when it was read
        std::map<std::string, std::string> values; // key → JSON
        std::vector<Problem> problems;
    };
    struct Record {
        std::string value;
        std::int64_t revision = 0;
        std::uint64_t base = 0;
        std::int64_t expiry = 0;
    };

    explicit FileFolder(std::string folder) : folder_(std::move(folder)) {}
    Status read_manifests(const std::set<std::string>& being_written);
    void read_manifest(const std::string& name, File& file);
    void add_manifests(View& view) const;
    void add_records(View& view) const;
    static std::optional<Record> parse_record(const std::string& text);
    std::string record_path(const std::string& key) const;
    Result<std::int64_t> next_revision();

    std::string folder_;
    std::map<std::string, File> files_; // by name
};

// Keys as relative file names: '/' parts folders; what could be confused is percent-encoded.
std::string escape_key(std::string_view key);
std::optional<std::string> unescape_key(std::string_view path);

} // namespace margay::store
