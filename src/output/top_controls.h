// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "output/documents.h"
#include "output/screen.h"
#include "output/status_screen.h"

namespace tidewaiter::output {

/// What a person who watches an agent has chosen: the order of tuples, which one is selected, whether its details are
/// shown. Terminals and time are the caller's. Thread: one.
class TopControls {
 public:
  enum class Key : std::uint8_t { kUp, kDown, kFirst, kLast, kDetails, kByPressure, kByFailures, kByPortSearch };

  /// The screen has that many lines for the status. On a high one details are shown unless chosen otherwise.
  void resize(int lines) { lines_ = lines; }

  /// `status`: what is on the screen; the selection moves in its order. A new order selects its first tuple, whichever
  /// that is from then on.
  void press(Key key, const Document& status);

  [[nodiscard]] ScreenView view() const;

  /// The keys, the order in use marked: a line of less than 80 columns.
  [[nodiscard]] Line help() const;

 private:
  static constexpr int kHigh = 30;

  void order_by(TupleOrder order);
  void move(Key key, const Document& status);

  int lines_ = 24;
  TupleOrder order_ = TupleOrder::kPressure;
  std::string selected_;  ///< identity_of() a tuple; empty: the first
  std::optional<bool> has_details_;
};

}  // namespace tidewaiter::output
