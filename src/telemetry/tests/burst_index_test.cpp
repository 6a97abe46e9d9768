// SPDX-License-Identifier: Apache-2.0
#include "telemetry/burst_index.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <rapidcheck.h>
#include <string>
#include <vector>

namespace tidewaiter::telemetry {
namespace {

using base::Instant;
using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;

constexpr int kClients = 200;

Instant at(double seconds) { return Instant(Nanoseconds(std::llround(seconds * 1e9))); }

/// Uniform draws that are the same on every standard library.
class Dice {
 public:
  double operator()(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }

 private:
  std::mt19937_64 engine_{20'261'121};
};

/// Retry times in seconds, in any order, and the time at which they are looked at.
struct Scene {
  std::vector<double> retries;
  double now = 0;

  [[nodiscard]] std::vector<Instant> window() const {
    std::vector<Instant> times;
    for (const double retry : retries) {
      if (retry > now - 5 && retry <= now) {
        times.push_back(at(retry));
      }
    }
    std::sort(times.begin(), times.end());
    return times;
  }
};

/// All clients within `spread` seconds of a common tick.
Scene in_step(Dice& dice, double period, double spread) {
  Scene scene{.retries = {}, .now = 20 + dice(0, period)};
  for (int tick = 0; tick * period < scene.now; ++tick) {
    for (int client = 0; client < kClients; ++client) {
      scene.retries.push_back(tick * period + dice(0, spread));
    }
  }
  return scene;
}

Scene exponential_without_jitter(Dice& dice, double base, double cap, double now) {
  Scene scene{.retries = {}, .now = now};
  double tick = base;
  for (int attempt = 1; tick < now; ++attempt) {
    for (int client = 0; client < kClients; ++client) {
      scene.retries.push_back(tick + dice(0, 0.005));
    }
    tick += std::min(cap, std::ldexp(base, attempt));
  }
  return scene;
}

Scene even(Dice& dice, int per_second) {
  Scene scene{.retries = {}, .now = 5};
  for (int i = 0; i < 5 * per_second; ++i) {
    scene.retries.push_back(dice(0, 5));
  }
  return scene;
}

/// Each client on its own from a common failure at 0: waits(attempt) seconds between its retries.
Scene after_failure(double now, const std::function<double(int attempt)>& waits) {
  Scene scene{.retries = {}, .now = now};
  for (int client = 0; client < kClients; ++client) {
    double time = 0;
    for (int attempt = 0; time <= now; ++attempt) {
      time += waits(attempt);
      scene.retries.push_back(time);
    }
  }
  return scene;
}

Scene full_jitter(Dice& dice, double base, double cap, double now) {
  return after_failure(now, [&](int attempt) { return dice(0, std::min(cap, std::ldexp(base, attempt))); });
}

BurstIndex fed(const Scene& scene) {
  BurstIndex slots;
  for (const Instant time : scene.window()) {
    slots.add(time);
  }
  return slots;
}

BurstReading exact(const Scene& scene, BurstWidth width) {
  const Nanoseconds w = duration(width);
  return burst_reading(count_pairs(scene.window(), w), w, burst_window(w));
}

struct Row {
  std::string name;
  std::vector<std::optional<double>> cells;  // at 20, 100, 250 ms; absent where the table states none
  double tolerance = 0;
  std::function<Scene(Dice&)> draw;
};

/// docs/design/bursts.md, row by row.
std::vector<Row> reference_table() {
  const auto ticks = [](double period, double spread) {
    return [=](Dice& dice) { return in_step(dice, period, spread); };
  };
  return {
      {"every 1 s", {1.00, 0.99, 0.99}, 0.01, ticks(1, 0.005)},
      {"every 3 s", {1.00, 0.99, 0.99}, 0.01, ticks(3, 0.005)},
      {"exponential from 1 s",
       {1.00, 0.99, 0.99},
       0.01,
       [](Dice& dice) { return exponential_without_jitter(dice, 1, 1e9, 8); }},
      {"exponential at its cap",
       {1.00, 0.99, 0.99},
       0.01,
       [](Dice& dice) { return exponential_without_jitter(dice, 0.1, 5, 33); }},
      {"every 0.25 s", {1.00, 0.75, 0.01}, 0.02, ticks(0.25, 0.005)},
      {"every 0.1 s", {1.00, 0.00, 0.17}, 0.02, ticks(0.1, 0.005)},
      {"every 0.05 s", {0.75, 0.00, 0.00}, 0.02, ticks(0.05, 0.005)},
      {"every 1 s, 0.1 s wide", {0.26, 0.91, 0.99}, 0.02, ticks(1, 0.1)},
      {"every 1 s, 0.3 s wide", {0.09, 0.45, 0.86}, 0.02, ticks(1, 0.3)},
      {"even, 200/s", {0.02, 0.01, 0.00}, 0.02, [](Dice& dice) { return even(dice, 200); }},
      {"even, 50/s", {0.04, 0.01, 0.01}, 0.02, [](Dice& dice) { return even(dice, 50); }},
      {"full jitter, steady",
       {std::nullopt, 0.01, 0.01},
       0.02,
       [](Dice& dice) { return full_jitter(dice, 0.1, 5, 60); }},
      {"full jitter, 3 s after",
       {std::nullopt, 0.02, 0.04},
       0.02,
       [](Dice& dice) { return full_jitter(dice, 2, 5, 3); }},
      {"full jitter, 1 s after",
       {std::nullopt, 0.10, 0.30},
       0.03,
       [](Dice& dice) { return full_jitter(dice, 2, 5, 1); }},
      {"20 % jitter, 4 s after",
       {std::nullopt, 0.24, 0.60},
       0.05,
       [](Dice& dice) { return after_failure(4, [&](int) { return dice(0.8, 1.2); }); }},
  };
}

using Reader = std::function<BurstReading(const Scene&, BurstWidth)>;

/// Means over fixed draws against every cell that the table states.
void expect_reference_table(const Reader& read) {
  constexpr int kDraws = 40;
  Dice dice;
  for (const Row& row : reference_table()) {
    std::vector<double> means(row.cells.size());
    for (int draw = 0; draw < kDraws; ++draw) {
      const Scene scene = row.draw(dice);
      for (std::size_t i = 0; i < means.size(); ++i) {
        const auto reading = read(scene, kBurstWidths[i]);
        ASSERT_TRUE(reading.value) << row.name << " has few pairs: " << reading.pairs.wide;
        means[i] += *reading.value / kDraws;
      }
    }
    for (std::size_t i = 0; i < means.size(); ++i) {
      if (row.cells[i]) {
        EXPECT_NEAR(means[i], *row.cells[i], row.tolerance) << row.name << ", column " << i;
      }
    }
  }
}

TEST(BurstReading, reproduces_the_reference_table_from_exact_pairs) { expect_reference_table(exact); }

TEST(BurstIndex, reproduces_the_reference_table_from_slots) {
  expect_reference_table([](const Scene& scene, BurstWidth width) { return fed(scene).index(width, at(scene.now)); });
}

TEST(BurstReading, counts_the_pairs_of_the_definition) {
  EXPECT_TRUE(rc::check([] {
    auto times = *rc::gen::container<std::vector<Instant>>(
        rc::gen::map(rc::gen::inRange(0, 400), [](int ms) { return Instant(Milliseconds(ms)); }));
    std::sort(times.begin(), times.end());
    const auto width = Milliseconds(*rc::gen::inRange(1, 300));
    PairCounts pairs;
    for (std::size_t i = 0; i < times.size(); ++i) {
      for (std::size_t j = i + 1; j < times.size(); ++j) {
        const Nanoseconds apart = times[j] - times[i];
        pairs.close += 2 * apart <= width ? 1 : 0;
        pairs.wide += 2 * apart <= 5 * width ? 1 : 0;
      }
    }
    RC_ASSERT(count_pairs(times, width) == pairs);
  }));
}

TEST(BurstReading, counts_half_of_the_pairs_on_the_edge_where_asked) {
  const std::vector<Instant> grid = {at(0), at(0), at(0.25), at(0.25)};
  const auto width = duration(BurstWidth::k100ms);
  EXPECT_EQ(count_pairs(grid, width), (PairCounts{.close = 2, .wide = 6}));
  EXPECT_EQ(count_pairs(grid, width, Ties::kHalf), (PairCounts{.close = 2, .wide = 4}));
}

TEST(BurstReading, is_few_below_300_pairs) {
  const auto width = duration(BurstWidth::k20ms);
  EXPECT_FALSE(burst_reading({.close = 299.5, .wide = 299.5}, width, Seconds(5)).value);
  EXPECT_TRUE(burst_reading({.close = 0, .wide = 300}, width, Seconds(5)).value);
  EXPECT_FALSE(burst_reading({}, width, Seconds(5)).value);
}

TEST(BurstReading, is_0_without_close_pairs) {
  EXPECT_EQ(burst_reading({.close = 0, .wide = 300}, duration(BurstWidth::k20ms), Seconds(5)).value, 0.0);
}

TEST(BurstIndex, lies_between_0_and_1_and_does_not_depend_on_the_origin_of_time) {
  EXPECT_TRUE(rc::check([] {
    const auto times = *rc::gen::container<std::vector<Instant>>(
        rc::gen::map(rc::gen::inRange(0, 6'000'000), [](int us) { return Instant(base::Microseconds(us)); }));
    const auto copies = *rc::gen::inRange(1, 30);
    const auto shift = BurstIndex::Slots(*rc::gen::inRange<std::int64_t>(-2'000'000, 2'000'000));
    BurstIndex slots;
    BurstIndex shifted;
    for (int copy = 0; copy < copies; ++copy) {
      for (const Instant time : times) {
        slots.add(time);
        shifted.add(time + shift);
      }
    }
    const Instant now(Seconds(6));
    for (const BurstWidth width : kBurstWidths) {
      const auto reading = slots.index(width, now);
      RC_ASSERT(shifted.index(width, now + shift).pairs == reading.pairs);
      const double value = reading.value.value_or(0);  // RC_ASSERT takes || apart, and so evaluates both sides
      RC_ASSERT((value >= 0.0 && value <= 1.0));
    }
  }));
}

TEST(BurstIndex, does_not_see_the_slow_rise_and_fall_of_the_rate) {
  const std::vector<std::function<double(double)>> rates = {
      [](double t) { return t / 5; },                                         // ramp from nothing
      [](double t) { return 1 - t / 5; },                                     // and back
      [](double t) { return (1 + 0.8 * std::sin(t * 2 * M_PI / 5)) / 1.8; },  // one swing, 9 : 1
      [](double t) { return std::exp(-t / 5); },
  };
  Dice dice;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    Scene scene{.retries = {}, .now = 5};
    for (int draw = 0; draw < 10'000; ++draw) {
      const double time = dice(0, 5);
      if (dice(0, 1) < rates[i](time)) {
        scene.retries.push_back(time);
      }
    }
    for (const BurstWidth width : {BurstWidth::k20ms, BurstWidth::k100ms, BurstWidth::k250ms}) {
      EXPECT_LT(fed(scene).index(width, at(5)).value.value(), 0.05)
          << "rate " << i << ", width " << duration(width).count();
    }
  }
}

TEST(BurstIndex, slots_agree_with_exact_pairs) {
  Dice dice;
  for (int draw = 0; draw < 50; ++draw) {
    const Scene scene = in_step(dice, dice(0.02, 2), dice(0.001, 0.5));
    for (const BurstWidth width : kBurstWidths) {
      const auto reference = exact(scene, width);
      const auto reading = fed(scene).index(width, at(scene.now));
      EXPECT_NEAR(reading.value.value(), reference.value.value(), 0.02);
    }
  }
}

TEST(BurstIndex, headline_is_the_largest_of_the_first_three) {
  Dice dice;
  const Scene scene = in_step(dice, 1, 0.1);
  const auto headline = fed(scene).headline(at(scene.now)).value();
  EXPECT_EQ(headline.width, BurstWidth::k250ms);
  EXPECT_EQ(headline.value, fed(scene).index(BurstWidth::k250ms, at(scene.now)).value);
  EXPECT_FALSE(BurstIndex().headline(at(0)));
}

TEST(BurstIndex, headline_passes_over_scales_with_few_pairs) {
  BurstIndex slots;
  for (int i = 0; i < 100; ++i) {
    slots.add(at(0.05 * i));  // one neighbour within 50 ms, five within 250 ms
  }
  EXPECT_FALSE(slots.index(BurstWidth::k20ms, at(5)).value);
  EXPECT_TRUE(slots.headline(at(5)));
}

TEST(BurstIndex, forgets_after_five_seconds) {
  BurstIndex slots;
  for (int i = 0; i < 100; ++i) {
    slots.add(at(1));
  }
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(1)).pairs.close, 4950);
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(5.9949)).pairs.close, 4950);
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(6.0001)).pairs.close, 0);
  slots.add(at(100));  // far past the ring
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(100)).pairs.close, 0);
  slots.add(at(100));
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(100)).pairs.close, 1);
}

