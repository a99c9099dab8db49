// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "margay/fd.h"

namespace margay::datapath {
namespace {

constexpr const char* kUsual = "/sys/fs/bpf"; // a folder that the kernel makes
constexpr ino_t kFirstMountNamespace = 0xeffffff8; // <linux/nsfs.h> of Linux 6.18: MNT_NS_INIT_INO

bool is_bpffs(const std::string& path)
{
    struct statfs info{};
    return ::statfs(path.c_str(), &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

// True where mounts are the machine's own: a bpffs mounted in a namespace of ours alone would go
// with us, and every pin with it. Whom the kernel does not let look at process 1 (no
// CAP_SYS_PTRACE) tells by the number, where it is a fixed one.
bool mounts_are_the_hosts()
{
    struct stat ours{};
    struct stat first{};
    if (::stat("/proc/self/ns/mnt", &ours) != 0)
        return false;
    return ours.st_ino == kFirstMountNamespace ||
           (::stat("/proc/1/ns/mnt", &first) == 0 && ours.st_ino == first.st_ino);
}

Status mount_usual_bpffs()
{
    const Fd folder(::open(kUsual, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid() || ::flock(folder.get(), LOCK_EX) != 0) // two mounts would hide each other
        return system_error(errno, std::string("lock ") + kUsual);
    if (is_bpffs(kUsual) ||
        ::mount("bpf", kUsual, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
        return {};
    return system_error(errno, std::string("mount a bpffs at ") + kUsual);
}

} // namespace

Status make_folder(const std::string& path)
{
    if (::mkdir(path.c_str(), 0700) == 0)
        return {};
    const int err = errno;
    if (err == EEXIST)
        return {};
    const auto slash = path.rfind('/');
    if (err != ENOENT || slash == std::string::npos || slash == 0)
        return system_error(err, "create folder " + path);
    if (Status parent = make_folder(path.substr(0, slash)); !parent)
        return parent;
    return ::mkdir(path.c_str(), 0700) == 0 ? Status{}
                                            : Status{system_error(errno, "create folder " + path)};
}

Result<std::vector<std::string>> list_folder(const std::string& path)
{
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr)
        return system_error(errno, "open folder " + path);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(folder))
        if (entry->d_name[0] != '.')
            names.emplace_back(entry->d_name);
    ::closedir(folder);
    return names;
}

Status remove_pin(const std::string& path)
{
    if (::unlink(path.c_str()) == 0)
        return {};
    int err = errno;
    if (err == EISDIR || err == EPERM)
        err = ::rmdir(path.c_str()) == 0 ? 0 : errno;
    return err == 0 || err == ENOENT ? Status{} : Status{system_error(err, "remove " + path)};
}

Status remove_tree(const std::string& path)
{
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0)
        return errno == ENOENT ? Status{} : Status{system_error(errno, "look at " + path)};
    if (S_ISDIR(info.st_mode)) {
        const auto names = list_folder(path);
        if (!names)
            return names.error();
        for (const auto& name : *names)
            if (Status status = remove_tree(path + "/" + name); !status)
                return status;
    }
    return remove_pin(path);
}

Status replace_pin(int fd, const std::string& path)
{
    const std::string fresh = path + "_new";
    if (Status status = remove_pin(fresh); !status) // left by a run that died here
        return status;
    if (bpf_obj_pin(fd, fresh.c_str()) != 0)
        return system_error(errno, "pin " + fresh);
    if (::rename(fresh.c_str(), path.c_str()) != 0)
        return system_error(errno, "rename " + fresh);
    return {};
}

Status need_bpffs(const std::string& path)
{
    if ((path == kUsual || path.starts_with(std::string(kUsual) + "/")) && !is_bpffs(kUsual) &&
        mounts_are_the_hosts())
        if (Status mounted = mount_usual_bpffs(); !mounted)
            return mounted;
    std::string existing = path;
    struct stat info{};
    while (!existing.empty() && ::stat(existing.c_str(), &info) != 0)
        existing.resize(existing.rfind('/') == std::string::npos ? 0 : existing.rfind('/'));
    if (is_bpffs(existing))
        return {};
    return Error{Errc::Invalid, 0,
                 path + " is not on a bpffs: name a folder below /sys/fs/bpf, or mount one there "
                        "(mount -t bpf bpf FOLDER)"};
}

} // namespace margay::datapath
