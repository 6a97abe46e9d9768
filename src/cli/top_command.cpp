// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <clocale>
#include <cstdio>
#include <curses.h>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "cli/agent_client.h"
#include "cli/command.h"
#include "cli/configuration_file.h"
#include "cli/pause.h"
#include "cli/program.h"
#include "cli/terminal.h"
#include "output/status_screen.h"
#include "output/top_controls.h"

namespace tidewaiter::cli {
namespace {

constexpr base::Nanoseconds kPatience = base::Seconds(2);
constexpr int kTick = 100;  // ms: how fast a key is answered
constexpr base::Nanoseconds kRefresh = base::Seconds(1);
constexpr base::Nanoseconds kSilence = base::Seconds(3);
constexpr int kNarrowest = 80;
constexpr int kWidest = 140;

struct TopArguments {
  std::string url;
  std::string state_directory;
  bool ascii = false;
};

/// The terminal under ncurses for as long as this lives.
class Screen {
 public:
  Screen() {
    initscr();
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    timeout(kTick);
    if (has_colors() == TRUE) {
      start_color();
      use_default_colors();
      init_pair(kGood, COLOR_GREEN, -1);
      init_pair(kWarning, COLOR_YELLOW, -1);
      init_pair(kBad, COLOR_RED, -1);
    }
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() { endwin(); }

  /// The key that was pressed within a tick, or ERR.
  [[nodiscard]] static int key() { return getch(); }

  /// Which of the keys of `top` that is; absent: none, or one that ends it.
  [[nodiscard]] static std::optional<output::TopControls::Key> meaning_of(int key) {
    using Key = output::TopControls::Key;
    switch (key) {
      case KEY_UP:
      case 'k':
        return Key::kUp;
      case KEY_DOWN:
      case 'j':
        return Key::kDown;
      case KEY_HOME:
        return Key::kFirst;
      case KEY_END:
        return Key::kLast;
      case '\n':
      case '\r':
      case KEY_ENTER:
        return Key::kDetails;
      case 'p':
        return Key::kByPressure;
      case 'f':
        return Key::kByFailures;
      case 's':
        return Key::kByPortSearch;
      default:
        return std::nullopt;
    }
  }

  static void draw(const std::vector<output::Line>& lines) {
    erase();
    int row = 0;
    for (const output::Line& line : lines) {
      if (row >= LINES) break;
      move(row++, 0);
      for (const output::Span& span : line) {
        attrset(attributes_of(span.tone));
        addstr(span.text.c_str());
      }
    }
    attrset(A_NORMAL);
    refresh();
  }

 private:
  static constexpr short kGood = 1;
  static constexpr short kWarning = 2;
  static constexpr short kBad = 3;

  static attr_t attributes_of(output::Tone tone) {
    switch (tone) {
      case output::Tone::kPlain:
        return A_NORMAL;
      case output::Tone::kFaint:
        return A_DIM;
      case output::Tone::kStrong:
        return A_BOLD;
      case output::Tone::kGood:
        return static_cast<attr_t>(COLOR_PAIR(kGood)) | A_BOLD;
      case output::Tone::kWarning:
        return static_cast<attr_t>(COLOR_PAIR(kWarning)) | A_BOLD;
      case output::Tone::kBad:
        return static_cast<attr_t>(COLOR_PAIR(kBad)) | A_BOLD;
      case output::Tone::kSelected:
        return A_REVERSE;
    }
    return A_NORMAL;
  }
};

class TopCommand final : public Command {
 public:
  [[nodiscard]] std::string name() const override { return "top"; }
  [[nodiscard]] std::string summary() const override { return "Watch a running agent: state, reasons, destinations"; }
  [[nodiscard]] std::vector<std::string> examples() const override {
    return {
        "tidewaiter top                                the agent of this host; q quits",
        "tidewaiter top --url http://127.0.0.1:9651", "",
        "Keys: q quits; up and down select a destination, Home and End the first and last; Enter shows or hides how",
        "its connects went and which processes make them; p, f and s sort by pressure, by failures, by port search"};
  }

  void add_options(CLI::App& app) override {
    app.add_option("--url", arguments_.url, "Agent to ask (default: the one of the state directory)")
        ->check(not_empty());
    app.add_option("--state-dir", arguments_.state_directory, "State directory of the agent")->check(not_empty());
    app.add_flag("--ascii", arguments_.ascii, "Draw with ASCII only");
  }

  [[nodiscard]] ExitCode run() override {
    std::setlocale(LC_CTYPE, "");
    if (isatty(STDOUT_FILENO) != 1 || isatty(STDIN_FILENO) != 1) {
      return report({base::ErrorCode::kUnavailable, 0, {"top needs a terminal"}, "use `tidewaiter status`"}, false);
    }
    // The first answer before the screen is taken, so that an error is an error line.
    auto status = get_status(arguments_.url, arguments_.state_directory, kPatience);
    if (!status) return report(status.error(), false);
    watch(std::move(*status));
    return ExitCode::kFine;
  }

 private:
  void watch(output::Document status) const {
    const auto terminal = style_of_terminal(arguments_.ascii, stdout);
    const Screen screen;
    output::TopControls controls;
    base::Instant heard = read_clocks().steady;
    base::Instant asked = heard;
    while (true) {
      controls.resize(LINES - 1);
      draw(status, heard, controls, terminal);
      const int key = Screen::key();
      if (key == 'q' || key == 'Q' || key == 3) return;
      if (const auto meaning = Screen::meaning_of(key)) controls.press(*meaning, status);
      const base::Instant now = read_clocks().steady;
      if (now - asked < kRefresh) continue;
      asked = now;
      if (auto fresh = get_status(arguments_.url, arguments_.state_directory, kPatience)) {
        status = std::move(*fresh);
        heard = read_clocks().steady;
      }
    }
  }

  static void draw(const output::Document& status, base::Instant heard, const output::TopControls& controls,
                   const output::Style& terminal) {
    output::Style style = terminal;
    style.use_color = false;  // ncurses has its own
    style.columns = std::clamp(COLS, kNarrowest, kWidest);
    output::StatusScreenOptions options;
    options.view = controls.view();
    const base::Nanoseconds silence = read_clocks().steady - heard;
    if (silence > kSilence) options.silent_for = silence;
    auto lines = output::status_screen(status, style, options);
    if (COLS < kNarrowest) lines = {{{output::Tone::kPlain, "top needs 80 columns"}}};
    lines.resize(static_cast<std::size_t>(std::max(LINES - 1, 1)));
    output::Line help = controls.help();
    if (!style.use_unicode) {
      for (output::Span& span : help) span.text = output::in_ascii(std::move(span.text));
    }
    lines.push_back(std::move(help));
    Screen::draw(lines);
  }

  TopArguments arguments_;
};

const Registration kRegistration([] { return std::make_unique<TopCommand>(); });

}  // namespace
}  // namespace tidewaiter::cli
