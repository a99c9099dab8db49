// SPDX-License-Identifier: Apache-2.0
#include "integration/explain/cluster.h"

#include "support/process.h"

#include <gtest/gtest.h>

#include <csignal>

namespace margay::testing {
namespace {

std::unique_ptr<Pair> pair_in_use;

class PairEnd : public ::testing::Environment {
public:
    void TearDown() override { pair_in_use.reset(); }
};
[[maybe_unused]] const auto* const kPairEnd =
    ::testing::AddGlobalTestEnvironment(new PairEnd); // gtest owns it

} // namespace

Margayd::Margayd(const Netns& netns, std::string name, std::string folder, std::string etcd)
    : netns_(netns), name_(std::move(name)), folder_(std::move(folder)), etcd_(std::move(etcd))
{
    run_command("mkdir -p " + folder_ + "/bpf && mount -t bpf bpf " + folder_ + "/bpf");
}

Margayd::~Margayd()
{
    process_.reset();
    run_command("umount -l " + folder_ + "/bpf");
}

void Margayd::start()
{
    process_ = std::make_unique<Background>(
        &netns_, "exec env NODENAME=" + name_ + " CALICO_NODENAME_FILE=" + folder_ +
                     "/nodename IP=autodetect DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=" + etcd_ +
                     " CALICO_IPV4POOL_CIDR=10.244.0.0/16 CALICO_IPV4POOL_IPIP=Always"
                     " MARGAY_BGP_HOLD_TIME=9 MARGAY_PIN_ROOT=" +
                     folder_ + "/bpf/margay MARGAY_RUN_DIR=" + folder_ +
                     "/run MARGAY_BIRD_SOCKET=" + bird_socket() + " " MARGAYD);
}

void Margayd::kill()
{
    process_->signal(SIGKILL);
    process_->wait();
}

std::string Margayd::log() const
{
    return process_->output();
}

CommandResult Margayd::ctl(const std::string& arguments) const
{
    return run_command(MARGAYCTL " --run-dir " + folder_ + "/run " + arguments);
}

std::string Margayd::metrics() const
{
    return netns_.must("curl -fsS http://127.0.0.1:9099/metrics");
}

Pair::Pair() : folder(make_temp_folder("explain"))
{
    add_veth(ns1, "eth0", ns2, "eth0");
    ns1.must("ip link set lo up; ip address add 10.77.0.1/24 dev eth0");
    ns2.must("ip link set lo up; ip address add 10.77.0.2/24 dev eth0");
    etcd = std::make_unique<Etcd>(EtcdOptions{ns1.name(), "10.77.0.1"});
    n1 = std::make_unique<Margayd>(ns1, "n1", folder + "/n1", etcd->url());
    n2 = std::make_unique<Margayd>(ns2, "n2", folder + "/n2", etcd->url());
    n1->start();
    n2->start();
}

Pair::~Pair()
{
    n1.reset();
    n2.reset();
    run_command("rm -rf " + folder);
}

bool Pair::established() const
{
    return n1->ctl("bgp routes --received-from 10.77.0.2 -o json").output.find("\"best\":true") !=
           std::string::npos;
}

Pair& the_pair()
{
    if (!pair_in_use) {
        pair_in_use = std::make_unique<Pair>();
        if (!eventually([] { return pair_in_use->established(); }, std::chrono::seconds(60)))
            ADD_FAILURE() << "no session between the nodes\n" << pair_in_use->n1->log();
    }
    return *pair_in_use;
}

} // namespace margay::testing
