// SPDX-License-Identifier: Apache-2.0
#include "lab/pooled_client.h"

#include <algorithm>
#include <vector>

#include "lab/clock.h"

namespace tidewaiter::lab {
namespace {

constexpr base::Nanoseconds kLongestDelay = base::Seconds(1);  // that is made up for

}  // namespace

base::Result<std::unique_ptr<PooledClient>> PooledClient::start(const Network& network, PooledOptions options) {
  auto client = std::unique_ptr<PooledClient>(new PooledClient(options));
  auto thread = start_inside(network, [self = client.get()] { self->work(); });
  if (!thread) return tl::unexpected(thread.error());
  client->thread_ = std::move(*thread);
  return client;
}

PooledClient::~PooledClient() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PooledClient::work() {
  std::vector<base::FileDescriptor> pool;
  for (std::uint32_t i = 0; i < options_.connections; ++i) pool.push_back(connect_logged(options_.server, log_));
  const base::Nanoseconds gap = from_seconds(1 / options_.requests_per_s);
  base::Instant next = read_clock();
  std::size_t turn = 0;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_until(lock, next, [this] { return is_stopping_; })) {
    lock.unlock();
    request(pool[turn++ % pool.size()]);
    next = std::max(next + gap, read_clock() - kLongestDelay);
    lock.lock();
  }
}

void PooledClient::request(base::FileDescriptor& connection) {
  if (!connection.is_open()) connection = connect_logged(options_.server, log_);
  if (connection.is_open() && exchange(connection)) {
    ++requests_;
    return;
  }
  ++failed_requests_;
  connection.reset();
}
}  // namespace tidewaiter::lab
