// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <malloc.h>
#include <memory>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <utility>

#include "agent/board_records.h"
#include "agent/event_loop.h"
#include "agent/journal_rows.h"
#include "agent/line_writer.h"
#include "agent/observer.h"
#include "agent/privileges.h"
#include "agent/routes.h"
#include "agent/service_manager.h"
#include "agent/state_directory.h"
#include "agent/worker.h"
#include "base/stopwatch.h"
#include "board/agent_socket.h"
#include "board/parameter_block_writer.h"
#include "kernel/connect_probe.h"
#include "kernel/host.h"
#include "model/release_schedule.h"
#include "output/agent_documents.h"
#include "serve/http_server.h"
#include "store/journal.h"

namespace tidewaiter::agent {
namespace {

constexpr std::size_t kQueuedWindows = 8;
constexpr unsigned kSlowestHz = 100;  // gives the longest granule: the careful assumption where HZ is not known

using SnapshotPointer = std::shared_ptr<const Snapshot>;

base::Moment read_clocks() {
  return {base::Instant(std::chrono::steady_clock::now()), base::WallTime(std::chrono::system_clock::now())};
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string line;
  std::getline(file, line);
  return line;
}

/// Attaches what the observer looks with, and lists every source with what the missing ones need.
base::Result<Observer::Sources> attach_sources(kernel::NetworkNamespace network_namespace,
                                               const Configuration& configuration, const StateDirectory& directory,
                                               kernel::SourceTable& table) {
  const auto inode = network_namespace.inode();
  if (!inode) return tl::unexpected(inode.error());
  Observer::Sources sources{std::move(network_namespace)};
  table = {{"sock_diag", 0, true, ""}, {"proc", 0, true, ""}};
  if (auto probe = kernel::ConnectProbe::attach(sources.network_namespace, configuration.connects, table)) {
    sources.connects = std::move(*probe);
  } else {
    spdlog::info("{}", probe.error().message());
    auto listener =
        sources.network_namespace.run([&] { return kernel::DestroyListener::open(configuration.socket_ends); });
    table.push_back({"socket_ends", 0, listener.has_value(), listener ? "" : listener.error().message()});
    if (listener) sources.socket_ends = std::move(*listener);
  }
  if (configuration.connects.hooks == kernel::ConnectHooks::kOff) {
    table.push_back({"bpf_socket_changes", 1, false, "connects.hooks other than \"off\" in the configuration"});
  } else if (configuration.look.events == kernel::EventUse::kOff) {
    table.push_back({"bpf_socket_changes", 1, false, "look.events = \"automatic\" in the configuration"});
  } else {
    auto changes = kernel::SocketChanges::load();
    table.push_back({"bpf_socket_changes", 1, changes.has_value(), changes ? "" : changes.error().message()});
    if (changes) sources.socket_changes = std::move(*changes);
  }
  table.push_back(kernel::iterator_source(configuration.look));
  malloc_trim(0);  // loading reads the kernel's types, which nobody needs any more
  sources.bypass.emplace(*inode, configuration.bypass);
  auto programs = ProgramEvents::listen(configuration.programs, directory.events_socket(), *inode);
  table.push_back({"application_events", 2, programs.has_value(), programs ? "" : programs.error().message()});
  if (programs) sources.programs.emplace(std::move(*programs));
  for (const kernel::SourceRow& row : table) {
    if (!row.is_active) spdlog::info("source {} is off: needs {}", row.name, row.needs);
  }
  return sources;
}

std::vector<output::Source> sources_of(const kernel::SourceTable& table) {
  std::vector<output::Source> sources;
  for (const auto& [name, tier, is_active, needs] : table) sources.push_back({name, tier, is_active, needs});
  return sources;
}

std::shared_ptr<const Setup> setup_of(const Options& options, const kernel::SourceTable& table, base::Moment now) {
  auto setup = std::make_shared<Setup>();
  setup->identity = {options.instance.empty() ? default_instance(options.state_directory) : options.instance,
                     TIDEWAITER_VERSION, options.netns, now, options.interval};
  setup->policy = options.configuration.policy;
  setup->sources = sources_of(table);
  return setup;
}

/// Says something once, and again only when it has changed.
class Notice {
 public:
  void say(const std::string& text) {
    if (text == last_) return;
    last_ = text;
    if (!text.empty()) spdlog::warn("{}", text);
  }

