// SPDX-License-Identifier: Apache-2.0
// TLS and users against a real etcd, for Store and Kv.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "integration/store/watcher.h"
#include "support/etcd.h"
#include "support/process.h"

namespace margay::testing {
namespace {

using ::testing::HasSubstr;

struct EtcdTlsTest : ::testing::Test {
    EtcdOptions with_tls{.tls = true};
    Etcd etcd{with_tls};
};

TEST_F(EtcdTlsTest, store_and_kv_work_with_ca_certificate_and_key)
{
    auto kv = store::make_kv(etcd.config());
    ASSERT_TRUE((*kv)->create("/calico/a", "1"));
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    EXPECT_EQ(w.table["/calico/a"], "1");
}

TEST_F(EtcdTlsTest, client_without_certificate_is_refused)
{
    auto config = etcd.config();
    config.cert_file.clear();
    config.key_file.clear();
    Watcher w(config);
    EXPECT_TRUE(w.until_lost());
    EXPECT_EQ(w.snapshots, 0);
}

TEST_F(EtcdTlsTest, server_of_another_ca_is_refused_until_the_file_is_put_right)
{
    Etcd other(with_tls);
    auto config = etcd.config();
    config.ca_file = etcd.folder() + "/chosen.pem";
    std::filesystem::copy_file(other.folder() + "/ca.pem", config.ca_file);
    Watcher w(config);
    ASSERT_TRUE(w.until_lost());
    EXPECT_EQ(w.snapshots, 0);
    std::filesystem::copy_file(etcd.folder() + "/ca.pem", config.ca_file,
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_TRUE(w.until_connected()) << "the files are read again for each connection";
}

TEST_F(EtcdTlsTest, missing_file_is_named_with_its_variable)
{
    auto config = etcd.config();
    config.key_file = "/nowhere.key";
    Watcher w(config);
    ASSERT_TRUE(w.until_lost());
    EXPECT_THAT(w.reason, HasSubstr("ETCD_KEY_FILE: cannot read /nowhere.key"));
}

TEST_F(EtcdTlsTest, plain_http_to_a_tls_port_fails)
{
    store::StoreConfig config;
    config.endpoints = {"http://" + etcd.url().substr(8)};
    Watcher w(config);
    EXPECT_TRUE(w.until_lost());
}

// Whether a TLS server that speaks `version` and no other comes to log `text` about our client.
bool tls_server_says(const std::string& version, const std::string& text, const Etcd& certificates)
{
    const std::string port = std::to_string(free_tcp_port());
    const std::string log = certificates.folder() + "/s_server" + version;
    const auto file = [&](const char* name) { return certificates.folder() + "/" + name; };
    const pid_t server = spawn({"openssl", "s_server", "-www", "-accept", "127.0.0.1:" + port,
                                "-cert", file("server.pem"), "-key", file("server.key"), version,
                                "-alpn", "h2", "-cipher", "ALL:@SECLEVEL=0", "-msg"},
                               log);
    auto config = certificates.config();
    config.endpoints = {"https://127.0.0.1:" + port};
    Watcher w(config);
    const bool said = w.until([&] { return read_file(log).find(text) != std::string::npos; }, 20s);
    EXPECT_TRUE(said) << read_file(log);
    kill_and_wait(server);
    return said;
}

TEST_F(EtcdTlsTest, server_that_cannot_do_tls_1_2_is_turned_down_by_our_client)
{
    EXPECT_TRUE(tls_server_says("-tls1_2", "Finished", etcd));
    EXPECT_TRUE(tls_server_says("-tls1_1", "unsupported protocol", etcd));
}

struct EtcdAuthTest : ::testing::Test {
    void SetUp() override
    {
        etcd.put("/calico/a", "1");
        etcd.enable_auth("secret");
    }
    Etcd etcd;
};

TEST_F(EtcdAuthTest, right_password_opens_and_a_wrong_one_is_reported)
{
    Watcher right(etcd.config());
    ASSERT_TRUE(right.until_connected());
    EXPECT_EQ(right.table["/calico/a"], "1");
    auto config = etcd.config();
    config.password = "wrong";
    Watcher wrong(config);
    ASSERT_TRUE(wrong.until_lost());
    EXPECT_THAT(wrong.reason, HasSubstr("authenticate as root"));
    EXPECT_EQ((*store::make_kv(config))->get("/calico/a").error().code, Errc::Denied);
    config.username.clear();
    config.password.clear();
    Watcher nobody(config);
    ASSERT_TRUE(nobody.until_lost());
    EXPECT_EQ(nobody.snapshots, 0);
}

// A new password ends every token of its user, also when it is the old one.
TEST_F(EtcdAuthTest, stale_token_is_renewed_beside_the_running_watch)
{
    Watcher w(etcd.config());
    ASSERT_TRUE(w.until_connected());
    auto kv = store::make_kv(etcd.config());
    ASSERT_TRUE((*kv)->put("/calico/a", "2"));
    const auto changed = run({"sh", "-c",
                              "echo secret | ETCDCTL_API=3 etcdctl --endpoints " + etcd.url() +
                                  " --user root:secret user passwd root --interactive=false"});
    ASSERT_EQ(changed.exit_code, 0) << changed.out;
    const auto written = (*kv)->put("/calico/a", "3");
    ASSERT_TRUE(written) << written.error().what;
    ASSERT_TRUE(w.until_value("/calico/a", "3"));
    w.until([] { return false; }, 3s); // over several probes
    EXPECT_EQ(w.connected, true) << w.reason;
    EXPECT_EQ(w.losses, 0);
    EXPECT_EQ(w.store->status().relists, 0u);
}

TEST_F(EtcdAuthTest, token_that_a_restarted_etcd_does_not_know_is_renewed)
{
    auto kv = store::make_kv(etcd.config());
    ASSERT_TRUE((*kv)->get("/calico/a"));
    etcd.restart();
    const auto again = (*kv)->get("/calico/a");
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ((*again)->value, "1");
}

} // namespace
} // namespace margay::testing
