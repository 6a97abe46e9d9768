// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <tuple>

#include "bench/dump_reader.h"
#include "bench/dump_synthesis.h"
#include "bench/question.h"
#include "bench/socket_farm.h"
#include "kernel/diag_wire.h"
#include "output/census_view.h"
#include "output/documents.h"
#include "telemetry/census_builder.h"

namespace tidewaiter::bench {
namespace {

constexpr std::size_t kPerTuple = 1'000;  // the same at every size: a tuple has a cost of its own
constexpr std::size_t kCaptured = 10'000;

class NoRows final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow& row) override { keep(row); }
  void on_restart() override {}
};

std::size_t parse(const Datagrams& datagrams, telemetry::RowSink& sink) {
  std::size_t rows = 0;
  for (const auto& datagram : datagrams) {
    rows += kernel::parse_dump(datagram, DumpReader::kSequence, sink).value_or(kernel::DiagChunk{}).rows;
  }
  return rows;
}

/// The user-space way of a dump, in the stages of the program.
class Pipeline {
 public:
  explicit Pipeline(Datagrams datagrams) : datagrams_(std::move(datagrams)) {
    telemetry::SocketRow listener;
    listener.state = telemetry::TcpState::kListen;
    listener.local = telemetry::Address::v4(0);
    listener.local_port = SocketFarm::kPort;
    listeners_.on_row(listener);
    NoRows nothing;
    rows_ = static_cast<double>(parse(datagrams_, nothing));
    sample_ = built();
  }

  [[nodiscard]] double rows() const { return rows_; }
  [[nodiscard]] const Datagrams& datagrams() const { return datagrams_; }

  [[nodiscard]] telemetry::Sample built() {
    telemetry::Sample sample;
    telemetry::CensusBuilder builder(ports_, listeners_);
    parse(datagrams_, builder);
    builder.finish(sample);
    return sample;
  }

  [[nodiscard]] Repeated parsing() {
    return Repeated(
        [this] {
          NoRows nothing;
          keep(parse(datagrams_, nothing));
        },
        rows_);
  }

  [[nodiscard]] Repeated building() {
    return Repeated([this] { keep(built()); }, rows_);
  }

  [[nodiscard]] Repeated viewing() {
    return Repeated([this] { keep(output::view_of(sample_, nullptr, options_)); }, rows_);
  }

  /// With the text of the document, which is what leaves the program.
  [[nodiscard]] Repeated writing() {
    return Repeated([this] { keep(output::census_document(output::view_of(sample_, nullptr, options_)).dump()); },
                    rows_);
  }

  /// All but the text.
  [[nodiscard]] Repeated everything() {
    return Repeated(
        [this] {
          const telemetry::Sample sample = built();
          keep(output::census_document(output::view_of(sample, nullptr, options_)));
        },
        rows_);
  }

 private:
  Datagrams datagrams_;
  telemetry::PortSettings ports_;
  telemetry::ListenerBuilder listeners_;
  model::OutlookOptions options_;
  telemetry::Sample sample_;
  double rows_ = 0;
};

std::string text_of(const DumpShape& shape) {
  std::string text;
  for (const auto& [state, kinds] : shape) {
    for (const auto& [length, attributes] : kinds) {
      text += fmt::format(" state {}: {} bytes, attributes [{}];", state, length, fmt::join(attributes, " "));
    }
  }
  return text;
}

base::Result<Datagrams> capture() {
  auto reader = DumpReader::open();
  if (!reader) return tl::unexpected(reader.error());
  Datagrams datagrams;
  const auto read = reader->read(every_connection(), [&](std::span<const std::byte> datagram) {
    datagrams.emplace_back(datagram.begin(), datagram.end());
  });
  if (!read) return tl::unexpected(read.error());
  return datagrams;
}

class CensusScaling final : public Question {
 public:
  [[nodiscard]] std::string name() const override { return "census_scaling"; }
  [[nodiscard]] std::string summary() const override {
    return "Does our own work per socket stay the same from 1000 to 100000 sockets?";
  }

  void answer(const Conditions& conditions, Report& report) override {
    pairs_ = conditions.pairs();
    Pipeline small(synthesize({1'000, 1'000 / kPerTuple}));
    Pipeline middle(synthesize({10'000, 10'000 / kPerTuple}));
    Pipeline large(synthesize({100'000, 100'000 / kPerTuple}));
    const std::string included =
        "parse_dump, CensusBuilder, finish, view_of, census_document; 1000 sockets per tuple, half in TIME_WAIT; "
        "no system call, no text of the document";
    for (auto [pipeline, label, is_promised] :
         {std::tuple{&middle, "10000", false}, std::tuple{&large, "100000", true}}) {
      Row row = row_of(fmt::format("census in user space per socket, {}; beside 1000", label), "ns",
                       compare(pairs_, pipeline->everything(), small.everything()));
      if (is_promised) row.bar = Bar{1.2};
      row.better = Better::kEven;
      row.note = included;
      report.add(row);
    }
    stages(large, report);
    validate(report);
  }

 private:
  void stages(Pipeline& large, Report& report) const {
    const auto add = [&](const std::string& stage, const Repeated& work) {
      report.add(row_of(fmt::format("census in user space per socket, 100000: {}; beside all", stage), "ns",
                        compare(pairs_, work, large.everything())));
    };
    add("parse only", large.parsing());
    add("parse, build, finish", large.building());
    add("view only", large.viewing());
    add("view, document, text", large.writing());
    Pipeline few(synthesize({100'000, SocketFarm::kDestinations}));
    report.add(row_of("census in user space per socket, 100000: 64 tuples; beside 100", "ns",
                      compare(pairs_, few.everything(), large.everything())));
  }

  /// Are the made-up dumps like the kernel's?
  void validate(Report& report) const {
    const std::string row_name = "census in user space per socket, 10000: made-up dump; beside a real one";
    auto farm = SocketFarm::build(kCaptured);
    if (!farm) return report.skip(row_name, farm.error());
    base::Result<Datagrams> captured;
    const auto done = farm->measure([&]() -> base::Result<void> {
      captured = capture();
      if (!captured) return tl::unexpected(captured.error());
      return {};
    });
    if (!done) return report.skip(row_name, done.error());
    Pipeline real(std::move(*captured));
    Pipeline made_up(synthesize({kCaptured, SocketFarm::kDestinations, true}));
    const auto real_shape = shape_of(real.datagrams());
    const auto our_shape = shape_of(made_up.datagrams());
    Row row = row_of(row_name, "ns", compare(pairs_, made_up.everything(), real.everything()));
    row.note = real_shape == our_shape
                   ? "same message lengths and attributes in every state"
                   : fmt::format("shapes differ: made up{} real{}", text_of(our_shape), text_of(real_shape));
    row.better = Better::kEven;
    report.add(row);
  }

  std::size_t pairs_ = 0;
};

const Registration kRegistration([] { return std::make_unique<CensusScaling>(); });

}  // namespace
}  // namespace tidewaiter::bench
