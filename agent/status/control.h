// SPDX-License-Identifier: Apache-2.0
// The control socket: how margayctl asks margayd.
//
// A unix stream socket, mode 0600. A request is one line of JSON, {"command": "...", "args":
// {...}}; the answer is one JSON document, {"ok": true, "result": ...} or {"ok": false,
// "error": "..."}, after which the server closes. Requests are bounded in size, time and number.

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/status/feed.h"
#include "margay/executor.h"
#include "margay/log.h"
#include "margay/result.h"

namespace margay::status {

struct Request {
    std::string command;
    std::map<std::string, std::string> args;
};

// Returns the JSON text of the result. Runs on the executor.
using ControlHandler = std::function<Result<std::string>(const Request&)>;

// Commands whose answer does not end: a first line {"ok": true, "stream": true}, then one of JSON for each
// piece of news. The feeds outlive the server.
using ControlFeeds = std::map<std::string, Feed*>;

class ControlServer {
public:
    // Takes the path over from a dead predecessor; refuses when somebody answers there.
    static Result<std::unique_ptr<ControlServer>> create(Executor&, Log, const std::string& path,
                                                         ControlHandler, ControlFeeds feeds = {});
    virtual ~ControlServer() = default; // closes and unlinks
};

// The client's half, blocking: for margayctl and tests. Unavailable: nobody listens, or no answer in
// time.
inline constexpr std::chrono::seconds kAnswerTime{15};
Result<std::string> control_request(const std::string& path, const Request&,
                                    std::chrono::seconds timeout = kAnswerTime);
// Calls `on_line` with each piece of news; returns why there are no more.
Error control_stream(const std::string& path, const Request&,
                     const std::function<void(const std::string&)>& on_line);

} // namespace margay::status
