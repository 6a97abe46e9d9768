// SPDX-License-Identifier: Apache-2.0
#include "telemetry/order_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::telemetry {
namespace {

using base::Instant;
using base::Milliseconds;
using base::Nanoseconds;
using base::Seconds;
using Kind = OrderEvent::Kind;

constexpr Instant kStart{Seconds(1'000)};
const Tuple kTuple{Address::v4(0x7f000001), Address::v4(0x0a000001), 9000};
const Tuple kDestination{{}, kTuple.destination, kTuple.destination_port};

auto is_about(double us) { return testing::DoubleNear(us, us * 0.01); }

OrderEvent event(Kind kind, std::uint64_t id, Nanoseconds after, Nanoseconds gate_delay = Nanoseconds(0)) {
  OrderEvent event;
  event.producer = 7;
  event.id = id;
  event.kind = kind;
  event.at = kStart + after;
  event.gate_delay = gate_delay;
  event.tuple = kind == Kind::kDecision ? kDestination : kTuple;
  return event;
}

OrderEvent decision(std::uint64_t id, Nanoseconds after = Nanoseconds(0)) { return event(Kind::kDecision, id, after); }
OrderEvent attempt(std::uint64_t id, Nanoseconds after, Nanoseconds gate_delay = Nanoseconds(0)) {
  return event(Kind::kSendAttempt, id, after, gate_delay);
}
OrderEvent failure(std::uint64_t id, Nanoseconds after, Nanoseconds gate_delay = Nanoseconds(0)) {
  return event(Kind::kSendFailed, id, after, gate_delay);
}

/// A decision for kStart, with a slice that ends 100 ms later.
OrderEvent scheduled(std::uint64_t id) {
  OrderEvent result = decision(id);
  result.schedule = OrderEvent::Schedule{kStart, kStart + Milliseconds(100)};
  return result;
}

/// The events of one window, and what they came to.
class Joined : public testing::Test {
 protected:
  void add(std::initializer_list<OrderEvent> events) {
    for (const OrderEvent& each : events) orders_.add(each);
  }
  void close(Nanoseconds after = Seconds(1)) {
    observed_ = censored_ = 0;
    orders_.close(kStart + after, [this](const Tuple& tuple, const Histogram& window) {
      tuple_ = tuple;
      observed_ += window.observed();
      censored_ += window.censored();
      p95_us_ = static_cast<double>(window.quantile(0.95)->value.count()) / 1e3;
    });
  }

  OrderEvents orders_{{.patience = Seconds(10), .max_children = 8}};
  Tuple tuple_;
  std::uint64_t observed_ = 0;
  std::uint64_t censored_ = 0;
  double p95_us_ = 0;
};

TEST_F(Joined, delay_is_from_decision_to_attempt_net_of_the_gate) {
  add({decision(1), attempt(1, Milliseconds(30), Milliseconds(28))});
  close();
  EXPECT_EQ(tuple_, kTuple) << "the attempt knows the source";
  EXPECT_EQ(observed_, 1U);
  EXPECT_THAT(p95_us_, is_about(2'000));
  EXPECT_THAT(orders_.delays().of(kTuple)->p95_us, is_about(2'000));
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .sent = 1}));
}

TEST_F(Joined, decision_and_attempt_may_be_windows_apart) {
  add({decision(1)});
  close();
  EXPECT_EQ(observed_, 0U);
  EXPECT_EQ(orders_.children(), 1U);
  add({attempt(1, Seconds(3))});
  close(Seconds(3));
  EXPECT_THAT(p95_us_, is_about(3e6));
  EXPECT_EQ(orders_.children(), 0U);
}

TEST_F(Joined, attempt_may_be_told_before_its_decision) {
  add({attempt(1, Milliseconds(5))});
  orders_.settle();
  add({decision(1)});
  close();
  EXPECT_THAT(p95_us_, is_about(5'000));
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .sent = 1}));
}

TEST_F(Joined, attempt_without_a_decision_is_counted_and_nothing_else) {
  add({attempt(1, Milliseconds(5)), failure(2, Milliseconds(5))});
  orders_.settle();
  orders_.settle();
  add({decision(1)});
  close();
  EXPECT_EQ(observed_ + censored_, 0U);
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .undecided = 2}));
}

