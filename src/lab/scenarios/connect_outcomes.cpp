// SPDX-License-Identifier: Apache-2.0
//
// Connects of every kind of end, each made a known number of times. What the agent counts must be exactly that, per
// tuple and cause; then the same for 50,000 connects at full speed. All of it twice: seen by tracepoints, and from the
// root of the cgroups.
#include <fmt/format.h>

#include "lab/clock.h"
#include "lab/mixed_connects.h"
#include "lab/outcome_run.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"

namespace tidewaiter::lab {
namespace {

constexpr OutcomeRange kRange{40'000, 40'511};
constexpr base::Nanoseconds kPatience = base::Seconds(60);
constexpr std::uint64_t kWindowsUntilSettled = 4;  // what failed before SYN_SENT is believed at the second reading
constexpr std::uint16_t kKnockedPort = 22'000;
constexpr std::uint16_t kKnocks = 20;

/// A way to see connects, as it is asked for, and the source that then has to be active.
struct Hooks {
  const char* setting;
  const char* source;

  [[nodiscard]] std::string name(const std::string& what) const { return fmt::format("by {}: {}", setting, what); }
};
constexpr Hooks kTracepoints{"tracepoints", "bpf_state"};
constexpr Hooks kCgroupRoot{"cgroup", "bpf_cgroup_state"};

/// The counts of the tuples that go to one endpoint, by source address.
using Counted = std::map<std::string, Tally>;

std::string text_of(const Counted& counted) {
  std::string text;
  for (const auto& [source, tally] : counted) {
    text += fmt::format("{}{} from {}", text.empty() ? "" : "; ", to_string(tally), source);
  }
  return text.empty() ? "nothing" : text;
}

/// 0.0.0.0 and :: are the same: no address was chosen.
std::string source_name(const telemetry::Address& source) {
  return source.is_unspecified() ? "no address" : source.to_string();
}

Counted counted(const telemetry::Address& source, const Tally& tally) {
  return tally.empty() ? Counted{} : Counted{{source_name(source), tally}};
}

Counted find(const SeenWindow& window, const Endpoint& to) {
  Counted found;
  for (const SeenTuple& tuple : window.tuples) {
    if (tuple.port != to.port || tuple.destination != to.address.to_string()) continue;
    if (!tuple.connects || tuple.connects->empty()) continue;
    add(found[source_name(telemetry::parse_address(tuple.source).value_or(telemetry::Address()))], *tuple.connects);
  }
  return found;
}

/// The window in which everything until now is counted; absent when the user wants to stop.
base::Result<std::optional<SeenWindow>> settled(const Context& context, AgentChild& agent) {
  std::optional<std::uint64_t> first;
  const base::Instant now = read_clock();
  while (!context.is_interrupted()) {
    auto window = agent.next_window(read_clock() + base::Milliseconds(100));
    if (!window) return tl::unexpected(window.error());
    if (!*window || (*window)->arrived < now) continue;
    if (!first) first = (*window)->number;
    if ((*window)->number >= *first + kWindowsUntilSettled) return std::move(*window);
  }
  return std::nullopt;
}

/// Without a source that sees connects there is nothing to compare.
bool expect_sources(Context& context, const Hooks& hooks, const SeenWindow& window) {
  for (const char* name : {hooks.source, "bpf_connect"}) {
    const auto missing = window.not_active.find(name);
    const bool is_active = missing == window.not_active.end() && window.connects.has_value();
    context.expect(fmt::format("the agent's source {} is active", name), "active",
                   is_active
                       ? "active"
                       : "not active: needs " + (missing == window.not_active.end() ? "a source" : missing->second),
                   is_active);
  }
  return window.connects.has_value();
}

void expect_outcome(Context& context, const Hooks& hooks, const OutcomeResult& result, const SeenWindow& window) {
  const Outcome& outcome = *result.outcome;
  if (result.skip) {
    context.tell("skipped", fmt::format("{}: cannot be made here: {}", outcome.name, *result.skip));
    return;
  }
  const bool is_as_planned = result.exit == outcome.exit && result.seen == outcome.client;
  if (!is_as_planned) {
    context.expect(
        hooks.name(fmt::format("{}: what the client itself saw", outcome.name)), to_string(outcome.client),
        fmt::format("{}, {}", to_string(result.seen), result.exit ? result.exit->to_string() : "still running"), false);
  }
  const Counted expected = counted(outcome.source(), result.expected);
  const Counted seen = find(window, outcome.task.to);
  context.expect(hooks.name(outcome.name), "exactly " + text_of(expected), text_of(seen), seen == expected);
}

/// All that was made, and nothing else. An agent's own connects would show here.
void expect_sum(Context& context, const std::string& what, Tally expected, const SeenWindow& window) {
  expected["pre_syn"] += expected["unreachable"];  // as the host's counts are read
  expected.erase("unreachable");
  std::erase_if(expected, [](const auto& entry) { return entry.second == 0; });
  const Tally seen = window.connects.value_or(Tally());
  context.expect(what, "exactly " + to_string(expected), to_string(seen), seen == expected);
}

base::Result<bool> run_outcomes(Context& context, const Hooks& hooks, Stage& stage, OutcomeRun& outcomes) {
  Tally sum = stage.agent().first_window().connects.value_or(Tally());
  context.tell("outcomes", "a process for each way in which a connect can end, all at once");
  const auto results = outcomes.play(read_clock() + kPatience);
  if (!results) return tl::unexpected(results.error());
  {
    const auto listener = stage.topology().client().run([] { return listen_on({ScriptedPeer::kOwn, kKnockedPort}); });
    if (!listener) return tl::unexpected(listener.error());
    if (auto done = outcomes.peer().knock(kKnockedPort, kKnocks); !done) return tl::unexpected(done.error());
  }  // closed with handshakes half-way
  const auto window = settled(context, stage.agent());
  if (!window) return tl::unexpected(window.error());
  if (!*window) return false;
  for (const OutcomeResult& result : *results) {
    expect_outcome(context, hooks, result, **window);
    if (!result.skip) add(sum, result.expected);
  }
  expect_sum(context,
             hooks.name("all of these together, a listener that closed with half-open children and nothing else"), sum,
             **window);
  return true;
}

/// Retransmits of SYNs depend on the machine, and clients do not see them.
Tally without_retransmits(Tally tally) {
  tally.erase("syn_retransmits");
  return tally;
}

std::uint64_t lost_in(const SeenWindow& window) {
  std::uint64_t sum = 0;
  for (const auto& [source, count] : window.lost) sum += count;
  return sum;
}

base::Result<bool> run_mixed(Context& context, const Hooks& hooks, Stage& stage) {
  const MixedOptions options{.ports = kRange.hi - kRange.lo + 1U};
  context.tell("mixed", fmt::format("{} processes make {} connects each, as fast as they can; one in 20 fails",
                                    options.processes, options.connects));
  const auto mixed = connect_mixed(stage.topology().client(), options, read_clock() + kPatience);
  if (!mixed) return tl::unexpected(mixed.error());
  const double per_s = options.processes * options.connects / to_seconds(mixed->took);
  context.tell("mixed", fmt::format("{:.0f} connects a second", per_s), {{"connects_per_s", per_s}});
  const auto window = settled(context, stage.agent());
  if (!window) return tl::unexpected(window.error());
  if (!*window) return false;
  const std::uint64_t lost = lost_in(**window) - lost_in(stage.agent().first_window());
  for (const auto& [kind, clients] : mixed->clients) {
    Counted seen = find(**window, mixed_destination(kind));
    for (auto& [source, tally] : seen) tally = without_retransmits(tally);
    const Counted expected = counted(mixed_source(kind), clients);
    const Tally none;
    const auto same_source = seen.find(source_name(mixed_source(kind)));
    const std::uint64_t off = distance(same_source == seen.end() ? none : same_source->second, clients);
    context.expect(hooks.name(fmt::format("50,000 at full speed, to port {}", mixed_destination(kind).port)),
                   fmt::format("exactly {}, or as many reported lost as are off", text_of(expected)),
                   fmt::format("{}; {} reported lost", text_of(seen), lost),
                   seen == expected || (off != 0 && off == lost));
  }
  return true;
}

/// With connects of the agent's own every second, which are in no count.
base::Result<void> run_with(Context& context, const Hooks& hooks) {
  const std::string configuration = fmt::format("[connects]\nhooks = \"{}\"\ncanary_every = \"1s\"\n", hooks.setting);
  auto stage =
      Stage::set(context, {.ports = kRange.hi - kRange.lo + 1U, .lo = kRange.lo, .configuration = configuration});
  if (!stage) return tl::unexpected(stage.error());
  if (!expect_sources(context, hooks, stage->agent().first_window())) return {};
  ScriptedPeer::Script script;
  add_mixed_script(script);
  auto outcomes = OutcomeRun::prepare(stage->topology().client(), all_outcomes(kRange), script);
  if (!outcomes) return tl::unexpected(outcomes.error());
  auto done = run_outcomes(context, hooks, *stage, *outcomes);
  if (done && *done) done = run_mixed(context, hooks, *stage);
  if (!done) return tl::unexpected(done.error());
  return stage->agent().stop();
}

base::Result<void> run(Context& context) {
  for (const Hooks& hooks : {kTracepoints, kCgroupRoot}) {
    if (auto done = run_with(context, hooks); !done || context.is_interrupted()) return done;
  }
  return {};
}

}  // namespace

const Scenario kConnectOutcomes{"connect-outcomes",
                                "Every way in which a connect ends: the agent's counts are exact, also at full speed",
                                base::Seconds(40), run};

}  // namespace tidewaiter::lab
