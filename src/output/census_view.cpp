// SPDX-License-Identifier: Apache-2.0
#include "output/census_view.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <tuple>

namespace tidewaiter::output {
namespace {

model::Outlook outlook_on(const telemetry::TupleSample& tuple, const telemetry::PortPlan& plan,
                          const telemetry::DemandTracker* demand, const model::OutlookOptions& options) {
  const telemetry::TupleDemand* known = demand == nullptr ? nullptr : demand->find(tuple.tuple);
  if (known == nullptr) return model::outlook_of(tuple, plan, std::nullopt, options);
  const telemetry::PortFlow& flow = known->flow;
  // Without an estimate (a tuple that had no free port from the first look on) what was opened says nothing.
  const auto offered = known->offered.per_second();
  auto outlook =
      model::outlook_of(tuple, plan, offered ? std::optional(model::demand_of(flow, offered)) : std::nullopt, options);
  outlook.opened_per_s = flow.per_second(flow.opened);
  outlook.closed_per_s = flow.per_second(flow.closed_to_time_wait + flow.closed_free);
  return outlook;
}

tl::unexpected<base::Error> not_a_destination(const std::string& text) {
  return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("'{}' is not a destination", text),
                    "ADDRESS, ADDRESS:PORT, [IPV6]:PORT or :PORT");
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

auto rank(const TupleView& view) {
  // A tuple without a ratio has no capacity at all: nothing is worse.
  return std::tuple(-view.outlook.pressure.ppr.value_or(2.0), view.sample->tuple.destination,
                    view.sample->tuple.destination_port, view.sample->tuple.source);
}

}  // namespace

base::Result<TupleFilter> parse_tuple_filter(const std::string& text) {
  TupleFilter filter;
  if (text.empty()) return filter;
  // An address by itself first: IPv6 has colons of its own.
  if ((filter.destination = telemetry::parse_address(text))) return filter;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return not_a_destination(text);
  std::string address = text.substr(0, colon);
  const bool is_bracketed = address.size() >= 2 && address.front() == '[' && address.back() == ']';
  if (is_bracketed) address = address.substr(1, address.size() - 2);
  if (!address.empty()) {
    filter.destination = telemetry::parse_address(address);
    if (!filter.destination || filter.destination->is_v4() == is_bracketed) return not_a_destination(text);
  }
  filter.destination_port = parse_port(std::string_view(text).substr(colon + 1));
  if (!filter.destination_port) return not_a_destination(text);
  return filter;
}

CensusView view_of(const telemetry::Sample& sample, const telemetry::DemandTracker* demand,
                   const model::OutlookOptions& options, const TupleFilter& filter) {
  CensusView view;
  view.sample = &sample;
  view.host = telemetry::host_pressure_of(sample);
  for (const telemetry::TupleSample& tuple : sample.tuples) {
    if (!filter.accepts(tuple.tuple)) continue;
    view.tuples.push_back({&tuple, outlook_on(tuple, sample.plan, demand, options)});
  }
  std::sort(view.tuples.begin(), view.tuples.end(),
            [](const TupleView& left, const TupleView& right) { return rank(left) < rank(right); });
  return view;
}

}  // namespace tidewaiter::output