 private:
  std::string last_;
};

/// The threads behind the observer that may be slow: the journal's and the one that writes lines.
class Recorder {
 public:
  Recorder(store::Journal journal, bool json_lines, const Tally& tally, std::function<void()> on_reader_gone)
      : journal_(std::move(journal)),
        tally_(tally),
        on_reader_gone_(std::move(on_reader_gone)),
        keeper_(kQueuedWindows, [this](const SnapshotPointer& snapshot, const auto&) { keep(*snapshot); }) {
    if (!json_lines) return;
    writer_.emplace(kQueuedWindows, [this](const SnapshotPointer& snapshot, const std::atomic<bool>& is_stopping) {
      write_line(*snapshot, is_stopping);
    });
  }

  void take(const SnapshotPointer& snapshot) {
    static_cast<void>(keeper_.try_push(snapshot));
    if (writer_) static_cast<void>(writer_->try_push(snapshot));
  }

  [[nodiscard]] std::map<std::string, std::uint64_t> lost() const {
    std::map<std::string, std::uint64_t> lost{{"journal_rows", lost_rows_}, {"journal_windows", keeper_.dropped()}};
    if (writer_) lost["json_lines"] = writer_->dropped() + abandoned_lines_;
    return lost;
  }

  void stop() {
    if (writer_) writer_->stop();
    keeper_.stop();
  }

  /// Once it has stopped. Errors: the lines could not be written; a reader that went away is none.
  [[nodiscard]] base::Result<void> outcome() const {
    if (output_errno_ == 0) return {};
    return base::fail_errno(output_errno_, "write to standard output");
  }

 private:
  void keep(const Snapshot& snapshot) {
    const JournalRows rows = journal_rows(snapshot, tally_.series());
    if (const auto kept = journal_.append({rows.windows, rows.transitions}, snapshot.at); !kept) {
      notice_.say("journal: " + kept.error().message());
    } else {
      notice_.say("");
    }
    for (const std::string& note : journal_.take_notes()) spdlog::warn("journal: {}", note);
    lost_rows_ = journal_.lost_rows();
  }

  void write_line(const Snapshot& snapshot, const std::atomic<bool>& is_stopping) {
    if (is_reader_gone_) return;
    const std::string line = output::window_document(snapshot.view()).dump() + "\n";
    switch (lines_.write(line, is_stopping)) {
      case LineWriter::Outcome::kWritten:
        return;
      case LineWriter::Outcome::kAbandoned:
        ++abandoned_lines_;
        return;
      case LineWriter::Outcome::kClosed:
        is_reader_gone_ = true;
        on_reader_gone_();
        return;
      case LineWriter::Outcome::kFailed:
        output_errno_ = errno;
        is_reader_gone_ = true;
        on_reader_gone_();
        return;
    }
  }

  store::Journal journal_;
  const Tally& tally_;
  std::function<void()> on_reader_gone_;
  Notice notice_;
  LineWriter lines_{STDOUT_FILENO};
  bool is_reader_gone_ = false;
  std::atomic<int> output_errno_ = 0;
  std::atomic<std::uint64_t> lost_rows_ = 0;
  std::atomic<std::uint64_t> abandoned_lines_ = 0;
  Worker<SnapshotPointer> keeper_;
  std::optional<Worker<SnapshotPointer>> writer_;
};

/// Everything that lives while an agent runs, and the one window after the other.
class Running {
 public:
  Running(const Options& options, std::shared_ptr<const Setup> setup, StateDirectory directory, EventLoop loop,
          Observer::Sources sources, store::Journal journal, board::ParameterBlockWriter block)
      : options_(options),
        directory_(std::move(directory)),
        loop_(std::move(loop)),
        tally_(options.max_tuples),
        next_window_(journal.next_window()),
        block_(std::move(block)),
        pace_(options.interval, options.configuration.pace),
        observer_(std::move(sources), options.configuration, std::move(setup), read_clocks().steady),
        recorder_(std::move(journal), options.json_lines, tally_, [this] { loop_.stop(); }),
        server_(routes(sources_of_routes())) {}

