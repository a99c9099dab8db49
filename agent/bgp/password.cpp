// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/password.h"

#include "margay/fd.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

namespace margay::bgp_rules {
namespace {

constexpr std::size_t kLongest = 80; // of TCP MD5 (RFC 2385, Linux)

Error unfit(const std::string& path, const char* why)
{
    return Error{Errc::Invalid, 0, path + " " + why};
}

} // namespace

Result<std::string> read_password(const std::string& folder, const model::SecretKeyRef& secret)
{
    if (folder.empty())
        return Error{Errc::Unavailable, 0,
                     "Secret " + secret.name + " key " + secret.key +
                         ": no bgp-password-folder is set"};
    const std::string path = folder + "/" + secret.name + "/" + secret.key;
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.valid())
        return system_error(errno, path);
    struct stat what{};
    if (::fstat(file.get(), &what) != 0 || !S_ISREG(what.st_mode))
        return unfit(path, "is no file");
    std::array<char, kLongest + 2> buffer{}; // one more than can be right, and a line end
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0)
        return system_error(errno, path);
    std::string password(buffer.data(), static_cast<std::size_t>(count));
    if (password.ends_with('\n'))
        password.pop_back();
    if (password.empty())
        return unfit(path, "is empty");
    if (password.size() > kLongest)
        return unfit(path, "is longer than 80 octets");
    return password;
}

} // namespace margay::bgp_rules
