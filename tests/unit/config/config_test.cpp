// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <sstream>

namespace margay::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

Result<Config> with_env(Values environment)
{
    return resolve(Inputs{
        .flags = {}, .environment = std::move(environment), .file = {}, .file_name = "f.yaml"});
}

std::string refused(Values environment)
{
    const auto config = with_env(std::move(environment));
    return config ? "accepted" : config.error().what;
}

TEST(Config, every_default_is_allowed_and_says_that_it_is_one)
{
    const auto config = resolve({});

    ASSERT_TRUE(config);
    EXPECT_THAT(config->effective, SizeIs(settings().size()));
    for (const Effective& value : config->effective)
        EXPECT_EQ(value.source, Source::Default) << value.setting->name;
    EXPECT_EQ(config->datastore(), Datastore::File);
    EXPECT_EQ(config->pool_ipip, IpipMode::Never);
    EXPECT_THAT(config->failsafe_inbound, SizeIs(9));
    EXPECT_EQ(config->nodename_file, "/var/lib/calico/nodename");
}

TEST(Config, flag_beats_environment_beats_file_beats_default)
{
    Inputs inputs;
    inputs.file_name = "f.yaml";
    inputs.file["nodename"] = "from-file";
    EXPECT_EQ(resolve(inputs)->nodename, "from-file");
    inputs.environment["NODENAME"] = "from-env";
    EXPECT_EQ(resolve(inputs)->nodename, "from-env");
    inputs.flags["nodename"] = "from-flag";
    const auto config = resolve(inputs);
    EXPECT_EQ(config->nodename, "from-flag");
    EXPECT_EQ(config->find("nodename")->source, Source::Flag);
    EXPECT_EQ(config->find("nodename")->origin, "--nodename");
}

TEST(Config, calico_prefixed_variables_win_for_every_row_of_the_datastore)
{
    int rows = 0;
    for (const Setting& setting : settings()) {
        if (setting.env.find("ETCD_") == std::string_view::npos && setting.name != "datastore-type")
            continue;
        rows++;
        const std::string_view plain = setting.env.substr(setting.env.find(' ') + 1);
        EXPECT_TRUE(setting.env.starts_with("CALICO_")) << setting.name;
        EXPECT_EQ(plain.substr(0, plain.find(' ')),
                  setting.env.substr(7, setting.env.find(' ') - 7));
    }
    EXPECT_EQ(rows, 7);
    const auto config =
        with_env({{"ETCD_ENDPOINTS", "http://a:1"}, {"CALICO_ETCD_ENDPOINTS", "http://b:2"}});
    EXPECT_THAT(config->etcd_endpoints, ElementsAre("http://b:2"));
    EXPECT_EQ(config->datastore(), Datastore::Etcd);
}

TEST(Config, datastore_fills_in_what_nobody_gave_and_never_more)
{
    const auto given = with_env({{"FELIX_IPINIPMTU", "1400"}});
    ASSERT_TRUE(given);
    const auto [config, refused] = with_datastore(*given, {{"ipip-mtu", "1300"},
                                                           {"interface-prefix", "tap,veth"},
                                                           {"external-nodes", "10.9.0.0/16"}});
    EXPECT_THAT(refused, IsEmpty());
    EXPECT_EQ(config.ipip_mtu, 1400u);
    EXPECT_THAT(config.interface_prefixes, ElementsAre("tap", "veth"));
    EXPECT_THAT(config.external_nodes, ElementsAre(*Prefix4::parse("10.9.0.0/16")));
    EXPECT_EQ(config.find("ipip-mtu")->origin, "FELIX_IPINIPMTU");
    EXPECT_EQ(config.find("interface-prefix")->source, Source::Datastore);
    EXPECT_FALSE(config.given("interface-prefix"));
    // From the given one again: what the datastore no longer says is gone.
    EXPECT_THAT(with_datastore(*given, {}).config.interface_prefixes, ElementsAre("cali"));
}

TEST(Config, wrong_value_of_the_datastore_is_named_and_changes_nothing)
{
    const auto given = with_env({});
    ASSERT_TRUE(given);
    const auto [config, refused] =
        with_datastore(*given, {{"interface-prefix", "ok,a/b"}, {"ipip-mtu", "1300"}});
    EXPECT_THAT(refused, ElementsAre(HasSubstr(
                             "interface-prefix, FelixConfiguration: \"ok,a/b\" is refused")));
    EXPECT_THAT(config.interface_prefixes, ElementsAre("cali"));
    EXPECT_EQ(config.ipip_mtu, 1300u);
    EXPECT_EQ(config.find("interface-prefix")->source, Source::Default);
}

