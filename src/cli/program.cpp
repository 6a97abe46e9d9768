// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <string_view>

#include "output/documents.h"

namespace tidewaiter::cli {
namespace {

std::vector<CommandFactory>& factories() {
  static std::vector<CommandFactory> list;
  return list;
}

std::string footer_of(const Command& command) {
  std::string footer = "Examples:";
  for (const std::string& example : command.examples()) footer += "\n  " + example;
  return footer;
}

bool is_json_wanted(int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc, [](const char* argument) { return std::string_view(argument) == "--json"; });
}

}  // namespace

Registration::Registration(CommandFactory factory) { factories().push_back(std::move(factory)); }

std::vector<std::unique_ptr<Command>> make_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  for (const CommandFactory& factory : factories()) commands.push_back(factory());
  std::sort(commands.begin(), commands.end(),
            [](const auto& left, const auto& right) { return left->name() < right->name(); });
  return commands;
}

ExitCode report(const base::Error& error, bool wants_json) {
  if (wants_json) fmt::print("{}\n", output::error_document(error).dump());
  fmt::print(stderr, "tidewaiter: {}{}{}\n", error.message(), error.hint.empty() ? "" : "; ", error.hint);
  return error.code == base::ErrorCode::kInvalidArgument ? ExitCode::kBadUsage : ExitCode::kNotPossible;
}

int run_program(int argc, const char* const* argv) {
  CLI::App app("tidewaiter: outbound TCP port pressure, seen from the kernel per destination", "tidewaiter");
  app.set_version_flag("--version", "tidewaiter " TIDEWAITER_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Example:\n  tidewaiter census --watch 1s\n`tidewaiter COMMAND --help` shows the options and examples of a "
      "command.");
  const auto commands = make_commands();
  for (const auto& command : commands) {
    CLI::App* const subcommand = app.add_subcommand(command->name(), command->summary());
    subcommand->footer(footer_of(*command));
    command->add_options(*subcommand);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& parse_error) {
    if (parse_error.get_exit_code() == 0) return app.exit(parse_error);  // --help, --version
    std::string called;
    for (const CLI::App* subcommand : app.get_subcommands()) called = " " + subcommand->get_name();
    const bool is_unknown = called.empty() && argc > 1 && argv[1][0] != '-';
    const std::string message = is_unknown ? fmt::format("unknown command '{}'", argv[1]) : parse_error.what();
    const base::Error error{
        base::ErrorCode::kInvalidArgument, 0, {message}, fmt::format("see tidewaiter{} --help", called)};
    return static_cast<int>(report(error, is_json_wanted(argc, argv)));
  }
  for (const auto& command : commands) {
    if (app.got_subcommand(command->name())) return static_cast<int>(command->run());
  }
  return static_cast<int>(ExitCode::kBadUsage);
}

}  // namespace tidewaiter::cli
