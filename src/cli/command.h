// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tidewaiter::cli {

/// What the exit status says.
enum class ExitCode : int {
  kFine = 0,
  kNotFine = 1,     ///< the thing asked about is not fine
  kBadUsage = 2,    ///< bad usage or configuration
  kNotPossible = 3  ///< not permitted, or not available here
};

/// One subcommand. A new one is a new file with a class and one Registration: `main` never changes.
class Command {
 public:
  virtual ~Command() = default;

  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string summary() const = 0;

  /// Lines for the end of `--help`: real calls, most useful first.
  [[nodiscard]] virtual std::vector<std::string> examples() const = 0;

  /// Declares options on `app`; values are read when `run` is called.
  virtual void add_options(CLI::App& app) = 0;

  /// True when the caller wants one JSON document on standard output, errors included.
  [[nodiscard]] virtual bool wants_json() const { return false; }

  /// Does the work. Errors are answered by the program: document, message, exit status.
  [[nodiscard]] virtual ExitCode run() = 0;
};

using CommandFactory = std::function<std::unique_ptr<Command>()>;

/// Adds a command to the program before main() starts.
class Registration {
 public:
  explicit Registration(CommandFactory factory);
};

/// Every registered command, by name.
[[nodiscard]] std::vector<std::unique_ptr<Command>> make_commands();

}  // namespace tidewaiter::cli
