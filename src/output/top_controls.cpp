// SPDX-License-Identifier: Apache-2.0
#include "output/top_controls.h"

#include <algorithm>

namespace tidewaiter::output {

void TopControls::press(Key key, const Document& status) {
  switch (key) {
    case Key::kUp:
    case Key::kDown:
    case Key::kFirst:
    case Key::kLast:
      return move(key, status);
    case Key::kDetails:
      has_details_ = !view().has_details;
      return;
    case Key::kByPressure:
      return order_by(TupleOrder::kPressure);
    case Key::kByFailures:
      return order_by(TupleOrder::kFailures);
    case Key::kByPortSearch:
      return order_by(TupleOrder::kPortSearch);
  }
}

void TopControls::order_by(TupleOrder order) {
  order_ = order;
  selected_.clear();
}

void TopControls::move(Key key, const Document& status) {
  const auto tuples = tuples_in_order(status, order_);
  if (tuples.empty()) return;
  const auto found =
      std::find_if(tuples.begin(), tuples.end(), [&](const Document* row) { return identity_of(*row) == selected_; });
  const std::ptrdiff_t last = std::ssize(tuples) - 1;
  std::ptrdiff_t place = found == tuples.end() ? 0 : found - tuples.begin();
  if (key == Key::kUp) place = std::max<std::ptrdiff_t>(place - 1, 0);
  if (key == Key::kDown) place = std::min(place + 1, last);
  if (key == Key::kFirst) place = 0;
  if (key == Key::kLast) place = last;
  selected_ = place == 0 ? "" : identity_of(*tuples[static_cast<std::size_t>(place)]);
}

ScreenView TopControls::view() const { return {lines_, order_, selected_, has_details_.value_or(lines_ >= kHigh)}; }

Line TopControls::help() const {
  const auto tone = [&](TupleOrder order) { return order == order_ ? Tone::kStrong : Tone::kFaint; };
  return {{Tone::kFaint, "q quits  ↑↓ select  Enter details  sort by: "},
          {tone(TupleOrder::kPressure), "p pressure"},
          {Tone::kFaint, "  "},
          {tone(TupleOrder::kFailures), "f failures"},
          {Tone::kFaint, "  "},
          {tone(TupleOrder::kPortSearch), "s search"}};
}

}  // namespace tidewaiter::output