TEST_F(Joined, failed_child_is_given_up_at_its_elapsed_time) {
  OrderEvent unrouted = failure(1, Milliseconds(40), Milliseconds(10));
  unrouted.tuple = {};
  add({decision(1), unrouted});
  close();
  EXPECT_EQ(tuple_, kDestination) << "of the decision, for it never had a connection";
  EXPECT_EQ(censored_, 1U);
  EXPECT_THAT(p95_us_, is_about(30'000));
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .failed = 1}));
}

TEST_F(Joined, last_word_on_sending_counts) {
  add({decision(1), attempt(1, Milliseconds(1)), failure(1, Milliseconds(5))});
  close();
  EXPECT_EQ(censored_, 1U) << "the socket did not take it";
  add({decision(2), failure(2, Milliseconds(5)), attempt(2, Milliseconds(9))});
  close();
  EXPECT_EQ(observed_, 1U) << "it went out after all";
  EXPECT_THAT(p95_us_, is_about(9'000));
  add({decision(3), attempt(3, Milliseconds(9)), attempt(3, Milliseconds(4))});
  close();
  EXPECT_THAT(p95_us_, is_about(9'000)) << "whichever is told first";
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 3, .sent = 2, .failed = 1}));
}

TEST_F(Joined, cancelled_child_was_given_up_if_it_was_not_sent) {
  add({decision(1), event(Kind::kCancel, 1, Milliseconds(20), Milliseconds(5))});
  close();
  EXPECT_EQ(censored_, 1U);
  EXPECT_THAT(p95_us_, is_about(15'000));
  add({decision(2), attempt(2, Milliseconds(1)), event(Kind::kCancel, 2, Milliseconds(20))});
  close();
  EXPECT_EQ(observed_, 1U);
  EXPECT_EQ(censored_, 0U);
  add({event(Kind::kCancel, 2, Seconds(2))});
  close(Seconds(2));
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 2, .sent = 1, .cancelled = 1}));
}

TEST_F(Joined, what_a_gate_refuses_is_in_no_figure) {
  add({scheduled(1), event(Kind::kRefusal, 1, Milliseconds(1))});
  close();
  EXPECT_EQ(observed_ + censored_, 0U);
  EXPECT_EQ(orders_.cadence(kStart + Seconds(1)).due, 0U);
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .refused = 1}));
}

TEST_F(Joined, ids_are_their_producers_own) {
  OrderEvent other = attempt(1, Milliseconds(3));
  other.producer = 8;
  add({decision(1), other});
  close();
  EXPECT_EQ(observed_, 0U);
  EXPECT_EQ(orders_.children(), 1U);
}

TEST_F(Joined, children_that_nothing_is_heard_of_are_not_waited_for) {
  add({decision(1)});
  close(Seconds(10));
  EXPECT_EQ(orders_.children(), 1U);
  close(Seconds(11));
  EXPECT_EQ(orders_.children(), 0U);
  EXPECT_EQ(observed_ + censored_, 0U);
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 1, .expired = 1}));
}

TEST_F(Joined, decision_that_comes_again_begins_anew) {
  add({decision(1), decision(1, Milliseconds(10)), attempt(1, Milliseconds(12))});
  close();
  EXPECT_THAT(p95_us_, is_about(2'000));
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 2, .sent = 1, .repeated = 1}));
}

TEST_F(Joined, children_beyond_the_limit_are_counted) {
  for (std::uint64_t id = 0; id < 10; ++id) orders_.add(decision(id));
  for (std::uint64_t id = 0; id < 10; ++id) orders_.add(attempt(id, Milliseconds(1)));
  close();
  EXPECT_EQ(observed_, 8U);
  EXPECT_EQ(orders_.counters(), (OrderEvents::Counters{.decisions = 10, .sent = 8, .overflowed = 2, .undecided = 2}));
}

