// SPDX-License-Identifier: Apache-2.0
// A small HTTP/1.1 server for /metrics, /healthz and /readyz. GET and HEAD only; requests are
// bounded in size, time and number of connections, since the port may be reachable by anyone.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "margay/executor.h"
#include "margay/ip.h"
#include "margay/log.h"
#include "margay/result.h"

namespace margay::status {

struct HttpResponse {
    unsigned code = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
};

// Runs on the executor. `target` is the path without its query.
using HttpHandler = std::function<HttpResponse(const std::string& target)>;

class HttpServer {
public:
    static Result<std::unique_ptr<HttpServer>> create(Executor&, Log, const Ip& address,
                                                      std::uint16_t port, HttpHandler);
    virtual ~HttpServer() = default;
    virtual std::uint16_t port() const = 0; // the real one where 0 was asked for
};

} // namespace margay::status