TEST(Config, all_wrong_values_are_refused_at_once_with_name_value_and_what_is_allowed)
{
    const std::string text = refused({{"CALICO_IPV4POOL_IPIP", "sometimes"},
                                      {"CALICO_IPV4POOL_BLOCK_SIZE", "19"},
                                      {"IP", "10.0.0.300"}});

    EXPECT_THAT(text, HasSubstr("CALICO_IPV4POOL_IPIP: \"sometimes\" is refused; allowed: Off, "
                                "Never, Always, CrossSubnet"));
    EXPECT_THAT(text,
                HasSubstr("CALICO_IPV4POOL_BLOCK_SIZE: \"19\" is refused; allowed: 20 to 32"));
    EXPECT_THAT(text, HasSubstr("IP: \"10.0.0.300\" is refused"));
}

TEST(Config, wrong_values_are_refused)
{
    const std::pair<const char*, const char*> wrong[] = {
        {"DATASTORE_TYPE", "kubernetes"},
        {"ETCD_ENDPOINTS", "10.0.0.1:2379"},
        {"ETCD_ENDPOINTS", "http://a"},
        {"ETCD_ENDPOINTS", "http://a:70000"},
        {"ETCD_CA_CERT_FILE", "ca.pem"},
        {"WAIT_FOR_DATASTORE", "maybe"},
        {"NODENAME", "a/b"},
        {"IP", "fd00::1"},
        {"IP", "0.0.0.0"},
        {"IP_AUTODETECTION_METHOD", "kubernetes-internal-ip"},
        {"IP_AUTODETECTION_METHOD", "interface=("},
        {"IP_AUTODETECTION_METHOD", "cidr=x"},
        {"IP_AUTODETECTION_METHOD", "can-reach="},
        {"AS", "0"},
        {"AS", "4294967296"},
        {"AS", "1.65536"},
        {"CALICO_ROUTER_ID", "me"},
        {"CALICO_IPV4POOL_CIDR", "10.0.0.0"},
        {"CALICO_IPV4POOL_CIDR", "10.0.0.0/33"},
        {"CALICO_IPV4POOL_VXLAN", "Always"},
        {"CALICO_IPV4POOL_NODE_SELECTOR", "rack =="},
        {"CALICO_IPV4POOL_BLOCK_SIZE", "33"},
        {"FELIX_INTERFACEPREFIX", "a/b"},
        {"MARGAY_UPLINKS", "eth0,["},
        {"MARGAY_XDP", "fast"},
        {"MARGAY_MARK_MASK", "0x4000"},
        {"MARGAY_MARK_MASK", "0x000000a0"},
        {"MARGAY_MARK_MASK", "0x10000"},
        {"FELIX_IPINIPMTU", "100"},
        {"FELIX_EXTERNALNODESCIDRLIST", "10.0.0.0/8,x"},
        {"FELIX_FAILSAFEINBOUNDHOSTPORTS", "icmp:1"},
        {"FELIX_FAILSAFEINBOUNDHOSTPORTS", "22"},
        {"FELIX_FAILSAFEOUTBOUNDHOSTPORTS", "tcp:99999"},
        {"MARGAY_BGP_PORT", "-1"},
        {"MARGAY_BGP_HOLD_TIME", "2"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/33 as=1"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=0"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=65001+me"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 as=2"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=external client"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 limit=0"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 limit=10001"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 ttl-security=255"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 max-prefixes=0"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 password=../etc"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 password=a/../b"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 filters="},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1 passive"},
        {"MARGAY_BGP_LISTEN_RANGE", "10.0.0.0/24 as=1, 10.0.0.7/24 as=2"},
        {"MARGAY_BGP_LISTEN_LIMIT", "0"},
        {"MARGAY_PIN_ROOT", "margay"},
        {"MARGAY_HTTP_LISTEN", "9099"},
        {"FELIX_LOGSEVERITYSCREEN", "loud"},
        {"FELIX_DEFAULTENDPOINTTOHOSTACTION", "Reject"},
        {"FELIX_IPV4NORMALROUTEPRIORITY", "0"},
    };
    for (const auto& [name, value] : wrong)
        EXPECT_THAT(refused({{name, value}}),
                    HasSubstr(std::string(name) + ": \"" + value + "\" is refused; allowed: "));
}

