// SPDX-License-Identifier: Apache-2.0
#include <grpc/support/log.h>

#include "agent/store/etcd_kv.h"
#include "agent/store/etcd_store.h"
#include "agent/store/file_kv.h"
#include "agent/store/file_store.h"

namespace margay::store {
namespace {

Result<std::vector<Endpoint>> parse_endpoints(const StoreConfig& config)
{
    std::vector<Endpoint> endpoints;
    for (const std::string& url : config.endpoints) {
        auto endpoint = parse_endpoint(url);
        if (!endpoint)
            return endpoint.error();
        endpoints.push_back(std::move(*endpoint));
    }
    return endpoints;
}

// gRPC writes to stderr by itself. What matters reaches us as the status of a call.
void silence_grpc()
{
    gpr_set_log_function([](gpr_log_func_args*) {});
}

// By `file` from the folder, or by `etcd` from the endpoints.
template <typename Made, typename File, typename Etcd>
Result<std::unique_ptr<Made>> make(const StoreConfig& config, const File& file, const Etcd& etcd)
{
    if (auto ok = validate(config); !ok)
        return ok.error();
    if (config.type == StoreType::File) {
        auto folder = FileFolder::open(config.folder);
        if (!folder)
            return folder.error();
        return std::unique_ptr<Made>(file(std::move(*folder)));
    }
    silence_grpc();
    auto endpoints = parse_endpoints(config);
    if (!endpoints)
        return endpoints.error();
    return std::unique_ptr<Made>(etcd(std::move(*endpoints)));
}

} // namespace

Result<std::unique_ptr<Store>> make_store(Executor& executor, Log log, const StoreConfig& config)
{
    return make<Store>(
        config,
        [&](FileFolder folder) { return new FileStore(executor, log, config, std::move(folder)); },
        [&](auto endpoints) { return new EtcdStore(executor, log, config, std::move(endpoints)); });
}

Result<std::unique_ptr<Kv>> make_kv(const StoreConfig& config)
{
    return make<Kv>(
        config,
        [&](FileFolder folder) { return new FileKv(std::move(folder), config.request_timeout); },
        [&](auto endpoints) { return new EtcdKv(config, std::move(endpoints)); });
}

} // namespace margay::store
