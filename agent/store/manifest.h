// SPDX-License-Identifier: Apache-2.0
// Manifests: YAML (or JSON) as people write it for calicoctl, turned into the key and the JSON
// value that calicoctl would store for it. Pure: no clock, no file, no random number; what has to
// be made up on first sight (uid, creationTimestamp) comes from the caller.
//
// One text may hold many documents, and a document may be a list with `items`. A document that
// is wrong becomes a Problem and leaves the others alone; YAML that cannot be read at all becomes
// one Problem for the whole text.
//
// What is done to a document: the namespace of namespaced kinds defaults to "default";
// resourceVersion and selfLink are never stored; IPPools, policies and WorkloadEndpoints get the
// defaults, labels and annotations that the client library adds when it writes.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/store.h"
#include "margay/result.h"

namespace margay::store {

struct KindInfo {
    std::string_view kind;   // "IPPool"
    std::string_view plural; // "ippools", as in the key
    bool namespaced = false;
};

// By kind, plural or singular in any case: "IPPool", "ippools", "ippool".
const KindInfo* find_kind(std::string_view name);

// "/calico/resources/v3/projectcalico.org/ippools/blue". `ns` is ignored for kinds without one.
std::string resource_key(const KindInfo& kind, std::string_view ns, std::string_view name);
std::string resource_prefix(const KindInfo& kind); // of all its objects

struct Document {
    std::string key;
    const KindInfo* kind = nullptr;
    std::string ns; // empty for kinds without one
    std::string name;
    std::string json;             // compact
    std::string resource_version; // as the manifest gave it; not in `json`
};

// What an object gets when it is stored for the first time, unless the manifest says it.
struct Stamp {
    std::string uid;
    std::string creation_timestamp; // RFC 3339, seconds, UTC
};
using StampFor = std::function<Stamp(std::string_view key)>;

struct Manifests {
    std::vector<Document> documents;
    std::vector<Problem> problems;
};

// `source` names the text in problems: "pools.yaml, document 2".
Manifests parse_manifests(std::string_view text, std::string_view source, const StampFor& stamp);

// The value for an update of `stored` by `wanted`: what identifies the object (uid,
// creationTimestamp and whatever else is in the stored metadata) stays, labels, annotations, spec
// and status are the wanted ones.
Result<std::string> merge_stored(std::string_view stored, std::string_view wanted);

// A uid that depends on the key alone, for stores without a first time.
std::string uid_of_key(std::string_view key);

} // namespace margay::store
