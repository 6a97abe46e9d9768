// SPDX-License-Identifier: Apache-2.0
#include "telemetry/send_delays.h"

#include <algorithm>

namespace tidewaiter::telemetry {
namespace {

void add_to(Histogram& histogram, base::Nanoseconds delay, SendDelays::Ending ending) {
  if (ending == SendDelays::Ending::kSent) {
    histogram.add(delay);
  } else {
    histogram.add_censored(delay);
  }
}

std::optional<Percentile> percentile_of(const Histogram& histogram) {
  const auto quantile = histogram.quantile(0.95);
  if (!quantile) return std::nullopt;
  const std::uint64_t count = histogram.observed() + histogram.censored();
  return Percentile{static_cast<double>(quantile->value.count()) / 1e3,
                    static_cast<std::uint32_t>(std::min<std::uint64_t>(count, UINT32_MAX))};
}

}  // namespace

void SendDelays::add(const Tuple& tuple, base::Instant at, base::Nanoseconds delay, Ending ending) {
  if (delay < base::Nanoseconds(0)) {
    ++negative_;
    return;
  }
  auto place = tuples_.find(tuple);
  if (place == tuples_.end()) {
    if (tuples_.size() >= max_tuples_) {
      ++omitted_;
      return;
    }
    place = tuples_.try_emplace(tuple).first;
  }
  Sends& sends = place->second;
  add_to(sends.window, delay, ending);
  sends.recent.at(sends.count++ % kEnough) = {at, delay, ending};
}

std::optional<Percentile> SendDelays::judge(const Sends& sends, base::Instant now) {
  if (sends.window.observed() + sends.window.censored() >= kEnough) return percentile_of(sends.window);
  Histogram recent;
  for (std::size_t i = 0; i < std::min<std::uint64_t>(sends.count, kEnough); ++i) {
    const Send& send = sends.recent.at(i);
    if (now - send.at <= kFarthest) add_to(recent, send.delay, send.ending);
  }
  return percentile_of(recent);
}

void SendDelays::close(base::Instant now, const Visitor& visit) {
  for (auto place = tuples_.begin(); place != tuples_.end();) {
    auto& [tuple, sends] = *place;
    sends.p95 = judge(sends, now);
    if (!sends.window.empty()) {
      visit(tuple, sends.window);
      sends.window.clear();
    }
    place = sends.p95 ? std::next(place) : tuples_.erase(place);
  }
}

std::optional<Percentile> SendDelays::of(const Tuple& tuple) const {
  for (const Tuple& key : {tuple, Tuple{{}, tuple.destination, tuple.destination_port}}) {
    if (const auto place = tuples_.find(key); place != tuples_.end()) return place->second.p95;
  }
  return std::nullopt;
}

}  // namespace tidewaiter::telemetry
