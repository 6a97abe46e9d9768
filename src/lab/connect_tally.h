// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "output/documents.h"

namespace tidewaiter::lab {

/// What became of the connects to a tuple, by the names of the documents: "attempts", "established", the causes of
/// failures, "port_probes", "pre_syn", "syn_retransmits", "retries". What did not happen is not in it.
using Tally = std::map<std::string, std::uint64_t, std::less<>>;

/// Of a document's `connects`. "pre_syn" is there what failed before a source address was chosen: whether the agent saw
/// the reason (`unreachable`) or not (`pre_syn_unattributed`) depends on what it was looking at just then. So it is
/// told apart only where there was a source address.
enum class Source : std::uint8_t { kChosen, kUnspecified };
[[nodiscard]] Tally read_tally(const output::Document& connects, Source source);

void add(Tally& sum, const Tally& tally);

/// How many are too many or too few, over all names.
[[nodiscard]] std::uint64_t distance(const Tally& left, const Tally& right);

/// "20 attempts, 20 refused, 19 retries".
[[nodiscard]] std::string to_string(const Tally& tally);

}  // namespace tidewaiter::lab
