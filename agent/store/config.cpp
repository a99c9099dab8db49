// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <charconv>

#include "agent/store/endpoint.h"
#include "agent/store/invalid.h"
#include "agent/store/store.h"

namespace margay::store {
namespace {

bool is_port(std::string_view text)
{
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

Status validate_credentials(const StoreConfig& c)
{
    if (c.username.empty() != c.password.empty())
        return invalid("only one of ETCD_USERNAME and ETCD_PASSWORD is set: set both or none");
    if (c.cert_file.empty() != c.key_file.empty())
        return invalid("only one of ETCD_CERT_FILE and ETCD_KEY_FILE is set: set both or none");
    return {};
}

Status validate_etcd(const StoreConfig& c)
{
    if (c.endpoints.empty())
        return invalid("ETCD_ENDPOINTS is empty: set it to the URLs of etcd, separated by commas, "
                       "for example http://192.0.2.10:2379");
    bool any_tls = false;
    for (const std::string& url : c.endpoints) {
        auto endpoint = parse_endpoint(url);
        if (!endpoint)
            return endpoint.error();
        any_tls = any_tls || endpoint->tls;
    }
    if (!any_tls && !(c.ca_file.empty() && c.cert_file.empty()))
        return invalid("ETCD_CA_CERT_FILE or ETCD_CERT_FILE is set, but no URL in ETCD_ENDPOINTS "
                       "begins with https://: use https:// or unset the file");
    return validate_credentials(c);
}

Status validate_file(const StoreConfig& c)
{
    struct stat info{};
    if (c.folder.empty())
        return invalid("MARGAY_FILE_STORE is empty: set it to the folder that holds the manifests");
    if (::stat(c.folder.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) // an absent one is made
        return invalid("MARGAY_FILE_STORE=" + c.folder + " is no folder: correct the path");
    return {};
}

} // namespace

Result<Endpoint> parse_endpoint(std::string_view url)
{
    Endpoint endpoint;
    std::string_view rest = url;
    if (rest.starts_with("https://")) {
        endpoint.tls = true;
        rest.remove_prefix(8);
    } else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
    } else {
        return invalid("ETCD_ENDPOINTS holds \"" + std::string(url) +
                       "\": every URL begins with http:// or https://");
    }
    if (rest.ends_with('/'))
        rest.remove_suffix(1);
    const auto colon = rest.rfind(':');
    const bool has_host = colon != std::string_view::npos && colon > 0;
    if (!has_host || !is_port(rest.substr(colon + 1)) || rest.find('/') != std::string_view::npos)
        return invalid("ETCD_ENDPOINTS holds \"" + std::string(url) +
                       "\": every URL ends with host:port, for example http://192.0.2.10:2379");
    endpoint.authority = rest;
    return endpoint;
}

std::string prefix_end(std::string_view prefix)
{
    std::string end(prefix);
    while (!end.empty()) {
        const auto last = static_cast<unsigned char>(end.back());
        if (last != 0xff) {
            end.back() = static_cast<char>(last + 1);
            return end;
        }
        end.pop_back();
    }
    return std::string(1, '\0');
}

Status validate(const StoreConfig& c)
{
    return c.type == StoreType::File ? validate_file(c) : validate_etcd(c);
}

} // namespace margay::store
