// SPDX-License-Identifier: Apache-2.0
#include "bench/question.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <string_view>

namespace tidewaiter::bench {
namespace {

std::vector<QuestionFactory>& factories() {
  static std::vector<QuestionFactory> list;
  return list;
}

std::string_view name_of(Better better) {
  switch (better) {
    case Better::kLower:
      return "lower";
    case Better::kHigher:
      return "higher";
    case Better::kEven:
      return "even";
  }
  return "";
}

Document median_of(const std::optional<Spread>& spread) {
  return spread ? Document(spread->median) : Document(nullptr);
}

Document quartiles_of(const std::optional<Spread>& spread) {
  return spread ? Document{spread->lower_quartile, spread->upper_quartile} : Document(nullptr);
}

}  // namespace

std::optional<bool> Row::passes() const {
  if (!bar) return std::nullopt;
  if (bar->on == Bar::On::kRatio && !ratio) return std::nullopt;
  const double figure = bar->on == Bar::On::kOurs ? ours.median : ratio->median;
  switch (better) {
    case Better::kLower:
      return figure <= bar->value;
    case Better::kHigher:
      return figure >= bar->value;
    case Better::kEven:
      return std::max(figure, 1 / figure) <= bar->value;
  }
  return std::nullopt;
}

Row row_of(std::string name, std::string unit, const Comparison& comparison) {
  return {.name = std::move(name),
          .unit = std::move(unit),
          .ours = comparison.ours,
          .reference = comparison.reference,
          .ratio = comparison.ratio,
          .samples = comparison.pairs};
}

void Report::add(const Row& row) {
  const auto pass = row.passes();
  rows_.push_back({{"name", row.name},
                   {"unit", row.unit},
                   {"ours", row.ours.median},
                   {"reference", median_of(row.reference)},
                   {"ratio", median_of(row.ratio)},
                   {"bar", row.bar ? Document(row.bar->value) : Document(nullptr)},
                   {"bar_on", row.bar ? Document(row.bar->on == Bar::On::kOurs ? "ours" : "ratio") : Document(nullptr)},
                   {"better", name_of(row.better)},
                   {"pass", pass ? Document(*pass) : Document(nullptr)},
                   {"samples", row.samples},
                   {"spread",
                    {{"ours", quartiles_of(row.ours)},
                     {"reference", quartiles_of(row.reference)},
                     {"ratio", quartiles_of(row.ratio)}}},
                   {"note", row.note}});
}

void Report::skip(const std::string& name, const std::string& reason) {
  rows_.push_back({{"name", name}, {"skipped", reason}});
}

void Report::skip(const std::string& name, const base::Error& error) { skip(name, error.message()); }

Registration::Registration(QuestionFactory factory) { factories().push_back(std::move(factory)); }

std::vector<std::unique_ptr<Question>> make_questions() {
  std::vector<std::unique_ptr<Question>> questions;
  for (const QuestionFactory& factory : factories()) questions.push_back(factory());
  std::sort(questions.begin(), questions.end(),
            [](const auto& left, const auto& right) { return left->name() < right->name(); });
  return questions;
}

void progress(const std::string& text) { fmt::print(stderr, "bench: {}\n", text); }

}  // namespace tidewaiter::bench
