// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/harness.h"

namespace tidewaiter::bench {

using Document = nlohmann::ordered_json;

/// What a bar asks of the figure that it stands on. kEven: within a factor of the bar, upwards or downwards.
enum class Better : std::uint8_t { kLower, kHigher, kEven };

/// A promise, and the figure that it is about.
struct Bar {
  enum class On : std::uint8_t { kOurs, kRatio };
  double value = 0;
  On on = On::kRatio;
};

/// One line of the result.
struct Row {
  std::string name;
  std::string unit;
  Spread ours;
  std::optional<Spread> reference = std::nullopt;
  std::optional<Spread> ratio = std::nullopt;  ///< reference / ours, pair by pair
  std::optional<Bar> bar = std::nullopt;
  Better better = Better::kLower;  ///< of the figure under the bar; without a bar, of `ours`
  std::size_t samples = 0;
  std::string note = {};

  /// Absent without a bar.
  [[nodiscard]] std::optional<bool> passes() const;
};

/// A row from a comparison: everything but bar and note.
[[nodiscard]] Row row_of(std::string name, std::string unit, const Comparison& comparison);

/// What a question answered: rows as they stand in the JSON file, and reasons for those that are missing.
class Report {
 public:
  void add(const Row& row);
  void skip(const std::string& name, const std::string& reason);
  void skip(const std::string& name, const base::Error& error);

  [[nodiscard]] const Document& rows() const { return rows_; }

 private:
  Document rows_ = Document::array();
};

struct Conditions {
  std::string program;  ///< the tidewaiter under test
  bool is_quick = false;

  /// Pairs to measure.
  [[nodiscard]] std::size_t pairs() const { return is_quick ? 3 : 15; }
};

/// Something that is worth knowing about speed. Each is answered in a process of its own, which may enter namespaces,
/// grow and crash without touching the next one.
class Question {
 public:
  virtual ~Question() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string summary() const = 0;
  virtual void answer(const Conditions& conditions, Report& report) = 0;
};

using QuestionFactory = std::function<std::unique_ptr<Question>()>;

/// Adds a question before main() starts.
class Registration {
 public:
  explicit Registration(QuestionFactory factory);
};

/// Every registered question, by name.
[[nodiscard]] std::vector<std::unique_ptr<Question>> make_questions();

/// One line on standard error.
void progress(const std::string& text);

}  // namespace tidewaiter::bench
