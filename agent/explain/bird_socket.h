// SPDX-License-Identifier: Apache-2.0
// BirdSocket: the transport of BIRD's control socket. A greeting, then a command a line, each answered
// before the next is read. Whoever connects is bounded in number, length of a line and time.

#pragma once

#include "agent/explain/bird_text.h"
#include "margay/executor.h"
#include "margay/log.h"
#include "margay/result.h"

#include <functional>
#include <memory>
#include <string>

namespace margay::explain {

struct BirdHandler {
    std::function<std::string()> greeting;
    std::function<BirdPieces(const std::string& command)> answer;
};

class BirdSocket {
public:
    static constexpr std::size_t kClients = 16;
    static constexpr std::size_t kLine = 1024;

    // Takes the path over from a dead predecessor; refuses while somebody answers there, or when it is
    // no socket. `idle`: how long a client may be silent, or not take what it asked for.
    static Result<std::unique_ptr<BirdSocket>>
    create(Executor& executor, Log log, const std::string& path, BirdHandler handler,
           std::chrono::milliseconds idle = std::chrono::seconds(30));
    virtual ~BirdSocket() = default; // closes and unlinks
};

} // namespace margay::explain
