// SPDX-License-Identifier: Apache-2.0
// The observer over real sockets: an exhaustion of a small range, and a namespace that goes while it is watched.
#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/observer.h"
#include "kernel/testing/private_network.h"
#include "output/agent_documents.h"

namespace tidewaiter::agent {
namespace {

namespace net = kernel::testing;
using control::State;

constexpr std::uint16_t kPort = 9'000;
const telemetry::Address kLoopback = telemetry::Address::v4(0x7f000001);
const telemetry::Tuple kTuple{kLoopback, kLoopback, kPort};

/// Time that passes only when the test says so.
base::Moment moment(std::int64_t second) {
  return {base::Instant(base::Seconds(1'000 + second)), base::WallTime(base::Seconds(1'795'234'390 + second))};
}

std::shared_ptr<const Setup> setup_of(const std::string& netns) {
  auto setup = std::make_shared<Setup>();
  setup->identity = {"desk", "0.1.0", netns, moment(0), base::Seconds(1)};
  return setup;
}

Observer observer_of(const std::string& netns) {
  auto opened = kernel::NetworkNamespace::open(netns);
  EXPECT_TRUE(opened) << opened.error().message();
  return {{std::move(*opened)}, Configuration{}, setup_of(netns), moment(0).steady};
}

std::shared_ptr<Snapshot> window_of(Observer& observer, std::int64_t second) {
  auto window = observer.window(moment(second));
  EXPECT_TRUE(window) << window.error().message();
  return window ? *window : nullptr;
}

State state_of(const Snapshot& snapshot, const telemetry::Tuple& tuple = kTuple) {
  const auto* decided = snapshot.round.find(tuple);
  return decided == nullptr ? State::kGreen : decided->decision.standing.state;
}

TEST(Observer, puts_on_record_that_it_stood_still) {
  Observer observer = observer_of("self");
  EXPECT_EQ(observer.skip(5, moment(0)), nullptr) << "no window yet, nobody was told anything";
  ASSERT_TRUE(window_of(observer, 0));
  EXPECT_EQ(observer.skip(2, moment(3)), nullptr) << "less than the policy allows to be missed";
  ASSERT_TRUE(window_of(observer, 4));
  const auto stale = observer.skip(11, moment(16));
  ASSERT_TRUE(stale);
  EXPECT_TRUE(stale->is_missed);
  EXPECT_TRUE(stale->round.host.standing.is_stale);
  ASSERT_TRUE(stale->round.host.transition);
  const auto after = window_of(observer, 16);
  EXPECT_FALSE(after->round.host.standing.is_stale);
  EXPECT_TRUE(after->round.host.transition->from.is_stale);
  EXPECT_EQ(after->observer.missed_windows, 18U);
}

/// A client and its server over loopback, with 200 ports.
class Exhaustion : public ::testing::Test {
 protected:
  void SetUp() override {
    auto network = net::PrivateNetwork::create();
    if (!network) GTEST_SKIP() << network.error().message();
    network_.emplace(std::move(*network));
    ASSERT_TRUE(network_->set("net/ipv4/ip_local_port_range", "40000 40199"));
    ASSERT_TRUE(network_->set("net/ipv4/tcp_tw_reuse", "0"));
    auto listener = net::listen_on(kLoopback, kPort, 512);
    ASSERT_TRUE(listener) << listener.error().message();
    listener_ = std::move(*listener);
  }

  void connect(int times) {
    for (int i = 0; i < times; ++i) {
      auto client = net::connect_to(kLoopback, kPort);
      ASSERT_TRUE(client) << client.error().message();
      auto server = net::accept_from(listener_);
      ASSERT_TRUE(server) << server.error().message();
      clients_.push_back(std::move(*client));
      servers_.push_back(std::move(*server));
    }
  }

  void reset_all() {
    for (auto& client : clients_) net::close_by_reset(std::move(client));
    clients_.clear();
    servers_.clear();
  }