TEST(Config, right_values_are_understood)
{
    const auto config = with_env({{"DATASTORE_TYPE", "etcdv3"},
                                  {"ETCD_ENDPOINTS", "http://a:1, https://[::1]:2"},
                                  {"IP", "192.0.2.11/24"},
                                  {"IP_AUTODETECTION_METHOD", "skip-interface=eth[1-9],wg.*"},
                                  {"AS", "1.10"},
                                  {"CALICO_ROUTER_ID", "hash"},
                                  {"CALICO_IPV4POOL_CIDR", "10.1.2.3/16"},
                                  {"CALICO_IPV4POOL_IPIP", "cross-subnet"},
                                  {"felix_InterfacePrefix", "cali,tap"},
                                  {"FELIX_LOGSEVERITYSCREEN", "Warning"},
                                  {"FELIX_FAILSAFEINBOUNDHOSTPORTS", "none"},
                                  {"FELIX_FAILSAFEOUTBOUNDHOSTPORTS", "udp:10.0.0.0/8:68"},
                                  {"MARGAY_HTTP_LISTEN", "[::1]:80"}});

    ASSERT_TRUE(config) << config.error().what;
    EXPECT_THAT(config->etcd_endpoints, ElementsAre("http://a:1", "https://[::1]:2"));
    EXPECT_EQ(config->ip.kind, NodeIp::Kind::Fixed);
    EXPECT_EQ(config->ip.address.str(), "192.0.2.11/24");
    EXPECT_EQ(config->as_number, 65546u);
    EXPECT_EQ(config->pool_cidr.cidr.str(), "10.1.0.0/16");
    EXPECT_EQ(config->pool_ipip, IpipMode::CrossSubnet);
    EXPECT_THAT(config->interface_prefixes, ElementsAre("cali", "tap"));
    EXPECT_EQ(config->log_level, LogLevel::Warning);
    EXPECT_THAT(config->failsafe_inbound, IsEmpty());
    EXPECT_THAT(config->failsafe_outbound,
                ElementsAre(FailsafePort{17, 68, *Prefix4::parse("10.0.0.0/8")}));
    EXPECT_EQ(config->http, (Listen{"::1", 80}));
}

TEST(Config, listen_ranges_say_who_may_come)
{
    const auto config =
        with_env({{"MARGAY_BGP_LISTEN_RANGE",
                   "10.1.0.7/24 as=internal client limit=20 , fd00::/64 filters=b+a as=65001+1.10 "
                   "ttl-security=1 password=bgp/racks, 10.2.0.5 as=external max-prefixes=7"},
                  {"MARGAY_BGP_LISTEN_LIMIT", "50"}});
    ASSERT_TRUE(config) << config.error().what;
    EXPECT_EQ(config->bgp_listen_limit, 50u);
    ListenRange clients, racks, one;
    clients.prefix = *IpPrefix::parse("10.1.0.0/24");
    clients.internal = clients.client = true;
    clients.limit = 20;
    racks.prefix = *IpPrefix::parse("fd00::/64");
    racks.as_numbers = {65001, 65546};
    racks.ttl_security = 1;
    racks.secret = "bgp";
    racks.secret_key = "racks";
    racks.filters = {"b", "a"};
    one.prefix = *IpPrefix::parse("10.2.0.5/32");
    one.external = true;
    one.max_prefixes = 7;
    EXPECT_THAT(config->bgp_listen_ranges, ElementsAre(clients, racks, one));
}

TEST(Config, empty_value_counts_as_not_given)
{
    const auto config = with_env({{"CALICO_IPV4POOL_IPIP", ""}, {"IP", "  "}});

    ASSERT_TRUE(config);
    EXPECT_EQ(config->ip.kind, NodeIp::Kind::Keep);
    EXPECT_FALSE(config->given("ipv4pool-ipip"));
}

TEST(Config, values_that_only_make_sense_together_are_refused_alone)
{
    EXPECT_THAT(refused({{"ETCD_USERNAME", "u"}}), HasSubstr("both or none"));
    EXPECT_THAT(refused({{"ETCD_KEY_FILE", "/k"}}), HasSubstr("both or none"));
    EXPECT_THAT(refused({{"DATASTORE_TYPE", "etcdv3"}}), HasSubstr("etcd-endpoints"));
    EXPECT_THAT(refused({{"CALICO_IPV4POOL_CIDR", "10.0.0.0/28"}}),
                HasSubstr("no larger than the pool 10.0.0.0/28"));
}

TEST(Config, calico_variables_that_change_nothing_are_named)
{
    const auto config = with_env({{"USE_POD_CIDR", "true"},
                                  {"IP6", "none"},
                                  {"FELIX_BPFENABLED", "true"},
                                  {"FELIX_INTERFACEPREFIX", "cali"}});

    ASSERT_TRUE(config);
    EXPECT_THAT(config->warnings, ElementsAre(HasSubstr("USE_POD_CIDR=true changes nothing"),
                                              HasSubstr("FELIX_BPFENABLED changes nothing")));
}

