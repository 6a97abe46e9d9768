// SPDX-License-Identifier: Apache-2.0
#include "lab/churn_client.h"

#include <algorithm>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

constexpr base::Nanoseconds kLongestPause = base::Milliseconds(20);  // a changed load is noticed within it
constexpr base::Nanoseconds kLongestDelay = base::Seconds(1);        // that is made up for

}  // namespace

base::Result<std::unique_ptr<ChurnClient>> ChurnClient::start(const Network& network, ChurnOptions options) {
  auto client = std::unique_ptr<ChurnClient>(new ChurnClient(std::move(options)));
  client->load_began_ = read_clock();
  auto thread = start_inside(network, [self = client.get()] { self->churn(); });
  if (!thread) return tl::unexpected(thread.error());
  client->thread_ = std::move(*thread);
  return client;
}

ChurnClient::~ChurnClient() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ChurnClient::set_load(LoadShape load) {
  const std::lock_guard lock(mutex_);
  options_.load = std::move(load);
  load_began_ = read_clock();
}

void ChurnClient::release_held() {
  std::vector<base::FileDescriptor> released;
  const std::lock_guard lock(mutex_);
  released.swap(held_);
}

void ChurnClient::churn() {
  double until_next = gap();  // in mean gaps, so that it survives a change of the rate
  base::Instant last = read_clock();
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    const base::Instant now = read_clock();
    const double rate = options_.load(now - load_began_);
    until_next -= rate * to_seconds(now - last);
    until_next = std::max(until_next, -rate * to_seconds(kLongestDelay));
    last = now;
    if (until_next > 0 || rate <= 0) {
      const auto pause = rate > 0 ? std::min(from_seconds(until_next / rate), kLongestPause) : kLongestPause;
      changed_.wait_for(lock, pause);
      lock.unlock();
      close_due(read_clock());
      lock.lock();
      continue;
    }
    until_next += gap();
    lock.unlock();
    request(now);
    close_due(now);
    lock.lock();
  }
}

void ChurnClient::request(base::Instant now) {
  if (!is_within_limit(now)) {
    log_.add_refusal();
    return;
  }
  base::FileDescriptor socket = connect_logged(options_.server, log_);
  if (!socket.is_open() || !exchange(socket)) return;
  if (draw(options_.held_share)) {
    const std::lock_guard lock(mutex_);
    held_.push_back(std::move(socket));
  } else {
    open_.push_back({now + options_.lifetime, std::move(socket)});
  }
}

void ChurnClient::close_due(base::Instant now) {
  const auto first_young =
      std::find_if(open_.begin(), open_.end(), [now](const Open& open) { return open.close_at > now; });
  for (auto open = open_.begin(); open != first_young; ++open) {
    if (draw(options_.reset_share)) close_by_reset(std::move(open->socket));
  }
  open_.erase(open_.begin(), first_young);
}

/// GCRA with a burst of one.
bool ChurnClient::is_within_limit(base::Instant now) {
  const auto per_s = options_.limit ? options_.limit() : std::nullopt;
  if (!per_s) return true;
  if (*per_s <= 0 || now < limit_time_) return false;
  limit_time_ = now + from_seconds(1 / *per_s);
  return true;
}

bool ChurnClient::draw(double share) {
  return share > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < share;
}
}  // namespace tidewaiter::lab
