// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include <CLI/CLI.hpp>

#include <fstream>
#include <sstream>

namespace margay::config {
namespace {

constexpr const char* kDefaultFile = "/etc/margay/margayd.yaml";

struct Wanted {
    bool config_command = false;
    std::string output = "table";
    bool cleanup = false;
    std::string file;
    Values flags;
};

Invocation exit_with(std::string text, int status)
{
    Invocation result;
    result.action = Invocation::Action::Exit;
    result.text = std::move(text);
    result.status = status;
    return result;
}

std::string description(const Setting& setting)
{
    std::string text(setting.help);
    text += "\nallowed: " + std::string(setting.allowed);
    if (!setting.fallback.empty())
        text += "\ndefault: " + std::string(setting.fallback);
    return text + "\n(" + std::string(setting.env) + "; " + yaml_key(setting) + ")";
}

void describe(CLI::App& app, Wanted& wanted)
{
    app.set_version_flag("--version", "margayd " MARGAY_VERSION);
    app.add_option("--config", wanted.file,
                   std::string("YAML file of settings (MARGAY_CONFIG); without it ") +
                       kDefaultFile + " is read if it is there");
    app.add_flag("--cleanup", wanted.cleanup, "remove everything that Margay put on this host");
    for (const Setting& setting : settings())
        app.add_option_function<std::string>(
            flag(setting),
            [&wanted, name = std::string(setting.name)](const std::string& value) {
                wanted.flags[name] = value;
            },
            description(setting));
    CLI::App* command = app.add_subcommand("config", "print each effective setting and its source");
    command->add_option("-o,--output", wanted.output, "table, json or markdown (all settings)")
        ->check(CLI::IsMember({"table", "json", "markdown"}));
    command->fallthrough(); // settings may follow the word
    command->callback([&wanted] { wanted.config_command = true; });
    app.require_subcommand(0, 1);
    app.footer("A setting comes from its flag, else the environment, else the file, else the "
               "default.");
}

Result<Values> read_file(const std::string& name, bool required)
{
    std::ifstream in(name);
    if (!in) {
        if (required)
            return Error{Errc::NotFound, 0, "--config: \"" + name + "\" cannot be read"};
        return Values{};
    }
    std::ostringstream text;
    text << in.rdbuf();
    return parse_yaml(text.str(), name);
}

Result<Config> load(const Wanted& wanted, Values environment)
{
    Inputs inputs;
    inputs.flags = wanted.flags;
    inputs.environment = std::move(environment);
    const auto from_environment = inputs.environment.find("MARGAY_CONFIG");
    inputs.file_name = wanted.file;
    if (inputs.file_name.empty() && from_environment != inputs.environment.end())
        inputs.file_name = from_environment->second;
    const bool required = !inputs.file_name.empty();
    if (!required)
        inputs.file_name = kDefaultFile;
    auto file = read_file(inputs.file_name, required);
    if (!file)
        return file.error();
    inputs.file = std::move(*file);
    return resolve(inputs);
}

std::string printed(const Config& config, const std::string& output)
{
    return output == "json" ? print_json(config) : print_table(config);
}

} // namespace

Invocation from_command_line(int argc, const char* const* argv, const char* const* environment)
{
    CLI::App app{"margayd: node agent of the Margay container network", "margayd"};
    Wanted wanted;
    describe(app, wanted);
    try { // CLI11 reports by exceptions; they end here
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::ostringstream out;
        std::ostringstream err;
        const int status = app.exit(e, out, err);
        return exit_with(out.str() + err.str(), status == 0 ? 0 : 2);
    }
    if (wanted.config_command && wanted.output == "markdown")
        return exit_with(settings_markdown(), 0);
    auto config = load(wanted, environment_values(environment));
    if (!config)
        return exit_with("margayd: " + config.error().what + "\n", 2);
    Invocation result;
    result.config = std::move(*config);
    if (wanted.config_command) {
        result.action = Invocation::Action::PrintConfig;
        result.text = printed(result.config, wanted.output);
    } else if (wanted.cleanup) {
        result.action = Invocation::Action::Cleanup;
    }
    return result;
}

} // namespace margay::config
