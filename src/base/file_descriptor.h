// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>
#include <utility>

namespace tidewaiter::base {

/// Owns one open file descriptor, or none. Move-only; closes on destruction.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, kNone)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = std::exchange(other.descriptor_, kNone);
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { reset(); }

  [[nodiscard]] int get() const { return descriptor_; }
  [[nodiscard]] bool is_open() const { return descriptor_ != kNone; }

  /// Gives it up without closing it: for what takes a descriptor over, like fdopendir().
  [[nodiscard]] int release() { return std::exchange(descriptor_, kNone); }

  void reset() {
    if (is_open()) ::close(std::exchange(descriptor_, kNone));
  }

 private:
  static constexpr int kNone = -1;
  int descriptor_ = kNone;
};

}  // namespace tidewaiter::base