TEST(Config, yaml_gives_scalars_and_lists_and_unknown_keys_are_refused)
{
    const auto values =
        parse_yaml("etcdEndpoints: [http://a:1, http://b:2]\nas: 64512\n", "f.yaml");
    ASSERT_TRUE(values);
    EXPECT_EQ(values->at("etcdEndpoints"), "http://a:1,http://b:2");
    EXPECT_EQ(values->at("as"), "64512");

    EXPECT_FALSE(parse_yaml("a: {b: c}", "f.yaml"));
    EXPECT_FALSE(parse_yaml("a: [", "f.yaml"));
    EXPECT_FALSE(parse_yaml("- a", "f.yaml"));
    Inputs inputs;
    inputs.file_name = "f.yaml";
    inputs.file["etcdEndpoint"] = "http://a:1";
    const auto config = resolve(inputs);
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().what,
                HasSubstr("f.yaml: \"etcdEndpoint\" is refused; allowed: the YAML keys"));
}

TEST(Config, printing_shows_value_and_source_but_no_secret)
{
    const auto config = with_env(
        {{"ETCD_USERNAME", "u"}, {"ETCD_PASSWORD", "hunter2"}, {"ETCD_ENDPOINTS", "http://a:1"}});
    ASSERT_TRUE(config);

    for (const std::string& text : {print_table(*config), print_json(*config)}) {
        EXPECT_THAT(text, HasSubstr("http://a:1"));
        EXPECT_THAT(text, HasSubstr("ETCD_ENDPOINTS"));
        EXPECT_THAT(text, HasSubstr("***"));
        EXPECT_THAT(text, Not(HasSubstr("hunter2")));
    }
}

TEST(Config, names_variables_and_keys_are_unique)
{
    std::set<std::string> seen;
    for (const Setting& setting : settings()) {
        EXPECT_TRUE(seen.insert(flag(setting)).second) << setting.name;
        EXPECT_TRUE(seen.insert(yaml_key(setting)).second) << setting.name;
        std::istringstream variables{std::string(setting.env)};
        for (std::string variable; variables >> variable;)
            EXPECT_TRUE(seen.insert(variable).second) << variable;
    }
}

Invocation run(std::vector<const char*> arguments)
{
    arguments.insert(arguments.begin(), "margayd");
    const char* const environment[] = {"NODENAME=n1", nullptr};
    return from_command_line(static_cast<int>(arguments.size()), arguments.data(), environment);
}

TEST(CommandLine, help_names_every_setting)
{
    const Invocation help = run({"--help"});

    EXPECT_EQ(help.action, Invocation::Action::Exit);
    EXPECT_EQ(help.status, 0);
    for (const Setting& setting : settings())
        EXPECT_THAT(help.text, HasSubstr(flag(setting)));
    EXPECT_THAT(run({"--version"}).text, HasSubstr("margayd " MARGAY_VERSION));
}

TEST(CommandLine, config_prints_and_takes_settings_on_either_side)
{
    const Invocation printed = run({"--as", "65000", "config", "-o", "json", "--xdp", "off"});

    EXPECT_EQ(printed.action, Invocation::Action::PrintConfig);
    EXPECT_EQ(printed.config.as_number, 65000u);
    EXPECT_EQ(printed.config.xdp, XdpMode::Off);
    EXPECT_EQ(printed.config.nodename, "n1");
    EXPECT_THAT(printed.text, HasSubstr(R"("origin":"NODENAME")"));
    EXPECT_EQ(run({"--cleanup"}).action, Invocation::Action::Cleanup);
    EXPECT_EQ(run({}).action, Invocation::Action::Run);
}

TEST(CommandLine, wrong_flag_value_and_missing_file_end_with_status_2)
{
    EXPECT_THAT(run({"--as", "x"}).text, HasSubstr("--as: \"x\" is refused"));
    EXPECT_EQ(run({"--as", "x"}).status, 2);
    EXPECT_EQ(run({"--nonsense"}).status, 2);
    EXPECT_EQ(run({"--config", "/nonexistent/f.yaml"}).status, 2);
}

TEST(ConfigReadme, table_is_the_one_of_the_code)
{
    std::ifstream in(MARGAY_SOURCE "/README.md");
    std::ostringstream text;
    text << in.rdbuf();
    EXPECT_THAT(text.str(), HasSubstr(settings_markdown()))
        << "put the output of `margayd config -o markdown` there";
}

} // namespace
} // namespace margay::config
