// SPDX-License-Identifier: Apache-2.0
// bench_scale_generate ETCD_URL [SEED]: puts the cluster of cluster.h into etcd, 100 keys a
// transaction, and prints how many keys it wrote.

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "etcd_rpc.grpc.pb.h"
#include "scale/cluster.h"

namespace {

constexpr std::size_t kKeysATransaction = 100; // etcd takes 128

std::string without_scheme(std::string url)
{
    const auto at = url.find("://");
    return at == std::string::npos ? url : url.substr(at + 3);
}

int generate(const std::string& url, unsigned seed)
{
    margay::bench::Scale scale;
    scale.seed = seed;
    const auto keys = margay::bench::cluster(scale);
    const auto channel =
        grpc::CreateChannel(without_scheme(url), grpc::InsecureChannelCredentials());
    const auto kv = etcdserverpb::KV::NewStub(channel);
    for (std::size_t done = 0; done < keys.size();) {
        etcdserverpb::TxnRequest request;
        for (; request.success_size() < static_cast<int>(kKeysATransaction) && done < keys.size();
             done++) {
            auto* put = request.add_success()->mutable_request_put();
            put->set_key(keys[done].first);
            put->set_value(keys[done].second);
        }
        grpc::ClientContext context;
        context.set_wait_for_ready(true);
        etcdserverpb::TxnResponse response;
        const grpc::Status status = kv->Txn(&context, request, &response);
        if (!status.ok()) {
            std::fprintf(stderr, "bench_scale_generate: %s: %s\n", url.c_str(),
                         status.error_message().c_str());
            return 1;
        }
    }
    std::printf("%zu\n", keys.size());
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 2 || argc > 3) {
        std::fprintf(stderr, "usage: bench_scale_generate ETCD_URL [SEED]\n");
        return 2;
    }
    return generate(argv[1],
                    argc == 3 ? static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)) : 1);
}
