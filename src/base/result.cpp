// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace tidewaiter::base {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kNotPermitted:
      return "not_permitted";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kMalformed:
      return "malformed";
    case ErrorCode::kInternal:
      break;
  }
  return "internal";
}

std::string Error::message() const {
  std::string text;
  for (auto line = context.rbegin(); line != context.rend(); ++line) {
    if (!text.empty()) text += ": ";
    text += *line;
  }
  return text;
}

tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint) {
  return tl::unexpected(Error{code, 0, {std::move(message)}, std::move(hint)});
}

tl::unexpected<Error> fail_errno(int system_errno, std::string what) {
  ErrorCode code = ErrorCode::kInternal;
  if (system_errno == ENOENT || system_errno == ENOTDIR) code = ErrorCode::kNotFound;
  if (system_errno == EPERM || system_errno == EACCES) code = ErrorCode::kNotPermitted;
  if (system_errno == ENOSYS || system_errno == EOPNOTSUPP || system_errno == EPROTONOSUPPORT ||
      system_errno == EAFNOSUPPORT) {
    code = ErrorCode::kUnavailable;
  }
  const char* const text = strerrordesc_np(system_errno);
  what += ": " + (text != nullptr ? std::string(text) : "error " + std::to_string(system_errno));
  return tl::unexpected(Error{code, system_errno, {std::move(what)}, {}});
}

tl::unexpected<Error> wrap(Error error, std::string context) {
  error.context.push_back(std::move(context));
  return tl::unexpected(std::move(error));
}

}  // namespace tidewaiter::base