TEST_F(Joined, cadence_is_that_of_all_children_with_a_schedule) {
  add({scheduled(1), attempt(1, Milliseconds(30), Milliseconds(28))});
  add({scheduled(2), attempt(2, Milliseconds(130))});
  add({scheduled(3), failure(3, Milliseconds(20))});
  add({scheduled(4)});
  add({decision(5), attempt(5, Seconds(1))});
  close();
  const Cadence early = orders_.cadence(kStart + Milliseconds(50));
  EXPECT_EQ(early.sent, 2U);
  EXPECT_EQ(early.due, 2U) << "the slice of the unsent ones is not over";
  EXPECT_EQ(early.gross_error->p99, Milliseconds(130));
  EXPECT_EQ(early.net_error->p50, Milliseconds(2));
  const Cadence cadence = orders_.cadence(kStart + Seconds(1));
  EXPECT_EQ(cadence.due, 4U);
  EXPECT_EQ(cadence.late, 3U);
}

TEST_F(Joined, cadence_goes_back_sixty_seconds) {
  add({scheduled(1), attempt(1, Milliseconds(30))});
  close(Seconds(60));
  EXPECT_EQ(orders_.cadence(kStart + Seconds(60)).sent, 1U);
  close(Seconds(61));
  EXPECT_EQ(orders_.cadence(kStart + Seconds(61)).sent, 0U);
  EXPECT_EQ(orders_.counters().forgotten_launches, 0U);
}

TEST_F(Joined, expired_children_were_not_sent) {
  add({scheduled(1)});
  close(Seconds(11));
  EXPECT_EQ(orders_.cadence(kStart + Seconds(11)).late, 1U);
}

TEST_F(Joined, launches_beyond_the_limit_push_out_the_oldest) {
  for (std::uint64_t id = 0; id < 10; ++id) {
    add({scheduled(id), attempt(id, Milliseconds(static_cast<int>(id)))});
    orders_.settle();
  }
  close();
  EXPECT_EQ(orders_.cadence(kStart + Seconds(1)).sent, 8U);
  EXPECT_EQ(orders_.counters().forgotten_launches, 2U);
}

TEST_F(Joined, settings_say_what_is_allowed) {
  OrderEvents::Options options;
  const auto settings = OrderEvents::settings_of(options);
  EXPECT_TRUE(
      base::apply_toml("[orders]\npatience = \"5s\"\nmax_children = 10\nmax_tuples = 3", "test.toml", settings));
  EXPECT_EQ(options.patience, Seconds(5));
  EXPECT_EQ(options.max_children, 10U);
  EXPECT_EQ(options.max_tuples, 3U);
}

TEST(OrderEvents, loses_no_child_that_it_does_not_count) {
  EXPECT_TRUE(rc::check([] {
    OrderEvents orders({.patience = Seconds(2), .max_children = 6});
    std::uint64_t decided = 0;
    std::uint64_t in_histograms = 0;
    Instant now = kStart;
    const auto check = [&] {
      const auto& counters = orders.counters();
      RC_ASSERT(counters.decisions == decided);
      RC_ASSERT(decided == counters.sent + counters.failed + counters.cancelled + counters.refused + counters.expired +
                               counters.repeated + counters.overflowed + orders.children());
      RC_ASSERT(orders.children() <= 6U);
    };
    for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 100))) {
      now += Milliseconds(50);
      OrderEvent next = event(static_cast<Kind>(step % 5), static_cast<std::uint64_t>(step / 10), now - kStart);
      next.producer = static_cast<std::uint64_t>(step % 2);
      if (step % 3 == 0) next.schedule = OrderEvent::Schedule{now, now + Seconds(1)};
      if (next.kind == Kind::kDecision) ++decided;
      orders.add(next);
      if (step % 7 == 0) orders.settle();
      if (step % 11 == 0) {
        orders.close(now, [&](const Tuple&, const Histogram& window) {
          in_histograms += window.observed() + window.censored();
        });
        check();
        const auto& counters = orders.counters();
        RC_ASSERT(in_histograms + orders.delays().negative() == counters.sent + counters.failed + counters.cancelled);
      }
      static_cast<void>(orders.cadence(now));
    }
    orders.settle();
    check();
  }));
}

}  // namespace
}  // namespace tidewaiter::telemetry
