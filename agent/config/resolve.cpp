// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include <algorithm>
#include <set>

namespace margay::config {
namespace {

// Variables of calico-node that ask for something Margay does not do, or does without being told.
struct Unused {
    std::string_view variable;
    std::string_view harmless; // a value that asks for nothing
    std::string_view reason;
};
constexpr Unused kUnused[] = {
    {"ETCD_DISCOVERY_SRV", "", "endpoints must be listed in ETCD_ENDPOINTS"},
    {"USE_POD_CIDR", "false", "addresses come from Calico IPAM blocks"},
    {"IP6", "none", "IPv6 is not supported yet"},
    {"CALICO_IPV6POOL_CIDR", "none", "IPv6 is not supported yet"},
    {"CALICO_IPV6POOL_VXLAN", "never", "IPv6 is not supported yet"},
    {"CALICO_NETWORKING_BACKEND", "bird", "Margay always speaks BGP itself"},
    {"CALICO_DISABLE_FELIX", "false", "Margay has no separate Felix"},
    {"CALICO_ADVERTISE_CLUSTER_IPS", "", "service addresses are not announced yet"},
    {"AUTODETECT_POLL_INTERVAL", "", "address changes are followed by netlink events"},
    {"BGP_LOGSEVERITYSCREEN", "", "one level for all: FELIX_LOGSEVERITYSCREEN"},
};

// What gives a setting its value.
struct Choice {
    std::string text;
    Source source = Source::Default;
    std::string origin;
};

// FELIX_* names are matched in any case, all others as they are written.
Values normalised(const Values& environment)
{
    Values result;
    for (const auto& [name, value] : environment) {
        std::string key = name;
        std::transform(key.begin(), key.end(), key.begin(),
                       [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
        result[key.starts_with("FELIX_") ? key : name] = value;
    }
    return result;
}

const std::string* find_value(const Values& values, std::string_view key)
{
    const auto it = values.find(key);
    return it == values.end() || trim(it->second).empty() ? nullptr : &it->second;
}

Choice choose(const Setting& setting, const Inputs& inputs, const Values& environment)
{
    if (const auto* value = find_value(inputs.flags, setting.name))
        return {std::string(trim(*value)), Source::Flag, flag(setting)};
    for (const std::string& variable : split(setting.env, ' '))
        if (const auto* value = find_value(environment, variable))
            return {std::string(trim(*value)), Source::Environment, variable};
    if (const auto* value = find_value(inputs.file, yaml_key(setting)))
        return {std::string(trim(*value)), Source::File,
                yaml_key(setting) + " in " + inputs.file_name};
    return {std::string(setting.fallback), Source::Default, ""};
}

std::string refusal(const Effective& value)
{
    return value.origin + ": \"" + (value.setting->secret ? "***" : value.value) +
           "\" is refused; allowed: " + std::string(value.setting->allowed);
}

void check_unknown_keys(const Inputs& inputs, std::vector<std::string>& problems)
{
    std::set<std::string, std::less<>> known;
    for (const Setting& setting : settings())
        known.insert(yaml_key(setting));
    for (const auto& [key, value] : inputs.file)
        if (!known.contains(key))
            problems.push_back(inputs.file_name + ": \"" + key +
                               "\" is refused; allowed: the YAML keys that `margayd config -o "
                               "markdown` prints");
}

void check_together(const Config& config, std::vector<std::string>& problems)
{
    if (config.etcd_username.empty() != config.etcd_password.empty())
        problems.emplace_back("etcd-username and etcd-password: one alone is refused; allowed: "
                              "both or none");
    if (config.etcd_cert_file.empty() != config.etcd_key_file.empty())
        problems.emplace_back("etcd-cert-file and etcd-key-file: one alone is refused; allowed: "
                              "both or none");
    if (config.datastore_given == Datastore::Etcd && config.etcd_endpoints.empty())
        problems.emplace_back("etcd-endpoints: empty is refused with datastore-type etcdv3; "
                              "allowed: a comma list of http://host:port or https://host:port");
    if (config.pool_cidr.kind == PoolCidr::Kind::Fixed &&
        config.pool_cidr.cidr.length > config.pool_block_size)
        problems.push_back("ipv4pool-block-size: \"" + std::to_string(config.pool_block_size) +
                           "\" is refused; allowed: blocks no larger than the pool " +
                           config.pool_cidr.cidr.str());
}

void warn_unused(const Values& environment, std::vector<std::string>& warnings)
{
    for (const Unused& unused : kUnused) {
        const std::string* value = find_value(environment, unused.variable);
        if (value && lower(*value) != unused.harmless)
            warnings.push_back(std::string(unused.variable) + "=" + *value +
                               " changes nothing: " + std::string(unused.reason));
    }
    std::set<std::string, std::less<>> known;
    for (const Setting& setting : settings())
        for (std::string& variable : split(setting.env, ' '))
            known.insert(std::move(variable));
    for (const auto& [name, value] : environment)
        if (name.starts_with("FELIX_") && !known.contains(name))
            warnings.push_back(name + " changes nothing: Margay has no such setting");
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const std::string& line : lines)
        text += (text.empty() ? "" : "\n") + line;
    return text;
}

} // namespace

Result<Config> resolve(const Inputs& inputs)
{
    Config config;
    std::vector<std::string> problems;
    const Values environment = normalised(inputs.environment);
    for (const Setting& setting : settings()) {
        Choice choice = choose(setting, inputs, environment);
        Effective value{&setting, std::move(choice.text), choice.source, std::move(choice.origin)};
        if (!setting.parse(value.value, config))
            problems.push_back(refusal(value));
        config.effective.push_back(std::move(value));
    }
    check_unknown_keys(inputs, problems);
    if (problems.empty())
        check_together(config, problems);
    if (!problems.empty())
        return Error{Errc::Invalid, 0, joined(problems)};
    warn_unused(environment, config.warnings);
    return config;
}

Datastore Config::datastore() const
{
    if (datastore_given)
        return *datastore_given;
    return etcd_endpoints.empty() ? Datastore::File : Datastore::Etcd;
}

const Effective* Config::find(std::string_view name) const
{
    const auto it = std::ranges::find_if(
        effective, [&](const Effective& value) { return value.setting->name == name; });
    return it == effective.end() ? nullptr : &*it;
}

bool Config::given(std::string_view name) const
{
    const Effective* value = find(name);
    return value && value->source != Source::Default && value->source != Source::Datastore;
}

Overlaid with_datastore(const Config& given, const Values& datastore)
{
    Overlaid result{given, {}};
    for (std::size_t row = 0; row < given.effective.size(); row++) {
        const Setting& setting = *given.effective[row].setting;
        const auto told = datastore.find(setting.name);
        if (told == datastore.end() || given.given(setting.name))
            continue;
        const Effective value{&setting, told->second, Source::Datastore, "FelixConfiguration"};
        Config tried = result.config; // a parser may write before it refuses
        if (!setting.parse(value.value, tried)) {
            result.refused.push_back(std::string(setting.name) + ", " + refusal(value));
            continue;
        }
        tried.effective[row] = value;
        result.config = std::move(tried);
    }
    return result;
}

Values environment_values(const char* const* environment)
{
    Values values;
    for (; environment && *environment; environment++) {
        const std::string_view entry(*environment);
        const auto equals = entry.find('=');
        if (equals != std::string_view::npos)
            values.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return values;
}

} // namespace margay::config
