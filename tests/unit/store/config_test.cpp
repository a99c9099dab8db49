// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/store/endpoint.h"
#include "agent/store/page_limit.h"
#include "agent/store/store.h"

namespace margay::testing {
namespace {

using namespace store;
using ::testing::HasSubstr;

TEST(StoreConfigTest, each_error_names_the_variable_and_the_remedy)
{
    const auto error = [](auto change) {
        StoreConfig config;
        config.endpoints = {"http://192.0.2.1:2379"};
        change(config);
        const auto ok = validate(config);
        return ok ? std::string("fine") : ok.error().what;
    };
    EXPECT_EQ(error([](auto&) {}), "fine");
    EXPECT_THAT(error([](auto& c) { c.endpoints.clear(); }),
                HasSubstr("ETCD_ENDPOINTS is empty: set it"));
    EXPECT_THAT(error([](auto& c) { c.username = "x"; }),
                HasSubstr("ETCD_PASSWORD is set: set both"));
    EXPECT_THAT(error([](auto& c) {
                    c.cert_file = "x";
                    c.endpoints = {"https://a:1"};
                }),
                HasSubstr("ETCD_KEY_FILE is set: set both"));
    EXPECT_THAT(error([](auto& c) { c.ca_file = "x"; }), HasSubstr("use https://"));
    EXPECT_THAT(error([](auto& c) { c.type = StoreType::File; }),
                HasSubstr("MARGAY_FILE_STORE is empty"));
    EXPECT_THAT(error([](auto& c) {
                    c.type = StoreType::File;
                    c.folder = "/dev/null";
                }),
                HasSubstr("MARGAY_FILE_STORE=/dev/null"));
}

TEST(StoreConfigTest, endpoints_need_scheme_host_and_port)
{
    EXPECT_EQ(parse_endpoint("https://etcd.example:2379/")->authority, "etcd.example:2379");
    EXPECT_TRUE(parse_endpoint("https://etcd.example:2379")->tls);
    EXPECT_EQ(parse_endpoint("http://[::1]:2379")->authority, "[::1]:2379");
    for (const char* url : {"etcd:2379", "ftp://a:1", "http://a", "http://:1", "http://a:0",
                            "http://a:65536", "http://a:1/path", "http://a:1x", ""})
        EXPECT_FALSE(parse_endpoint(url)) << url;
}

TEST(StoreConfigTest, end_of_a_prefix_is_the_next_key_that_does_not_begin_with_it)
{
    EXPECT_EQ(prefix_end("/calico/"), "/calico0");
    EXPECT_EQ(prefix_end("a\xff"), "b");
    EXPECT_EQ(prefix_end("\xff"), std::string(1, '\0'));
}

TEST(PageLimitTest, shrinks_to_one_key_and_recovers)
{
    PageLimit limit(100);
    EXPECT_TRUE(limit.shrink());
    EXPECT_EQ(limit.keys(), 12);
    EXPECT_TRUE(limit.shrink());
    EXPECT_EQ(limit.keys(), 1);
    EXPECT_FALSE(limit.shrink());
    for (int i = 0; i < 20; i++)
        limit.grow();
    EXPECT_EQ(limit.keys(), 100);
}

} // namespace
} // namespace margay::testing
