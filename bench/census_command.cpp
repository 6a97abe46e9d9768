// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/resource.h>

#include "base/stopwatch.h"
#include "bench/dump_reader.h"
#include "bench/question.h"
#include "bench/socket_farm.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kSockets = 100'000;

/// Counts per remote address and state, the way a careful person writes it.
constexpr const char* kPipeline =
    "awk 'FNR > 1 { count[substr($3, 1, 8) \" \" $4]++ } END { for (key in count) print count[key], key }' "
    "/proc/net/tcp | sort -rn";

/// The same as it is usually written.
constexpr const char* kSortedPipeline = "awk 'FNR > 1 { print substr($3, 1, 8), $4 }' /proc/net/tcp | sort | uniq -c";

double wall_ms(const CommandCost& cost) { return in_milliseconds(cost.wall); }
double cpu_ms(const CommandCost& cost) { return in_milliseconds(cost.cpu()); }
double user_ms(const CommandCost& cost) { return in_milliseconds(cost.user); }
double system_ms(const CommandCost& cost) { return in_milliseconds(cost.system); }
double resident_mb(const CommandCost& cost) { return cost.resident_peak_bytes / 1e6; }

Row with_bar(Row row, Bar bar, Better better, std::string note = {}) {
  row.bar = bar;
  row.better = better;
  row.note = std::move(note);
  return row;
}

std::string resident_note() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return fmt::format("a program starts with the mark of who starts it: nothing below {:.1f} MB could be seen",
                     static_cast<double>(usage.ru_maxrss) * 1024 / 1e6);
}

