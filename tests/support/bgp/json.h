// SPDX-License-Identifier: Apache-2.0
// Reading JSON of programs that are not ours: what is missing or of another kind is empty.

#pragma once

#include <boost/json.hpp>

#include <string>
#include <string_view>

namespace margay::bgp::lab {

class Json {
public:
    Json() = default;
    explicit Json(boost::json::value value) : value_(std::move(value)) {}
    static Json parse(std::string_view text)
    {
        boost::system::error_code error;
        boost::json::value value = boost::json::parse(text, error);
        return error ? Json() : Json(std::move(value));
    }

    Json operator[](std::string_view key) const
    {
        const auto* object = value_.if_object();
        const auto* found = object ? object->if_contains(key) : nullptr;
        return found ? Json(*found) : Json();
    }
    Json operator[](std::size_t index) const
    {
        const auto* array = value_.if_array();
        return array && index < array->size() ? Json((*array)[index]) : Json();
    }
    std::size_t size() const { return value_.is_array() ? value_.get_array().size() : 0; }
    bool is_object() const { return value_.is_object(); }
    bool is_array() const { return value_.is_array(); }
    // Strings as they are, numbers in digits.
    std::string str() const
    {
        if (const auto* text = value_.if_string())
            return std::string(*text);
        return value_.is_number() ? boost::json::serialize(value_) : "";
    }
    std::string text() const { return boost::json::serialize(value_); }
    std::uint32_t number() const
    {
        boost::system::error_code error;
        const auto number = value_.to_number<std::uint32_t>(error);
        return error ? 0 : number;
    }
    explicit operator bool() const { return !value_.is_null(); }

    template <typename F>
    void each(F f) const
    {
        for (std::size_t i = 0; i < size(); ++i)
            f((*this)[i]);
    }

private:
    boost::json::value value_;
};

} // namespace margay::bgp::lab
