// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "telemetry/sample.h"

namespace tidewaiter::telemetry {

/// Finds the place of a tuple in a list of samples, or appends it: a hash table with open addressing whose slots are
/// eight bytes, so that the look-up for each socket touches one cache line. The tuples themselves stay in the list.
class TupleIndex {
 public:
  TupleIndex() : slots_(kSmallest) {}

  /// The sample of `tuple` in `samples`, appended when it is new. Between calls nobody else changes `samples`.
  [[nodiscard]] TupleSample& find_or_append(const Tuple& tuple, std::vector<TupleSample>& samples) {
    const std::uint64_t hash = std::hash<Tuple>()(tuple);
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    while (slots_[at].place != 0) {
      if (slots_[at].tag == tag && samples[slots_[at].place - 1].tuple == tuple) return samples[slots_[at].place - 1];
      at = (at + 1) & mask;
    }
    samples.push_back(TupleSample{tuple, {}, {}});
    slots_[at] = {tag, static_cast<std::uint32_t>(samples.size())};
    if (samples.size() * 2 > slots_.size()) grow(samples);
    return samples.back();
  }

  void clear() { slots_.assign(kSmallest, {}); }

 private:
  static constexpr std::size_t kSmallest = 256;
  static_assert(std::has_single_bit(kSmallest));

  struct Slot {
    std::uint32_t tag = 0;    ///< upper half of the hash
    std::uint32_t place = 0;  ///< index in the list + 1; 0 = empty
  };

  void grow(const std::vector<TupleSample>& samples) {
    slots_.assign(slots_.size() * 2, {});
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::uint64_t hash = std::hash<Tuple>()(samples[i].tuple);
      std::size_t at = hash & mask;
      while (slots_[at].place != 0) at = (at + 1) & mask;
      slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(i + 1)};
    }
  }

  std::vector<Slot> slots_;
};

}  // namespace tidewaiter::telemetry
