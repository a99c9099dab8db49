// SPDX-License-Identifier: Apache-2.0
// How a unix socket of ours comes to its place.

#pragma once

#include "margay/result.h"

#include <boost/asio/local/stream_protocol.hpp>

#include <string>

namespace margay::status {

// Whether a process has the socket, also one that is too busy to answer.
bool somebody_listens(const std::string& path);

// Listens at `path`, for its owner only, in a folder that is made where it is missing. What a dead process
// left there is replaced; Exists: somebody answers
// there. What is no socket is left alone.
Status listen_at(boost::asio::local::stream_protocol::acceptor& acceptor, const std::string& path);

} // namespace margay::status
