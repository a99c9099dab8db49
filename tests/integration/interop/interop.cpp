// SPDX-License-Identifier: Apache-2.0
#include "interop.h"

#include <boost/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

namespace margay::bgp::lab {

using namespace std::chrono_literals;

namespace {

// "…/session_test.cpp" → <folder>/session.jsonl, new in each run of the program.
std::ofstream& results_of(const std::string& source)
{
    static std::map<std::string, std::ofstream> files;
    const std::string stem = std::filesystem::path(source).stem().string();
    const std::string name = stem.substr(0, stem.rfind("_test"));
    std::ofstream& file = files[name];
    if (!file.is_open()) {
        std::filesystem::create_directories(MARGAY_INTEROP_RESULTS);
        file.open(std::string(MARGAY_INTEROP_RESULTS) + "/" + name + ".jsonl");
    }
    return file;
}

std::string one_line(std::string text)
{
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 0x20)
            c = ' ';
    return text;
}

} // namespace

void PrintTo(const DaemonKind& kind, std::ostream* out)
{
    *out << kind.name;
}

std::string kind_name(const ::testing::TestParamInfo<DaemonKind>& info)
{
    return std::string(info.param.name);
}

void Interop::SetUp()
{
    if (!enter_private_network())
        GTEST_SKIP() << "needs root";
}

void Interop::TearDown()
{
    if (row_.empty())
        return;
    const auto& info = *::testing::UnitTest::GetInstance()->current_test_info();
    boost::json::object cell;
    cell["row"] = row_;
    cell["daemon"] = GetParam().title;
    cell["cell"] = HasFailure() ? "FAILED" : proof_.empty() ? "yes" : "n/a";
    cell["proof"] = one_line(proof_);
    results_of(info.file()) << boost::json::serialize(cell) << std::endl;
    if (HasFailure() && std::getenv("MARGAY_TEST_LOG"))
        std::fputs(daemon->log().c_str(), stderr);
}

bool Interop::can_start(const DaemonConfig& config)
{
    const Status status = daemon->start(config);
    if (!status)
        not_applicable(status.error().what);
    return static_cast<bool>(status);
}

bool Interop::until(const std::function<bool()>& done, std::chrono::seconds limit)
{
    // BIRD may sleep for up to 3 s with work to do; a question wakes it.
    return until_told(
        [&] {
            return run_until(executor, done, 200ms) || (daemon->about(lab_address(kUs)), done());
        },
        limit);
}

bool Interop::until_told(const std::function<bool()>& done, std::chrono::seconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        run_for(executor, std::chrono::milliseconds(50));
    }
    return true;
}

std::optional<LearnedPath> Interop::learned(const std::string& prefix, int neighbor)
{
    const auto paths = daemon->learned(prefix, lab_address(neighbor));
    return paths.empty() ? std::nullopt : std::optional(paths.front());
}

bool Interop::learns(const std::string& prefix, int neighbor)
{
    return until_told([&] { return learned(prefix, neighbor).has_value(); });
}

bool Interop::forgets(const std::string& prefix, int neighbor)
{
    return until_told([&] { return !learned(prefix, neighbor); });
}

Neighbor Interop::us(Asn as)
{
    return Neighbor{.address = lab_address(kUs), .as = as};
}

DaemonConfig Interop::with(Asn as, const Neighbor& neighbor, std::vector<Route> routes)
{
    return DaemonConfig{kDaemon, as, {neighbor}, std::move(routes)};
}

PeerConfig Interop::peer(Asn as, int host, const std::string& name, int own)
{
    PeerConfig config = peer_config(own, host, kPort, name);
    config.remote_as = as;
    return config;
}

std::optional<Attributes> Interop::route(const Node& node, const std::string& prefix)
{
    for (const RouteView& view : node.speaker().routes())
        if (view.from && view.prefix == net(prefix))
            return view.attributes;
    return std::nullopt;
}

std::vector<std::uint32_t> asns(const AsPath& path)
{
    std::vector<std::uint32_t> numbers;
    for (const PathSegment& segment : path.segments())
        for (const Asn as : segment.asns)
            numbers.push_back(as.value);
    return numbers;
}

} // namespace margay::bgp::lab
