// SPDX-License-Identifier: Apache-2.0
// PageLimit: how many keys to ask for at once. A page that was too large is asked for again with
// fewer keys; every page that fits doubles the next one.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace margay::store {

class PageLimit {
public:
    explicit PageLimit(std::size_t most)
        : most_(static_cast<std::int64_t>(std::max<std::size_t>(most, 1))), now_(most_)
    {
    }

    std::int64_t keys() const { return now_; }
    // False: already at one key, which is too large by itself.
    bool shrink()
    {
        if (now_ == 1)
            return false;
        now_ = std::max<std::int64_t>(now_ / 8, 1);
        return true;
    }
    void grow() { now_ = std::min(now_ * 2, most_); }

private:
    std::int64_t most_;
    std::int64_t now_;
};

} // namespace margay::store
