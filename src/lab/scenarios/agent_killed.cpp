// SPDX-License-Identifier: Apache-2.0
//
// SIGKILL of the agent under load: its readers must notice, and what it had published must be in the journal.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <fmt/format.h>

#include "board/attachment.h"
#include "lab/churn_client.h"
#include "lab/clock.h"
#include "lab/scenarios/all.h"
#include "lab/stage.h"
#include "lab/watch.h"
#include "store/journal_reader.h"

namespace tidewaiter::lab {
namespace {

constexpr std::uint32_t kPorts = 2'000;
constexpr double kLoad = 0.75;                                     // of what the ports sustain
constexpr base::Nanoseconds kBefore = base::Milliseconds(12'500);  // so that it ends between two windows
constexpr base::Nanoseconds kAfter = base::Seconds(5);
constexpr base::Nanoseconds kStaleWithin = base::Seconds(3);
constexpr base::Nanoseconds kGlance = base::Milliseconds(2);
constexpr double kSameTime_s = 0.002;  // documents have milliseconds
constexpr std::size_t kEnoughRows = 10'000;

/// How long after `killed` the block says that it is stale; absent when it does not within twice the time allowed.
std::optional<base::Nanoseconds> time_to_stale(const Context& context, const board::ParameterBlockReader& block,
                                               base::Instant killed, tw_record& record) {
  while (read_clock() < killed + 2 * kStaleWithin) {
    const base::Instant now = read_clock();
    if (block.host(now, record) == board::Freshness::kStale) return now - killed;
    if (!context.wait_until(now + kGlance)) break;
  }
  return std::nullopt;
}

/// Times of the windows that the journal has, in seconds since the scenario began, oldest first.
base::Result<std::vector<double>> journal_times(const Context& context, const Stage& stage) {
  auto journal = store::JournalReader::open((stage.agent_options().state_directory / "journal.sqlite3").string());
  if (!journal) return tl::unexpected(journal.error());
  store::SubjectFilter host;
  host.scope = "host";
  const auto rows = journal->windows(0, host, kEnoughRows);
  if (!rows) return tl::unexpected(rows.error());
  std::vector<double> times;
  for (const store::WindowRow& row : *rows) {
    times.push_back(context.seconds_at(base::WallTime(base::Nanoseconds(row.at_ns))));
  }
  return times;
}

void expect_journal(Context& context, const Stage& stage, const std::vector<SeenWindow>& published,
                    double restarted_s) {
  const auto times = journal_times(context, stage);
  context.expect("the journal opens", "no error",
                 times ? fmt::format("{} windows", times->size()) : times.error().message(), times.has_value());
  if (!times) return;
  const auto missing = std::count_if(published.begin(), published.end(), [&](const SeenWindow& window) {
    return std::none_of(times->begin(), times->end(),
                        [&](double t_s) { return std::abs(t_s - window.t_s) <= kSameTime_s; });
  });
  context.expect("windows that were published and are not in the journal", "at most 1",
                 fmt::format("{} of {}", missing, published.size()), missing <= 1 && published.size() >= 10);
  const auto later = std::count_if(times->begin(), times->end(), [&](double t_s) { return t_s > restarted_s; });
  context.expect("the successor goes on with it", "windows after the restart", fmt::format("{} windows", later),
                 later > 0);
}

void expect_stale(Context& context, const board::Attachment& reader, base::Instant killed) {
  tw_record record{};
  const auto stale = time_to_stale(context, reader.block, killed, record);
  context.expect("a reader of the parameter block sees that the agent is silent", "within 3 s",
                 stale ? fmt::format("after {:.2f} s", to_seconds(*stale)) : "not in 6 s",
                 stale && *stale <= kStaleWithin);
  if (!stale) return;
  context.tell("stale", fmt::format("the parameter block is stale {:.2f} s after the kill", to_seconds(*stale)));
  const double per_s = board::obeyed_by(board::Freshness::kStale, record).connect_rate_per_s;
  const double allowed = sustainable_per_s(kPorts);
  context.expect("what binds it then", "a connect rate as in YELLOW or stricter",
                 std::isnan(per_s) ? "no limit" : fmt::format("{:.1f}/s, where {:.1f}/s last", per_s, allowed),
                 per_s <= 0.8 * allowed + 0.1);
}

base::Result<void> run(Context& context) {
  auto stage = Stage::set(context, {.ports = kPorts});
  if (!stage) return tl::unexpected(stage.error());
  const double rate = kLoad * sustainable_per_s(kPorts);
  auto client = ChurnClient::start(stage->topology().client(),
                                   {.server = stage->destination(), .seed = context.seed(), .load = constant(rate)});
  if (!client) return tl::unexpected(client.error());
  const std::string socket = (stage->agent_options().state_directory / "agent.sock").string();
  const auto reader = board::attach(socket);
  if (!reader) return base::wrap(reader.error(), "attach to the agent");
  context.tell("load", fmt::format("a client connects {:.0f} times a second; a reader is attached to the agent", rate));
  std::vector<SeenWindow> published;
  {
    Watch watch(context, stage->agent(), stage->destination().port);
    if (auto done = watch.follow(read_clock() + kBefore); !done || !*done) {
      return done ? base::Result<void>() : tl::unexpected(done.error());
    }
    published = watch.windows();
  }
  tw_record record{};
  context.expect("before it, the reader finds the block", "live",
                 reader->block.host(read_clock(), record) == board::Freshness::kLive ? "live" : "not live",
                 reader->block.host(read_clock(), record) == board::Freshness::kLive);
  const base::Instant killed = read_clock();
  if (auto sent = stage->agent().process().send_signal(SIGKILL); !sent) return sent;
  context.tell_at(killed, "killed", fmt::format("SIGKILL, after {} windows", published.size()));
  expect_stale(context, *reader, killed);
  if (context.is_interrupted()) return {};

  if (auto restarted = stage->restart_agent(context); !restarted) return restarted;
  const double restarted_s = stage->agent().first_window().t_s;
  context.tell("restarted", "another agent runs on the same state directory");
  {
    Watch watch(context, stage->agent(), stage->destination().port);
    if (auto done = watch.follow(read_clock() + kAfter); !done || !*done) {
      return done ? base::Result<void>() : tl::unexpected(done.error());
    }
  }
  const auto again = board::attach(socket);
  const bool is_live = again && again->block.host(read_clock(), record) == board::Freshness::kLive;
  context.expect("a reader that attaches anew finds a live block", "live",
                 is_live ? "live" : (again ? "not live" : again.error().message()), is_live);
  if (auto stopped = stage->agent().stop(); !stopped) return stopped;
  expect_journal(context, *stage, published, restarted_s);
  return {};
}

}  // namespace

const Scenario kAgentKilled{"agent-killed", "SIGKILL of the agent under load: readers notice, and the journal is whole",
                            base::Seconds(24), run};

}  // namespace tidewaiter::lab
