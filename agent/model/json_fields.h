// SPDX-License-Identifier: Apache-2.0
// Fields: reads named members of a JSON object with a type and a range. Private to the decoders;
// nothing outside agent/model/decode*.cpp sees Boost.JSON.
//
// The first thing that is wrong is kept in the Report, with the path of the field, and reading
// goes on with defaults: a decoder reads straight down and asks once, at its end. As in the
// datastore's own reader, null means absent and unknown members are ignored.

#pragma once

#include <boost/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/labels.h"
#include "agent/model/resources.h"
#include "agent/model/scalars.h"

namespace margay::model {

struct Report {
    std::optional<std::string> error{};      // "spec.order: expected a number"
    std::vector<std::string> not_enforced{}; // read, valid, without effect yet
    std::vector<std::string> skipped{};      // bad entries of a list, left out

    void fail(const std::string& path, std::string_view why)
    {
        if (!error)
            error = path + ": " + std::string(why);
    }
};

class Fields {
public:
    Fields(const boost::json::object* object, std::string path, Report& report)
        : object_(object), path_(std::move(path)), report_(&report)
    {
    }

    explicit operator bool() const { return object_ != nullptr; } // the object is there
    Report& report() const { return *report_; }
    // The same object, with what is wrong in it told to somebody else.
    Fields with_report(Report& report) const { return Fields(object_, path_, report); }
    std::string path(std::string_view name) const
    {
        return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    }
    void fail(std::string_view name, std::string_view why) const { report_->fail(path(name), why); }
    void not_enforced(std::string_view name, std::string_view which = "") const
    {
        report_->not_enforced.push_back(path(name) + std::string(which));
    }

    bool has(std::string_view name) const { return find(name) != nullptr; }
    // The member, or nullptr when it is absent or null.
    const boost::json::value* find(std::string_view name) const;

    // Fails at a member that is none of these.
    void only(std::initializer_list<std::string_view> known) const;

    Fields object(std::string_view name) const;
    std::optional<std::string> text(std::string_view name) const; // "" counts as absent
    std::string text_or_empty(std::string_view name) const { return text(name).value_or(""); }
    std::optional<bool> flag(std::string_view name) const;
    std::optional<double> number(std::string_view name) const;
    std::optional<std::uint64_t> integer(std::string_view name, std::uint64_t min,
                                         std::uint64_t max) const;
    std::optional<Selector> selector(std::string_view name) const;
    std::optional<std::uint8_t> protocol(std::string_view name) const;
    std::optional<std::uint32_t> as_number(std::string_view name) const;
    std::optional<std::chrono::milliseconds> duration(std::string_view name) const;
    Labels labels(std::string_view name) const;
    std::vector<std::string> texts(std::string_view name) const;
    Nets nets(std::string_view name) const;
    std::vector<PortMatch> ports(std::string_view name) const;

    // One word of a list of pairs {text, value}; absent: `fallback`.
    template <typename T, std::size_t N>
    T word(std::string_view name, T fallback,
           const std::pair<std::string_view, T> (&known)[N]) const
    {
        const auto given = text(name);
        if (!given)
            return fallback;
        for (const auto& [spelling, value] : known)
            if (*given == spelling)
                return value;
        fail(name, quoted_for_people(*given) + " is not a known value");
        return fallback;
    }

    // `handle(element, path)` for each element of a list.
    template <typename Handle>
    void for_each(std::string_view name, Handle handle) const
    {
        const auto* member = find(name);
        if (!member)
            return;
        const auto* array = member->if_array();
        if (!array)
            return fail(name, "expected a list");
        for (std::size_t i = 0; i < array->size(); ++i)
            handle((*array)[i], path(name) + "[" + std::to_string(i) + "]");
    }
    // The same for a list of objects.
    template <typename Handle>
    void for_each_object(std::string_view name, Handle handle) const
    {
        for_each(name, [&](const boost::json::value& element, const std::string& where) {
            if (const auto* object = element.if_object())
                handle(Fields(object, where, *report_));
            else
                report_->fail(where, "expected an object");
        });
    }

private:
    const boost::json::object* object_;
    std::string path_;
    Report* report_;
};

// A whole resource: its envelope has been checked.
struct Document {
    const ResourceKey& key;
    Fields top;
    Fields metadata;
    Fields spec;
};

// The decoders, by subject. Each returns a default value when the report holds an error.
Resource decode_policy(const Document& document);
Resource decode_tier(const Document& document);
Resource decode_profile(const Document& document);
Resource decode_network_set(const Document& document);
Resource decode_node(const Document& document);
Resource decode_workload_endpoint(const Document& document);
Resource decode_host_endpoint(const Document& document);
Resource decode_pool(const Document& document);
Resource decode_felix_configuration(const Document& document);
Resource decode_bgp_configuration(const Document& document);
Resource decode_bgp_peer(const Document& document);
Resource decode_bgp_filter(const Document& document);
Resource decode_cluster_information(const Document& document);
Resource decode_ipam_block(const Document& document);
Resource decode_block_affinity(const Document& document);
Resource decode_ipam_config(const Document& document);

} // namespace margay::model