TEST(BurstIndex, reads_a_long_stream_like_its_last_five_seconds) {
  Dice dice;
  BurstIndex stream;
  std::vector<double> events;
  double time = 0;
  for (int i = 0; i < 3000; ++i) {  // 30 s
    time += dice(0, 0.02);
    stream.add(at(time));
    events.push_back(time);
    if (events.size() % 100 == 0) {
      const double now = time + dice(0, 6);  // with and without silence since the newest event
      BurstIndex fresh;
      for (const double event : events) {
        if (event > now - 5.01) {
          fresh.add(at(event));
        }
      }
      EXPECT_EQ(stream.index(BurstWidth::k250ms, at(now)).pairs, fresh.index(BurstWidth::k250ms, at(now)).pairs);
    }
  }
}

TEST(BurstIndex, takes_late_events_and_counts_what_is_too_old) {
  BurstIndex slots;
  slots.add(at(10));
  slots.add(at(5.5));
  slots.add(at(5.5));
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(10)).pairs.close, 1);
  EXPECT_EQ(slots.dropped(), 0U);
  slots.add(at(4.8));
  EXPECT_EQ(slots.dropped(), 1U);
  EXPECT_EQ(slots.index(BurstWidth::k500ms, at(10)).pairs.wide, 1);
}

TEST(BurstIndex, is_safe_when_the_clock_steps_back) {
  BurstIndex slots;
  slots.add(at(1000));
  slots.add(at(1000));
  slots.add(at(3));
  slots.add(Instant::min());
  EXPECT_EQ(slots.dropped(), 2U);
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(3)).pairs, PairCounts{});
  EXPECT_EQ(slots.index(BurstWidth::k20ms, Instant::min()).pairs, PairCounts{});
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(999)).pairs, PairCounts{}) << "events to come do not count yet";
  EXPECT_EQ(slots.index(BurstWidth::k20ms, at(1000)).pairs.close, 1);
  slots.clear();
  slots.add(at(3));
  EXPECT_EQ(slots.dropped(), 0U);
}

}  // namespace
}  // namespace tidewaiter::telemetry