  base::Result<void> start(const Announcements& announcements) {
    // Whoever sees the first window finds block and server there: until then the one is stale, the other says 503.
    auto socket = board::AgentSocket::listen({directory_.socket(), kMaxClients}, block_);
    if (!socket) return tl::unexpected(socket.error());
    socket_.emplace(std::move(*socket));
    const auto bound = server_.start(options_.listen);
    if (!bound) return tl::unexpected(bound.error());
    if (auto first = pass(); !first) return first;
    if (auto written = directory_.write_address(bound->text()); !written) {
      spdlog::warn("{}; `status` and `top` need --url", written.error().message());
    }
    if (announcements.ready) announcements.ready(*bound);
    notify_service_manager(fmt::format("READY=1\nSTATUS=http://{}/", bound->text()));
    return {};
  }

  void serve() {
    const base::Instant started = due_;
    watch(socket_->descriptor());
    for (const int descriptor : observer_.descriptors()) watch(descriptor);
    while (true) {
      const base::Instant now = read_clocks().steady;
      skip(pace_.skipped(due_, now));
      due_ = pace_.next(due_, now);
      base::Instant wake = due_;
      if (options_.duration) wake = std::min(wake, started + *options_.duration);
      if (!wait_until(wake)) break;
      if (options_.duration && read_clocks().steady >= started + *options_.duration) break;
      catch_up();
      static_cast<void>(pass());  // a missed window is told by its state
    }
    notify_service_manager("STOPPING=1");
  }

  base::Result<void> stop() {
    block_.close_cleanly();
    socket_.reset();
    server_.stop();
    recorder_.stop();
    return recorder_.outcome();
  }

 private:
  static constexpr std::uint64_t kMaxClients = 256;

  RouteSources sources_of_routes() {
    Configuration shown = options_.configuration;
    return {&snapshots_,
            &tally_,
            directory_.journal(),
            output::config_document(settings_of(shown)).dump(),
            [] { return read_clocks(); },
            [this] { return server_.counters().requests; }};
  }

  void watch(int descriptor) {
    if (auto watched = loop_.watch(descriptor); !watched) spdlog::warn("{}", watched.error().message());
  }

  /// A failure of this host's own does not wait for the end of the window.
  void on_events() {
    const auto changed = observer_.on_events(read_clocks());
    if (changed == nullptr) return;
    publish(*changed);
    changed->window = next_window_++;
    tally_.note(*changed);
    record(changed);
  }

  bool wait_until(base::Instant time) {
    while (true) {
      switch (loop_.wait(time, read_clocks().steady)) {
        case EventLoop::Event::kTime:
          return true;
        case EventLoop::Event::kStop:
          return false;
        case EventLoop::Event::kReadable:
          on_events();
          socket_->on_readable();
          break;
      }
    }
  }

  base::Result<void> pass() {
    const base::Stopwatch wall;
    const base::CpuStopwatch cpu;  // what a pass costs; on a busy machine its wall time says more about the others
    const base::Moment now = read_clocks();
    if (due_ == base::Instant{}) due_ = now.steady;
    auto window = observer_.window(now);
    if (!window) return tl::unexpected(window.error());
    Snapshot& snapshot = **window;
    snapshot.window = next_window_++;
    publish(snapshot);
    tally_.note(snapshot);
    snapshot.observer.pass = wall.elapsed();
    // The first pass opens and warms what the others find: it says nothing about them.
    if (observer_.windows() > 1 && pace_.note(cpu.elapsed())) {
      tell_pace(cpu.elapsed());
      block_.set_interval(pace_.interval());
      publish(snapshot);  // again: it has to hold for three of the new intervals
    }
    record(*window);
    notice_.say(snapshot.observer.last_error);
    notify_service_manager("WATCHDOG=1");
    return {};
  }

