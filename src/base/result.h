// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace tidewaiter::base {

/// Why an operation could not be done, as the caller has to tell it to a person or a program.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  ///< the caller asked for something that is not allowed: bad usage or configuration
  kNotFound,         ///< the thing named does not exist here
  kNotPermitted,     ///< it exists, but this process may not
  kUnavailable,      ///< not on this kernel or host, or gone since
  kMalformed,        ///< bytes that are not what their format says
  kInternal,         ///< a system call failed that should not
};

/// The stable name of a code, as in the error document (`"not_found"`).
[[nodiscard]] std::string_view name(ErrorCode code);

/// An expected failure, as a value. `context` grows on the way up: the innermost message first.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  int system_errno = 0;  ///< errno where a system call failed, else 0
  std::vector<std::string> context;
  std::string hint;  ///< what the reader can do about it; may be empty

  /// One line, outermost context first: "census of 'blue': open /run/netns/blue: No such file or directory".
  [[nodiscard]] std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;

/// An error without a system call behind it.
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {});

/// An error from a system call: maps errno to a code and appends its text.
[[nodiscard]] tl::unexpected<Error> fail_errno(int system_errno, std::string what);

/// Passes an error on with one more line of context.
[[nodiscard]] tl::unexpected<Error> wrap(Error error, std::string context);

}  // namespace tidewaiter::base
