// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tidewaiter::board {

/// A struct of the wire as the words that cross the shared memory.
template <class Struct>
using WordsOf = std::array<std::uint64_t, sizeof(Struct) / sizeof(std::uint64_t)>;

template <class Struct>
[[nodiscard]] WordsOf<Struct> words_of(const Struct& value) {
  return std::bit_cast<WordsOf<Struct>>(value);
}

/// How often a reader tries before it calls a record unreadable: some microseconds, hundreds of times what a writer
/// needs for one record.
inline constexpr int kReadAttempts = 64;

/// Tells the processor that this is a spin.
inline void pause_spin() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" : : : "memory");
#endif
}

/// Replaces the words after `sequence` so that no reader takes a mixture for a value. One writer only.
///
/// After Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012): the release fence keeps
/// the words behind the odd number, the release store keeps them before the even one.
template <std::size_t kCount>
void store_sequenced(std::uint64_t* sequence, const std::array<std::uint64_t, kCount>& words) {
  const std::uint64_t before = __atomic_load_n(sequence, __ATOMIC_RELAXED);
  __atomic_store_n(sequence, before + 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (std::size_t i = 0; i < kCount; ++i) __atomic_store_n(sequence + 1 + i, words[i], __ATOMIC_RELAXED);
  __atomic_store_n(sequence, before + 2, __ATOMIC_RELEASE);
}

/// Copies the words after `sequence`. False, with `words` in any state, when no attempt met a writer at rest: it is
/// suspended or died in mid-write.
template <std::size_t kCount>
[[nodiscard]] bool load_sequenced(const std::uint64_t* sequence, std::array<std::uint64_t, kCount>& words) {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const std::uint64_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
    if (before % 2 == 0) {
#pragma GCC unroll 32  // 10 ns of a record's 25
      for (std::size_t i = 0; i < kCount; ++i) words[i] = __atomic_load_n(sequence + 1 + i, __ATOMIC_RELAXED);
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
      if (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before) return true;
    }
    pause_spin();
  }
  return false;
}

}  // namespace tidewaiter::board
