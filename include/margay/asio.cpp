// SPDX-License-Identifier: Apache-2.0
// Asio's functions, compiled once (BOOST_ASIO_SEPARATE_COMPILATION) and not in every source.
#include <boost/asio/impl/src.hpp>