class CensusCommand final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "census_command"; }
  [[nodiscard]] std::string summary() const override {
    return "What does a census of 100000 sockets cost, beside ss and a shell pipeline?";
  }

  void answer(const Conditions& conditions, Report& report) override {
    pairs_ = conditions.pairs();
    census_ = {conditions.program, "census", "--json"};
    full_census_ = {conditions.program, "census", "--json", "--full"};
    two_looks_ = {conditions.program, "census", "--json", "--interval", "100ms"};
    ss_ = {find_program("ss"), "-tan"};
    auto farm = SocketFarm::build(kSockets);
    if (!farm) return report.skip(name(), farm.error());
    if (ss_.front().empty()) {
      report.skip("census --json; beside ss -tan", "there is no ss in PATH");
    } else {
      measure_rows(*farm, report, "census --json; beside ss -tan", [&] { return beside_ss(); });
      measure_rows(*farm, report, "census --json --full; beside ss -tan", [&] { return full_beside_ss(); });
      measure_rows(*farm, report, "reading the dump and nothing else; beside ss -tan",
                   [&] { return floor_beside_ss(); });
      measure_rows(*farm, report, "census --json --interval; beside ss -tan", [&] { return two_looks_beside_ss(); });
    }
    if (find_program("awk").empty() || find_program("sort").empty() || find_program("uniq").empty()) {
      report.skip("census --json; beside a pipeline", "awk, sort and uniq are not all in PATH");
    } else {
      measure_rows(*farm, report, "census --json; beside a pipeline", [&] { return beside_pipelines(); });
    }
    measure_rows(*farm, report, "census --json; the kernel's share", [&] { return kernel_share(); });
  }

 private:
  using Rows = base::Result<std::vector<Row>>;

  [[nodiscard]] Rows beside_ss() const {
    const auto pairs = compare_commands(pairs_, census_, ss_);
    if (!pairs) return tl::unexpected(pairs.error());
    const std::string split_note =
        "the split of user and system time is sampled by the kernel's tick; their sum is exact";
    Row user = row_of("census --json at 100000; beside ss -tan: user time", "ms", pairs->by(user_ms));
    Row system = row_of("census --json at 100000; beside ss -tan: system time", "ms", pairs->by(system_ms));
    user.note = system.note = split_note;
    user.ratio = system.ratio = std::nullopt;  // a tick may find no user time at all
    return std::vector<Row>{
        with_bar(row_of("census --json at 100000; beside ss -tan: wall", "ms", pairs->by(wall_ms)), {6},
                 Better::kHigher),
        with_bar(row_of("census --json at 100000; beside ss -tan: CPU", "ms", pairs->by(cpu_ms)), {6}, Better::kHigher),
        user, system,
        with_bar(row_of("census --json at 100000; beside ss -tan: peak resident", "MB", pairs->by(resident_mb)),
                 {25, Bar::On::kOurs}, Better::kLower, resident_note())};
  }

  [[nodiscard]] Rows full_beside_ss() const {
    const auto pairs = compare_commands(pairs_, full_census_, ss_);
    if (!pairs) return tl::unexpected(pairs.error());
    std::vector<Row> rows{row_of("census --json --full at 100000; beside ss -tan: wall", "ms", pairs->by(wall_ms)),
                          row_of("census --json --full at 100000; beside ss -tan: CPU", "ms", pairs->by(cpu_ms))};
    for (Row& row : rows)
      row.note = "every socket is transferred, as in ss; the default leaves the listener's 25000 out";
    return rows;
  }

  [[nodiscard]] Rows two_looks_beside_ss() const {
    const auto pairs = compare_commands(pairs_, two_looks_, ss_);
    if (!pairs) return tl::unexpected(pairs.error());
    return std::vector<Row>{with_bar(
        row_of("census --json --interval 100ms at 100000; beside ss -tan: peak resident", "MB", pairs->by(resident_mb)),
        {25, Bar::On::kOurs}, Better::kLower, resident_note())};
  }

  /// What is left to win: no program that asks the kernel this way can be faster than this.
  [[nodiscard]] Rows floor_beside_ss() const {
    std::vector<Row> rows;
    for (const bool leaves_out_listeners : {true, false}) {
      kernel::DiagRequest request = every_connection();
      if (leaves_out_listeners) request.except_ports = {SocketFarm::kPort};
      std::vector<double> walls;
      std::vector<double> reference_walls;
      for (std::size_t pair = 0; pair <= pairs_; ++pair) {
        const base::Stopwatch stopwatch;
        auto reader = DumpReader::open();
        if (!reader) return tl::unexpected(reader.error());
        if (auto read = reader->read(request, [](auto) {}); !read) return tl::unexpected(read.error());
        const double wall = in_milliseconds(stopwatch.elapsed());
        const auto reference = run_command(ss_);
        if (!reference) return tl::unexpected(reference.error());
        if (pair == 0) continue;
        walls.push_back(wall);
        reference_walls.push_back(wall_ms(*reference));
      }
      rows.push_back(row_of(leaves_out_listeners ? "dump only, as census asks, at 100000; beside ss -tan: wall"
                                                 : "dump only, all sockets, at 100000; beside ss -tan: wall",
                            "ms", comparison_of(walls, reference_walls)));
      rows.back().note = "the dump read and thrown away, in this process: the most that the ratio can become";
    }
    return rows;
  }

  [[nodiscard]] Rows beside_pipelines() const {
    const auto by_awk = compare_commands(pairs_, census_, {"/bin/sh", "-c", kPipeline});
    if (!by_awk) return tl::unexpected(by_awk.error());
    const auto by_sort = compare_commands(pairs_, census_, {"/bin/sh", "-c", kSortedPipeline});
    if (!by_sort) return tl::unexpected(by_sort.error());
    Row sorted = row_of("census --json at 100000; beside awk | sort | uniq -c: wall", "ms", by_sort->by(wall_ms));
    sorted.note = kSortedPipeline;
    return std::vector<Row>{
        with_bar(row_of("census --json at 100000; beside awk | sort: wall", "ms", by_awk->by(wall_ms)), {10},
                 Better::kHigher, kPipeline),
        sorted};
  }

  /// What the program says of itself, beside how long it took.
  [[nodiscard]] Rows kernel_share() const {
    std::vector<double> in_kernel;
    std::vector<double> wall;
    for (std::size_t run = 0; run < pairs_; ++run) {
      const auto cost = run_command(census_, Output::kCapture);
      if (!cost) return tl::unexpected(cost.error());
      const auto document = Document::parse(cost->output, nullptr, false);
      const auto field = Document::json_pointer("/cost/kernel_us");
      if (document.is_discarded() || !document.contains(field)) {
        return base::fail(base::ErrorCode::kMalformed, "the document has no cost.kernel_us");
      }
      in_kernel.push_back(document[field].get<double>() / 1000);
      wall.push_back(wall_ms(*cost));
    }
    Row row = row_of("census --json at 100000: inside the dump's system calls; beside all of it", "ms",
                     comparison_of(in_kernel, wall));
    row.note = fmt::format("cost.kernel_us is {:.0f} % of the wall time", 100 / row.ratio->median);
    return std::vector<Row>{row};
  }

  std::size_t pairs_ = 0;
  std::vector<std::string> census_;
  std::vector<std::string> full_census_;
  std::vector<std::string> two_looks_;
  std::vector<std::string> ss_;
};

const Registration kRegistration([] { return std::make_unique<CensusCommand>(); });

}  // namespace
}  // namespace tidewaiter::bench
