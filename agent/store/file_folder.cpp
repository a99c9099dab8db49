// SPDX-License-Identifier: Apache-2.0
#include "agent/store/file_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <filesystem>

namespace margay::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".kv";
constexpr off_t kMaxFileBytes = 64 << 20;

std::int64_t unix_now()
{
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

std::uint64_t hash_of(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325ULL; // FNV-1a: the same in every build
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return hash == 0 ? 1 : hash;
}

// Far above any counter, and positive.
std::int64_t manifest_revision(std::uint64_t hash)
{
    return static_cast<std::int64_t>(hash >> 2 | std::uint64_t{1} << 62);
}

Result<std::string> read_whole(const std::string& path)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid())
        return system_error(errno, "open " + path);
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0)
        return system_error(errno, "stat " + path);
    if (!S_ISREG(info.st_mode))
        return Error{Errc::Invalid, 0, path + " is no regular file"};
    if (info.st_size > kMaxFileBytes)
        return Error{Errc::Invalid, 0, path + " is larger than 64 MiB"};
    std::string text;
    char buffer[65536];
    for (;;) {
        const ssize_t n = ::read(fd.get(), buffer, sizeof(buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_error(errno, "read " + path);
        if (n == 0)
            return text;
        text.append(buffer, static_cast<std::size_t>(n));
    }
}

Status write_all(int fd, std::string_view text, const std::string& path)
{
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return system_error(errno, "write " + path);
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

// Readers see the old text or the new one, also after a power cut.
Status replace_file(const std::string& path, std::string_view text)
{
    const std::string temporary = path + ".new";
    const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid())
        return system_error(errno, "open " + temporary);
    if (auto ok = write_all(fd.get(), text, temporary); !ok)
        return ok;
    if (::fsync(fd.get()) != 0)
        return system_error(errno, "fsync " + temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return system_error(errno, "rename " + temporary);
    return {};
}

// What changes whenever a file's contents do.
Result<std::string> version_of(const std::string& path)
{
    struct stat s{};
    if (::stat(path.c_str(), &s) != 0)
        return system_error(errno, "stat " + path);
    const auto number = [](auto n) { return std::to_string(n) + " "; };
    return number(s.st_ino) + number(s.st_size) + number(s.st_mtim.tv_sec) +
           number(s.st_mtim.tv_nsec) + number(s.st_ctim.tv_sec) + number(s.st_ctim.tv_nsec);
}

} // namespace

// --- names ---

std::string escape_key(std::string_view key)
{
    static constexpr char kHex[] = "0123456789abcdef";
    std::string path;
    for (std::size_t i = 0; i < key.size(); i++) {
        const auto c = static_cast<unsigned char>(key[i]);
        const bool starts = i == 0 || key[i - 1] == '/';
        const bool ends = i + 1 == key.size() || key[i + 1] == '/';
        // No empty, hidden or dot names, and no folder whose name ends as a record's does.
        const bool separator = c == '/' && !starts && !ends;
        const bool dot = c == '.' && (starts || key.substr(i).starts_with(kSuffix));
        if (separator || (c > ' ' && c < 0x7f && c != '%' && c != '/' && !dot)) {
            path += static_cast<char>(c);
        } else {
            path += '%';
            path += kHex[c >> 4];
            path += kHex[c & 15];
        }
    }
    return path;
}

std::optional<std::string> unescape_key(std::string_view path)
{
    std::string key;
    for (std::size_t i = 0; i < path.size(); i++) {
        if (path[i] != '%') {
            key += path[i];
            continue;
        }
        unsigned c = 0;
        const auto digits = path.substr(i + 1, 2);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), c, 16);
        if (error != std::errc{} || end != digits.data() + 2)
            return {};
        key += static_cast<char>(c);
        i += 2;
    }
    return key;
}

bool FileFolder::is_manifest(const std::string& name)
{
    const auto ends = [&](std::string_view suffix) {
        return name.size() > suffix.size() && name.ends_with(suffix);
    };
    return !name.starts_with('.') && (ends(".yaml") || ends(".yml") || ends(".json"));
}

std::string FileFolder::record_path(const std::string& key) const
{
    return state_folder() + "/keys/" + escape_key(key) + std::string(kSuffix);
}

// --- open, lock ---

Result<FileFolder> FileFolder::open(const std::string& folder)
{
    FileFolder made(folder);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error)
        return Error{Errc::System, error.value(),
                     "MARGAY_FILE_STORE: make " + folder + ": " + error.message()};
    if (auto ok = made.prepare(); !ok)
        return ok.error();
    return made;
}

Status FileFolder::prepare()
{
    for (const std::string& path : {state_folder(), state_folder() + "/keys"})
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
            return system_error(errno, "MARGAY_FILE_STORE: make " + path);
    return {};
}

Result<Fd> FileFolder::try_lock(Access access)
{
    const std::string path = state_folder() + "/lock";
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid())
        return system_error(errno, "open " + path);
    if (::flock(fd.get(), (access == Access::Write ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return fd;
    if (errno == EWOULDBLOCK || errno == EINTR)
        return Error{Errc::Conflict, 0, path + " is held by another process"};
    return system_error(errno, "lock " + path);
}

// --- manifests ---

Status FileFolder::read_manifests(const std::set<std::string>& being_written)
{
    std::error_code error;
    std::set<std::string> present;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error))
        if (const std::string name = it->path().filename(); is_manifest(name))
            present.insert(name);
    if (error)
        return Error{Errc::System, error.value(), "read " + folder_ + ": " + error.message()};
    std::erase_if(files_, [&](const auto& known) { return !present.contains(known.first); });
    for (const std::string& name : present) {
        if (being_written.contains(name))
            continue; // not even known, if it is new
        read_manifest(name, files_[name]);
    }
    return {};
}

