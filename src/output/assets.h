// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace tidewaiter::output {

/// A file of the web page, part of the program.
struct Asset {
  std::string_view path;  ///< as in the URL: "/", "/app.js"
  std::string_view content_type;
  std::string_view bytes;
  std::string_view etag;  ///< changes with the bytes
};

/// The page, from src/output/assets: it asks `/api/v1/status` and `/api/v1/transitions` of the server it came from, and
/// nobody else.
[[nodiscard]] std::span<const Asset> assets();

}  // namespace tidewaiter::output
