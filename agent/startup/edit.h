// SPDX-License-Identifier: Apache-2.0
// Read-modify-write of one stored resource as JSON, so that every field that others own survives.
// For .cpp files only: Boost.JSON is heavy.

#pragma once

#include "agent/ipam/timestamp.h"
#include "agent/store/kv.h"

#include <boost/json.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace margay::startup {

std::string resource_key(std::string_view plural, std::string_view name);

// The envelope of a new resource: kind, apiVersion, metadata with name, uid and time; empty spec.
boost::json::object new_resource(std::string_view kind, std::string_view name, ipam::Time now);

// True: created. False: it is there already.
Result<bool> create_if_missing(store::Kv& kv, const std::string& key,
                               const boost::json::object& value);

// `change` returns whether the object is to be written. A missing one begins as `fresh`, or is
// NotFound without; races are retried from the new value. True: written.
Result<bool> edit(store::Kv& kv, const std::string& key, const boost::json::object* fresh,
                  const std::function<bool(boost::json::object&)>& change);

// The member object, made if it is missing or of another type.
boost::json::object& member(boost::json::object& object, std::string_view name);
// Sets the member; whether that changed anything.
bool set(boost::json::object& object, std::string_view name, const boost::json::value& value);
std::string text(const boost::json::object& object, std::string_view name); // "" if absent

std::string random_hex(std::size_t bytes);
std::string random_uuid();

} // namespace margay::startup