  std::optional<net::PrivateNetwork> network_;
  base::FileDescriptor listener_;
  std::vector<base::FileDescriptor> clients_;
  std::vector<base::FileDescriptor> servers_;
};

TEST_F(Exhaustion, goes_through_every_state_up_to_red_and_names_the_reason) {
  Observer observer = observer_of("self");
  std::vector<State> seen;
  std::int64_t second = 0;
  for (int i = 0; i < 48; ++i) {
    // Four connects a second and nothing that gives a port back, up to 198 of 200 ports.
    ASSERT_NO_FATAL_FAILURE(connect(i == 0 ? 10 : 4));
    const auto window = window_of(observer, ++second);
    ASSERT_TRUE(window);
    const State state = state_of(*window);
    if (seen.empty() || seen.back() != state) seen.push_back(state);
    EXPECT_EQ(window->round.host.standing.state, state) << "the only tuple decides";
    const auto* decided = window->round.find(kTuple);
    if (state != State::kGreen) {
      ASSERT_NE(decided, nullptr);
      EXPECT_FALSE(decided->decision.reasons.empty());
    }
    if (decided != nullptr && decided->decision.transition) {
      EXPECT_FALSE(decided->decision.transition->reasons.empty());
    }
  }
  EXPECT_EQ(seen, (std::vector{State::kGreen, State::kYellow, State::kOrange, State::kRed}));
}

TEST_F(Exhaustion, tuple_whose_sockets_vanish_keeps_its_row_until_it_is_green) {
  Observer observer = observer_of("self");
  ASSERT_NO_FATAL_FAILURE(connect(150));
  ASSERT_TRUE(window_of(observer, 0));
  const auto high = window_of(observer, 1);
  ASSERT_NE(state_of(*high), State::kGreen);
  reset_all();
  const auto gone = window_of(observer, 2);
  EXPECT_EQ(state_of(*gone), state_of(*high)) << "not before its dwell";
  ASSERT_EQ(gone->look->census.tuples.size(), 1U);
  EXPECT_EQ(gone->look->census.tuples[0].sample->tuple, kTuple);
  EXPECT_EQ(gone->look->census.tuples[0].outlook.pressure.ppr, 0.0) << "nothing is in use, which is known";
  std::int64_t second = 2;
  std::shared_ptr<Snapshot> last = gone;
  while (state_of(*last) != State::kGreen && second < 600) last = window_of(observer, ++second);
  EXPECT_EQ(state_of(*last), State::kGreen);
  EXPECT_GE(second, 11) << "a YELLOW dwell at least";
  EXPECT_TRUE(window_of(observer, second + 1)->look->census.tuples.empty());
}

TEST_F(Exhaustion, clock_that_steps_back_changes_no_state_and_stops_nothing) {
  Observer observer = observer_of("self");
  ASSERT_NO_FATAL_FAILURE(connect(150));
  ASSERT_TRUE(window_of(observer, 0));
  const auto before = window_of(observer, 1);
  base::Moment back = moment(2);
  back.wall -= base::Seconds(3'600);
  auto after = observer.window(back);
  ASSERT_TRUE(after);
  EXPECT_FALSE((*after)->is_missed);
  EXPECT_EQ(state_of(**after), state_of(*before));
  EXPECT_EQ(output::status_document((*after)->view(), back.steady)["at"], "2026-11-21T03:13:12.000Z");
}

/// The sources of a probe that looks at `seen`, while the observer looks at the namespace that the test is in.
base::Result<Observer::Sources> sources_with_probe(const kernel::NetworkNamespace& seen, kernel::SourceTable& table) {
  auto self = kernel::NetworkNamespace::open("self");
  if (!self) return tl::unexpected(self.error());
  auto probe = kernel::ConnectProbe::attach(seen, Configuration{}.connects, table);
  if (!probe) return tl::unexpected(probe.error());
  Observer::Sources sources{std::move(*self)};
  sources.connects = std::move(*probe);
  return sources;
}

std::shared_ptr<const Setup> setup_with(const kernel::SourceTable& table) {
  auto setup = std::make_shared<Setup>(*setup_of("self"));
  for (const auto& [name, tier, is_active, needs] : table) setup->sources.push_back({name, tier, is_active, needs});
  return setup;
}

TEST(ObserverOfConnects, that_its_hooks_do_not_see_says_so_and_makes_no_number_up) {
  const base::FileDescriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const auto network = net::PrivateNetwork::create();
  if (!network) GTEST_SKIP() << network.error().message();
  const auto elsewhere = kernel::NetworkNamespace::open("/proc/self/fd/" + std::to_string(home.get()));
  ASSERT_TRUE(elsewhere);
  kernel::SourceTable table;
  auto sources = sources_with_probe(*elsewhere, table);
  if (!sources) GTEST_SKIP() << sources.error().message();
  Observer observer(std::move(*sources), Configuration{}, setup_with(table), moment(0).steady);
  const auto window = window_of(observer, 0);
  ASSERT_TRUE(window);
  EXPECT_FALSE(window->look->connects);
  EXPECT_EQ(window->look->lost.at("bpf_canaries"), 1U);
  const auto row = std::find_if(window->look->sources.begin(), window->look->sources.end(),
                                [](const output::Source& source) { return source.name == "bpf_state"; });
  ASSERT_NE(row, window->look->sources.end());
  EXPECT_FALSE(row->is_active);
  EXPECT_EQ(row->needs, "hooks that see connects: 1 of 1 made to test them were not seen");
  EXPECT_EQ(window_of(observer, 59)->look->lost.at("bpf_canaries"), 1U) << "once a minute";
  EXPECT_EQ(window_of(observer, 60)->look->lost.at("bpf_canaries"), 2U);
}

TEST(ObserverOfConnects, shows_none_of_its_own) {
  const auto network = net::PrivateNetwork::create();
  if (!network) GTEST_SKIP() << network.error().message();
  const auto self = kernel::NetworkNamespace::open("self");
  ASSERT_TRUE(self);
  kernel::SourceTable table;
  auto sources = sources_with_probe(*self, table);
  if (!sources) GTEST_SKIP() << sources.error().message();
  Observer observer(std::move(*sources), Configuration{}, setup_with(table), moment(0).steady);
  for (const std::int64_t second : {0, 60, 120}) {
    const auto window = window_of(observer, second);
    ASSERT_TRUE(window && window->look->connects);
    EXPECT_EQ(window->look->connects->totals, telemetry::ConnectTotals{});
    EXPECT_TRUE(window->look->connects->tuples.empty());
    EXPECT_TRUE(window->look->census.tuples.empty());
    EXPECT_EQ(window->look->lost.at("bpf_canaries"), 0U);
  }
}

/// A namespace with a name of its own: a file that this namespace is bound to, as `ip netns` does.
class NamedNamespace : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/tidewaiter-netns-XXXXXX";
    const base::FileDescriptor file(::mkstemp(pattern.data()));
    path_ = pattern;
    if (auto made = make(); !made) GTEST_SKIP() << made.error().message();
  }
  void TearDown() override {
    remove();
    ::unlink(path_.c_str());
  }

