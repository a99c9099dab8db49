// SPDX-License-Identifier: Apache-2.0
#include "agent/startup/datastore.h"

namespace margay::startup {

store::StoreConfig store_config(const config::Config& config)
{
    store::StoreConfig out;
    out.type = config.datastore() == config::Datastore::Etcd ? store::StoreType::EtcdV3
                                                             : store::StoreType::File;
    out.endpoints = config.etcd_endpoints;
    out.username = config.etcd_username;
    out.password = config.etcd_password;
    out.ca_file = config.etcd_ca_file;
    out.cert_file = config.etcd_cert_file;
    out.key_file = config.etcd_key_file;
    out.folder = config.file_store;
    return out;
}

} // namespace margay::startup
