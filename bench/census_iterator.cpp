// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <functional>
#include <malloc.h>
#include <string>
#include <utility>
#include <vector>

#include "base/stopwatch.h"
#include "bench/question.h"
#include "bench/socket_farm.h"
#include "kernel/census.h"
#include "kernel/socket_iterator.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kMany = 100'000;

/// Throws its rows away.
class Nowhere final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow& row) override { keep(row); }
  void on_restart() override {}
};

base::Result<kernel::Census> census_by(kernel::LookMethod method) {
  auto self = kernel::NetworkNamespace::open("self");
  if (!self) return tl::unexpected(self.error());
  kernel::LookOptions options;
  options.method = method;
  return kernel::Census(std::move(*self), options);
}

/// CPU time of this thread for one look, in ms; nearly all of it is the kernel's. The sample of the look before stays
/// alive meanwhile, as in an agent.
class Looks {
 public:
  explicit Looks(kernel::Census census) : census_(std::move(census)) {}

  base::Result<double> next() {
    const base::CpuStopwatch stopwatch;
    auto sample = census_.look({std::chrono::steady_clock::now(), std::chrono::system_clock::now()});
    if (!sample) return tl::unexpected(sample.error());
    last_ = std::move(*sample);
    keep(last_);
    return in_milliseconds(stopwatch.elapsed());
  }

 private:
  kernel::Census census_;
  telemetry::Sample last_;
};

/// A walk alone, with what it writes thrown away, in ms of CPU.
base::Result<double> walk_ms(kernel::SocketIterator& iterator, const telemetry::PortSet& listening) {
  Nowhere nowhere;
  const base::CpuStopwatch stopwatch;
  if (const auto walked = iterator.walk({}, listening, nowhere); !walked) return tl::unexpected(walked.error());
  return in_milliseconds(stopwatch.elapsed());
}

telemetry::PortSet every_port() {
  telemetry::PortSet ports;
  for (std::uint32_t port = 0; port < telemetry::PortSet::kPorts; ++port) ports.set(static_cast<std::uint16_t>(port));
  return ports;
}

/// Figures of things that are measured in turns; the first round warms up and is thrown away.
template <std::size_t kThings>
class Turns {
 public:
  using Thing = std::function<base::Result<double>()>;

  base::Result<void> take(std::size_t rounds, const std::array<Thing, kThings>& things) {
    for (std::size_t round = 0; round <= rounds; ++round) {
      for (std::size_t i = 0; i < kThings; ++i) {
        const auto figure = things[i]();
        if (!figure) return tl::unexpected(figure.error());
        if (round > 0) figures_[i].push_back(*figure);
      }
    }
    return {};
  }

  [[nodiscard]] Row row(const std::string& name, std::size_t ours, std::size_t reference) const {
    return row_of(name, "ms", comparison_of(figures_[ours], figures_[reference]));
  }

 private:
  std::array<std::vector<double>, kThings> figures_;
};