  base::Result<void> make() {
    auto network = net::PrivateNetwork::create();
    if (!network) return tl::unexpected(network.error());
    const base::FileDescriptor file(::open(path_.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    if (::mount("/proc/thread-self/ns/net", path_.c_str(), nullptr, MS_BIND, nullptr) == 0) return {};
    return base::fail_errno(errno, "bind a network namespace");
  }
  void remove() { ::umount2(path_.c_str(), MNT_DETACH); }

  std::string path_;
};

TEST_F(NamedNamespace, going_while_it_is_watched_makes_windows_missed_then_stale_and_it_may_come_back) {
  Observer observer = observer_of(path_);
  const auto first = window_of(observer, 0);
  ASSERT_TRUE(first && !first->is_missed);
  remove();
  for (std::int64_t second = 1; second <= 3; ++second) {
    const auto missed = window_of(observer, second);
    ASSERT_TRUE(missed);
    EXPECT_TRUE(missed->is_missed);
    EXPECT_EQ(missed->round.host.standing.is_stale, second == 3) << second;
    EXPECT_EQ(missed->observer.missed_windows, static_cast<std::uint64_t>(second));
    EXPECT_EQ(missed->look, first->look) << "the last look stays";
    EXPECT_FALSE(missed->observer.last_error.empty());
  }
  ASSERT_TRUE(make());
  const auto back = window_of(observer, 4);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->is_missed);
  EXPECT_FALSE(back->round.host.standing.is_stale);
  EXPECT_TRUE(back->observer.last_error.empty());
  EXPECT_EQ(back->observer.missed_windows, 3U);
}

TEST_F(NamedNamespace, that_was_never_seen_is_an_error) {
  Observer observer = observer_of(path_);
  remove();
  const auto window = observer.window(moment(0));
  ASSERT_FALSE(window);
  EXPECT_EQ(window.error().code, base::ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace tidewaiter::agent