void FileFolder::read_manifest(const std::string& name, File& file)
{
    const std::string path = folder_ + "/" + name;
    const auto version = version_of(path);
    if (version && *version == file.version)
        return;
    auto text = version ? read_whole(path) : Result<std::string>(version.error());
    if (!text) {
        file.version.clear();
        file.problems = {{name, text.error().what}};
        return;
    }
    const StampFor stamp = [](std::string_view key) {
        return Stamp{uid_of_key(key), "1970-01-01T00:00:00Z"};
    };
    auto manifests = parse_manifests(*text, name, stamp);
    std::map<std::string, std::string> values;
    for (Document& doc : manifests.documents) {
        if (!values.emplace(doc.key, std::move(doc.json)).second)
            manifests.problems.push_back({name, doc.key + " is there twice: the first one counts"});
    }
    // What is wrong now may have been one of these.
    if (!manifests.problems.empty())
        values.merge(file.values);
    file = {*version, std::move(values), std::move(manifests.problems)};
}

void FileFolder::add_manifests(View& view) const
{
    for (const auto& [name, file] : files_) {
        view.problems.insert(view.problems.end(), file.problems.begin(), file.problems.end());
        for (const auto& [key, json] : file.values) {
            const std::uint64_t hash = hash_of(json);
            if (view.manifests.emplace(key, hash).second)
                view.entries[key] = {key, json, manifest_revision(hash)};
            else
                view.problems.push_back({name, key + " is in another file too: that one counts"});
        }
    }
}

// --- records ---

std::optional<FileFolder::Record> FileFolder::parse_record(const std::string& text)
{
    Record record;
    const auto line_end = text.find('\n');
    if (line_end == std::string::npos ||
        std::sscanf(text.c_str(), "margay 1 %" SCNd64 " %" SCNx64 " %" SCNd64 "\n",
                    &record.revision, &record.base, &record.expiry) != 3)
        return {};
    record.value = text.substr(line_end + 1);
    return record;
}

void FileFolder::add_records(View& view) const
{
    const std::string keys = state_folder() + "/keys";
    const std::int64_t now = unix_now();
    std::error_code error;
    for (fs::recursive_directory_iterator it(keys, error), end; !error && it != end;
         it.increment(error)) {
        const std::string path = it->path();
        if (!path.ends_with(kSuffix) || !it->is_regular_file(error))
            continue;
        const auto escaped = std::string_view(path).substr(keys.size() + 1);
        const auto key = unescape_key(escaped.substr(0, escaped.size() - kSuffix.size()));
        const auto text = read_whole(path);
        auto record = text ? parse_record(*text) : std::nullopt;
        if (!key || !record) {
            view.problems.push_back({path, "is no record of the file store: remove it"});
            continue;
        }
        if (record->expiry != 0 && record->expiry <= now)
            continue;
        if (record->expiry != 0)
            view.next_expiry = std::min(view.next_expiry.value_or(record->expiry), record->expiry);
        const auto manifest = view.manifests.find(*key);
        const std::uint64_t base = manifest == view.manifests.end() ? 0 : manifest->second;
        if (record->base == base)
            view.entries[*key] = {*key, std::move(record->value), record->revision};
    }
    if (error)
        view.problems.push_back({keys, error.message()});
}

Result<FileFolder::View> FileFolder::read(const std::set<std::string>& being_written)
{
    if (auto ok = read_manifests(being_written); !ok)
        return ok.error();
    View view;
    add_manifests(view);
    add_records(view);
    return view;
}

// --- writes ---

Result<std::int64_t> FileFolder::next_revision()
{
    const std::string path = state_folder() + "/revision";
    std::int64_t revision = 0;
    if (const auto text = read_whole(path))
        std::sscanf(text->c_str(), "%" SCNd64, &revision);
    ++revision;
    if (auto ok = replace_file(path, std::to_string(revision) + "\n"); !ok)
        return ok.error();
    return revision;
}

Result<std::int64_t> FileFolder::write(const std::string& key, const std::string& value,
                                       std::uint64_t base, std::optional<std::chrono::seconds> ttl)
{
    const std::string path = record_path(key);
    std::error_code error;
    fs::create_directories(fs::path(path).parent_path(), error);
    if (error)
        return Error{Errc::System, error.value(),
                     "make the folder of " + path + ": " + error.message()};
    auto revision = next_revision();
    if (!revision)
        return revision.error();
    char head[96];
    std::snprintf(head, sizeof(head), "margay 1 %" PRId64 " %" PRIx64 " %" PRId64 "\n", *revision,
                  base, ttl ? unix_now() + ttl->count() : 0);
    if (auto ok = replace_file(path, head + value); !ok)
        return ok.error();
    return revision;
}

Result<std::int64_t> FileFolder::remove(const std::string& key)
{
    auto revision = next_revision();
    if (!revision)
        return revision.error();
    const std::string path = record_path(key);
    if (::unlink(path.c_str()) != 0)
        return system_error(errno, "unlink " + path);
    return revision;
}

} // namespace margay::store