class CensusByIterator final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "census_iterator"; }
  [[nodiscard]] std::string summary() const override {
    return "What does a look by BPF iterator cost, beside one by sock_diag and beside ss?";
  }

  void answer(const Conditions& conditions, Report& report) override {
    pairs_ = conditions.pairs();
    ss_ = {find_program("ss"), "-tan"};
    mallopt(M_TRIM_THRESHOLD, 4 << 20);  // as `run` does
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    if (auto loaded = kernel::SocketIterator::load(); !loaded) return report.skip(name(), loaded.error());
    auto farm = SocketFarm::build(kMany);
    if (!farm) return report.skip(name(), farm.error());
    measure_rows(*farm, report, "load the iterator", [&] { return loading(); });
    measure_rows(*farm, report, "where a look by iterator spends its time", [&] { return split(); });
    if (ss_.front().empty()) return report.skip("look by iterator; beside ss -tan", "there is no ss in PATH");
    measure_rows(*farm, report, "look by iterator; beside sock_diag and ss -tan", [&] { return beside_others(); });
  }

 private:
  using Rows = base::Result<std::vector<Row>>;

  [[nodiscard]] Rows loading() const {
    std::vector<double> cost;
    for (std::size_t run = 0; run < pairs_; ++run) {
      const base::CpuStopwatch stopwatch;
      const auto iterator = kernel::SocketIterator::load();
      if (!iterator) return tl::unexpected(iterator.error());
      cost.push_back(in_milliseconds(stopwatch.elapsed()));
    }
    Row row;
    row.name = "load the iterator into the kernel";
    row.unit = "ms";
    row.ours = spread_of(cost);
    row.samples = pairs_;
    row.note = "the kernel keeps what it looked up: the first load after its start takes some 5 ms more";
    return std::vector<Row>{row};
  }

  /// The kernel's walk with next to no program, the walk with records, the whole look.
  [[nodiscard]] Rows split() const {
    auto census = census_by(kernel::LookMethod::kIterator);
    auto iterator = kernel::SocketIterator::load();
    if (!census) return tl::unexpected(census.error());
    if (!iterator) return tl::unexpected(iterator.error());
    Looks looks(std::move(*census));
    telemetry::PortSet listening;
    listening.set(SocketFarm::kPort);
    const telemetry::PortSet every = every_port();
    Turns<3> turns;
    const auto taken =
        turns.take(pairs_, {[&] { return walk_ms(*iterator, every); }, [&] { return walk_ms(*iterator, listening); },
                            [&] { return looks.next(); }});
    if (!taken) return tl::unexpected(taken.error());
    Row walk = turns.row("walk of 100000 that only counts; beside one with records: CPU", 0, 1);
    walk.note = "the kernel's own share: its table, and a lock for each live socket";
    Row records = turns.row("walk of 100000 with records, thrown away; beside the whole look: CPU", 1, 2);
    records.note = "75000 records; the listener's 25000 sockets stay in the kernel";
    return std::vector<Row>{walk, records};
  }

  [[nodiscard]] Rows beside_others() const {
    auto by_iterator = census_by(kernel::LookMethod::kIterator);
    auto by_sock_diag = census_by(kernel::LookMethod::kSockDiag);
    if (!by_iterator) return tl::unexpected(by_iterator.error());
    if (!by_sock_diag) return tl::unexpected(by_sock_diag.error());
    Looks iterator(std::move(*by_iterator));
    Looks sock_diag(std::move(*by_sock_diag));
    const auto ss_ms = [&]() -> base::Result<double> {
      const auto run = run_command(ss_);
      if (!run) return tl::unexpected(run.error());
      return in_milliseconds(run->cpu());
    };
    Turns<3> turns;
    const auto taken = turns.take(pairs_, {[&] { return iterator.next(); }, [&] { return sock_diag.next(); }, ss_ms});
    if (!taken) return tl::unexpected(taken.error());
    Row beside_ss = turns.row("look by iterator at 100000; beside ss -tan: CPU", 0, 2);
    beside_ss.bar = Bar{6};
    beside_ss.better = Better::kHigher;
    beside_ss.note = "a look of a running agent: the program is loaded";
    Row beside_sock_diag = turns.row("look by iterator at 100000; beside one by sock_diag: CPU", 0, 1);
    beside_sock_diag.note =
        "both leave the listener's 25000 sockets in the kernel; look.method = automatic takes the "
        "iterator where this is above 1.11";
    return std::vector<Row>{beside_ss, beside_sock_diag,
                            turns.row("look by sock_diag at 100000; beside ss -tan: CPU", 1, 2)};
  }

  std::size_t pairs_ = 0;
  std::vector<std::string> ss_;
};

const Registration kRegistration([] { return std::make_unique<CensusByIterator>(); });

}  // namespace
}  // namespace tidewaiter::bench
