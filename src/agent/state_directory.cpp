// SPDX-License-Identifier: Apache-2.0
#include "agent/state_directory.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace tidewaiter::agent {
namespace {

constexpr const char* kOtherDirectory = "name another one with --state-dir";

/// mkdir -p. Errors name the directory that could not be made.
base::Result<void> make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && std::filesystem::is_directory(path, error)) return {};
  auto failure = base::fail_errno(error ? error.value() : ENOTDIR, fmt::format("make the state directory {}", path));
  failure.value().code = base::ErrorCode::kNotPermitted;
  failure.value().hint = kOtherDirectory;
  return failure;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

base::Result<void> write_whole(int descriptor, const std::string& text, const std::string& path) {
  if (::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size())) return {};
  return base::fail_errno(errno, fmt::format("write {}", path));
}

}  // namespace

base::Result<StateDirectory> StateDirectory::open(const std::string& path) {
  if (auto made = make_directories(path); !made) return tl::unexpected(made.error());
  const std::string lock_path = path + "/lock";
  base::FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!lock.is_open()) {
    const int reason = errno;
    auto failure = base::fail_errno(reason, fmt::format("write to the state directory {}", path));
    failure.value().code = base::ErrorCode::kNotPermitted;
    failure.value().hint = kOtherDirectory;
    return failure;
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = first_line(lock_path);
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("an agent{} already uses the state directory {}",
                                  holder.empty() ? "" : fmt::format(" (process {})", holder), path),
                      fmt::format("stop it, or {} and another port with --listen", kOtherDirectory));
  }
  if (ftruncate(lock.get(), 0) != 0) return base::fail_errno(errno, fmt::format("write {}", lock_path));
  if (auto written = write_whole(lock.get(), fmt::format("{}\n", getpid()), lock_path); !written) {
    // The disk may be full: the lock itself holds, and the journal will say so.
    static_cast<void>(written);
  }
  return StateDirectory(path, std::move(lock));
}

StateDirectory::~StateDirectory() {
  if (has_address_ && lock_.is_open()) ::unlink((path_ + "/address").c_str());
}

base::Result<void> StateDirectory::write_address(const std::string& address) {
  const std::string path = path_ + "/address";
  const std::string fresh = path + ".new";
  base::FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.is_open()) return base::fail_errno(errno, fmt::format("write {}", fresh));
  if (auto written = write_whole(file.get(), address + "\n", fresh); !written) return written;
  if (::rename(fresh.c_str(), path.c_str()) != 0) return base::fail_errno(errno, fmt::format("write {}", path));
  has_address_ = true;
  return {};
}

std::string default_state_directory() {
  if (geteuid() == 0) return "/var/lib/tidewaiter";
  // NOLINTBEGIN(concurrency-mt-unsafe): read before any thread
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return fmt::format("{}/tidewaiter", state);
  const char* home = std::getenv("HOME");
  // NOLINTEND(concurrency-mt-unsafe)
  return fmt::format("{}/.local/state/tidewaiter", home == nullptr ? "" : home);
}

std::string default_instance(const std::string& state_directory) {
  std::error_code error;
  const auto real = std::filesystem::weakly_canonical(state_directory, error);
  std::uint32_t hash = 0x811c9dc5;  // FNV-1a
  for (const char character : error ? state_directory : real.string()) {
    hash = (hash ^ static_cast<unsigned char>(character)) * 0x01000193;
  }
  return fmt::format("default-{:08x}", hash);
}

base::Result<std::string> read_address(const std::string& state_directory) {
  std::string address = first_line(state_directory + "/address");
  if (address.empty()) {
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("no agent runs with the state directory {}", state_directory),
                      "start one with `tidewaiter run`, or name it with --url");
  }
  return address;
}

}  // namespace tidewaiter::agent
