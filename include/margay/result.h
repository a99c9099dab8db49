// SPDX-License-Identifier: Apache-2.0
// Result<T> and Status: how everything that can fail in operation says so.
//
// The names follow std::expected, which C++20 lacks, so that it can take this place later.
// An Error carries a code to branch on, the errno when the kernel spoke, and a text for people
// that names the object and the value: "update policies endpoint=12 slot=3".

#pragma once

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace margay {

enum class Errc {
    Invalid,     // the input is wrong; trying again does not help
    NotFound,    // the object is not there
    Exists,      // the object is there already
    Conflict,    // compare-and-swap lost; read again and retry
    Full,        // a table, block or pool has no room
    Unavailable, // the other side does not answer; try again later
    Unsupported, // this kernel or build lacks the feature
    Denied,      // not permitted
    System,      // the kernel refused; see `sys`
    Internal,    // a promise of our own was broken
};

struct [[nodiscard]] Error {
    Errc code = Errc::Internal;
    int sys = 0; // errno, or 0
    std::string what;
};

// Takes errno as it is now: call it first thing after the failed call.
inline Error system_error(int sys, std::string what)
{
    what += ": ";
    what += std::strerror(sys);
    return Error{Errc::System, sys, std::move(what)};
}

template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    T& value() & { return checked(); }
    const T& value() const& { return const_cast<Result*>(this)->checked(); }
    T&& value() && { return std::move(checked()); }
    T& operator*() & { return checked(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(checked()); }
    T* operator->() { return &checked(); }
    const T* operator->() const { return &value(); }

    const Error& error() const { return std::get<1>(state_); }

private:
    // Reading a value that is not there is a bug of the caller, never an input error.
    T& checked()
    {
        if (state_.index() != 0)
            std::abort();
        return *std::get_if<0>(&state_);
    }

    std::variant<T, Error> state_;
};

class [[nodiscard]] Status {
public:
    Status() = default;
    Status(Error error) : error_(std::move(error)) {}

    explicit operator bool() const { return !error_; }
    const Error& error() const { return *error_; }

private:
    std::optional<Error> error_;
};

} // namespace margay