  /// To whoever shows or keeps windows.
  void record(const std::shared_ptr<Snapshot>& window) {
    window->observer.interval = pace_.interval();
    window->observer.lost_events = recorder_.lost();
    window->observer.lost_events.insert(window->look->lost.begin(), window->look->lost.end());
    if (const auto& ledger = window->look->sample.ledger) {
      window->observer.lost_events["socket_changes"] = ledger->lost;
      window->observer.lost_events["census_drift"] = ledger->missing + ledger->phantoms;
    }
    snapshots_.put(window);
    recorder_.take(window);
  }

  /// Windows that never began, because the last pass took too long.
  void skip(std::uint64_t windows) {
    if (windows == 0) return;
    const auto stale = observer_.skip(windows, read_clocks());
    if (stale == nullptr) return;
    stale->window = next_window_++;
    tally_.note(*stale);
    record(stale);
  }

  /// Likewise, because the agent itself was stopped or had no processor while it waited.
  void catch_up() {
    const auto late = (read_clocks().steady - due_) / pace_.interval();
    if (late <= 0) return;
    skip(static_cast<std::uint64_t>(late));
    due_ += late * pace_.interval();
  }

  /// A missed window says nothing about now: readers of the block go by its expiry.
  void publish(const Snapshot& snapshot) {
    if (!snapshot.is_missed) block_.publish(board_host(snapshot), board_tuples(snapshot), read_clocks().steady);
  }

  void tell_pace(base::Nanoseconds cost) const {
    spdlog::info("a pass costs {} of CPU time; the interval is now {}", base::humane_duration(cost),
                 base::format_duration(pace_.interval()));
  }

  const Options& options_;
  StateDirectory directory_;
  EventLoop loop_;
  SnapshotBox snapshots_;
  Tally tally_;
  std::uint64_t next_window_;
  board::ParameterBlockWriter block_;
  std::optional<board::AgentSocket> socket_;
  Pace pace_;
  Observer observer_;
  Notice notice_;
  base::Instant due_{};
  Recorder recorder_;
  serve::HttpServer server_;
};

}  // namespace

base::Result<void> run(const Options& options, const Announcements& announcements) {
  // Before any thread, so that all inherit the mask.
  auto loop = EventLoop::create();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of write()
  if (!loop) return tl::unexpected(loop.error());
  auto directory = StateDirectory::open(options.state_directory);
  if (!directory) return tl::unexpected(directory.error());
  auto network_namespace = kernel::NetworkNamespace::open(options.netns);
  if (!network_namespace) return tl::unexpected(network_namespace.error());

  Options adjusted = options;
  adjusted.configuration.outlook.granule = model::time_wait_granule(kernel::kernel_hz().value_or(kSlowestHz));
  const base::Moment now = read_clocks();
  kernel::SourceTable table;
  auto sources = attach_sources(std::move(*network_namespace), adjusted.configuration, *directory, table);
  if (!sources) return tl::unexpected(sources.error());
  const auto setup = setup_of(adjusted, table, now);
  const auto boot_offset = now.wall.time_since_epoch() - now.steady.time_since_epoch();
  auto journal = store::Journal::open(
      directory->journal(),
      {{setup->identity.instance, boot_id(), boot_offset.count()}, adjusted.configuration.journal}, now);
  if (!journal) return tl::unexpected(journal.error());
  for (const std::string& note : journal->take_notes()) spdlog::warn("journal: {}", note);
  auto block = board::ParameterBlockWriter::create({options.interval});
  if (!block) return tl::unexpected(block.error());

  // Everything is open, and no thread has started.
  const Situation situation{sources->network_namespace.is_self(), kernel::is_known_here(kernel::LinuxCapability::kBpf)};
  if (const auto left = drop_privileges(sources->network_namespace); left) {
    spdlog::info("{}", describe(*left, situation));
  } else {
    spdlog::warn("{}", left.error().message());
  }
  Running running(adjusted, setup, std::move(*directory), std::move(*loop), std::move(*sources), std::move(*journal),
                  std::move(*block));
  if (auto started = running.start(announcements); !started) return started;
  running.serve();
  return running.stop();
}

}  // namespace tidewaiter::agent
