// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "kernel/host.h"
#include "kernel/network_settings.h"

namespace tidewaiter::kernel {

/// Something a kernel gives Tidewaiter, and what it does where that is missing.
struct KernelFeature {
  std::string_view name;
  KernelVersion since;  ///< first mainline release
  std::string_view gives;
  std::string_view without_it;  ///< how Tidewaiter behaves on older kernels
  std::string_view source;      ///< commit, man page or changelog
  /// A setting whose presence proves the feature, whatever the version says: distributions port features back.
  std::optional<std::uint64_t> NetworkSettings::*proof = nullptr;
};

[[nodiscard]] std::span<const KernelFeature> kernel_features();

/// True when this kernel has the feature: by proof where there is one, else by version.
[[nodiscard]] bool has_feature(const KernelFeature& feature, const KernelVersion& version,
                               const NetworkSettings& settings);

/// The kernels of the support matrix: long-lived distributions, and the releases where something changed.
struct SupportedKernel {
  std::string_view label;
  KernelVersion version;
};
[[nodiscard]] std::span<const SupportedKernel> supported_kernels();

}  // namespace tidewaiter::kernel
