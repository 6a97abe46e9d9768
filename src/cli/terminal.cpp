// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tidewaiter::cli {
namespace {

constexpr int kNarrowest = 80;
constexpr int kWidest = 120;

}  // namespace

output::Style style_of_terminal(bool ascii, std::FILE* stream) {
  output::Style style;
  const bool is_terminal = isatty(fileno(stream)) == 1;
  style.use_color = is_terminal && std::getenv("NO_COLOR") == nullptr;  // NOLINT: before any thread
  style.use_unicode = !ascii && std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  winsize size{};
  if (is_terminal && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.columns = std::clamp<int>(size.ws_col, kNarrowest, kWidest);
    if (size.ws_row > 0) style.lines = size.ws_row;
  }
  return style;
}

}  // namespace tidewaiter::cli
