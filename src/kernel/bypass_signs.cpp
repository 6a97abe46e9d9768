// SPDX-License-Identifier: Apache-2.0
#include "kernel/bypass_signs.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace tidewaiter::kernel {
namespace {

using telemetry::BypassKind;

constexpr std::size_t kLongestLine = 32 << 10;
constexpr std::string_view kDeleted = " (deleted)";

/// How the name of a library, up to ".so", has to match.
struct LibraryName {
  std::string_view stem;
  BypassKind kind;
  bool is_prefix = false;
};

constexpr std::array<LibraryName, 11> kLibraries{{
    {"libonload", BypassKind::kOnload},
    {"libonload_zf", BypassKind::kTcpDirect},
    {"libciul", BypassKind::kEfVi, true},  // libciul.so, libciul1.so
    {"libvma", BypassKind::kVma},
    {"libvma-debug", BypassKind::kVma},
    {"libxlio", BypassKind::kXlio},
    {"libxlio-debug", BypassKind::kXlio},
    {"libexasock", BypassKind::kExasock},
    {"libexasock_preload", BypassKind::kExasock},
    {"libdpdk", BypassKind::kDpdk},
    {"librte_", BypassKind::kDpdk, true},
}};

struct DeviceName {
  std::string_view prefix;
  BypassKind kind;
};

/// /dev/infiniband is not among them: storage and message passing use verbs as well.
constexpr std::array<DeviceName, 7> kDevices{{
    {"/dev/onload", BypassKind::kOnload},  // also onload_epoll, onload_cplane
    {"onload:[", BypassKind::kOnload},     // its sockets
    {"/dev/sfc_char", BypassKind::kEfVi},
    {"/dev/exasock", BypassKind::kExasock},
    {"/dev/vfio/", BypassKind::kDevice},
    {"anon_inode:[vfio", BypassKind::kDevice},
    {"/dev/uio", BypassKind::kDevice},  // with a number
}};

std::string printable(std::string_view text) {
  std::string result(text.substr(0, kLongestEvidence));
  std::replace_if(
      result.begin(), result.end(), [](char character) { return character < ' ' || character > '~'; }, '?');
  return result;
}

bool is_digit(char character) { return character >= '0' && character <= '9'; }

/// Takes digits off the end; false when there are none.
bool cut_number(std::string_view& text) {
  const std::size_t before = text.size();
  while (!text.empty() && is_digit(text.back())) text.remove_suffix(1);
  return text.size() < before;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::optional<BypassKind> kind_of_library(std::string_view file) {
  const std::string_view stem = file.substr(0, file.find(".so"));
  if (stem.size() == file.size()) return std::nullopt;
  for (const LibraryName& library : kLibraries) {
    if (library.is_prefix ? stem.starts_with(library.stem) : stem == library.stem) return library.kind;
  }
  return std::nullopt;
}

std::optional<BypassKind> kind_of_device(std::string_view path) {
  for (const DeviceName& device : kDevices) {
    if (!path.starts_with(device.prefix)) continue;
    const bool needs_number = device.prefix == "/dev/uio";
    if (!needs_number || (path.size() > device.prefix.size() && is_digit(path[device.prefix.size()]))) {
      return device.kind;
    }
  }
  return std::nullopt;
}

/// The files that DPDK's memory lies in (lib/eal: eal_filesystem.h, eal_common_fbarray.c, eal_memalloc.c):
/// …/hugepages/<prefix>map_7, /run/dpdk/<prefix>/fbarray_memseg-…, and with --in-memory /memfd:seg_0-7.
bool is_dpdk_memory(std::string_view path) {
  std::string_view file = base_name(path);
  if (file.starts_with("fbarray_mem")) return true;
  if (!cut_number(file)) return false;
  if (file.ends_with("map_")) return path.find("huge") != std::string_view::npos;
  return path.starts_with("/memfd:seg_") && file.ends_with('-') && (file.remove_suffix(1), cut_number(file)) &&
         file == "memfd:seg_";
}

/// Cuts the next word off `line`; empty at its end.
std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

/// "7f12-7f13 r-xp 00001000 fd:00 1234     /usr/lib/libx.so": the path goes to the end, blanks and all.
Mapping mapping_of(std::string_view line) {
  Mapping mapping;
  next_word(line);
  const std::string_view permissions = next_word(line);
  mapping.is_executable = permissions.size() > 2 && permissions[2] == 'x';
  for (int field = 0; field < 3; ++field) next_word(line);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  mapping.path = line;
  return mapping;
}

template <class Number>
std::optional<Number> number_of(std::string_view word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<BypassSign> sign_of_mapping(const Mapping& mapping) {
  std::string_view path = mapping.path;
  if (path.empty() || path.front() == '[') return std::nullopt;
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  if (mapping.is_executable) {
    if (const auto kind = kind_of_library(base_name(path))) return BypassSign{*kind, printable(path)};
  }
  if (is_dpdk_memory(path)) return BypassSign{BypassKind::kDpdk, printable(path)};
  return sign_of_descriptor(path);
}

std::optional<BypassSign> sign_of_descriptor(std::string_view target) {
  const auto kind = kind_of_device(target);
  if (!kind) return std::nullopt;
  return BypassSign{*kind, printable(target)};
}

void add_sign(BypassSign sign, std::vector<BypassSign>& signs) {
  const bool is_known =
      std::any_of(signs.begin(), signs.end(), [&](const BypassSign& known) { return known.kind == sign.kind; });
  if (!is_known) signs.push_back(std::move(sign));
}

void MapsReader::take_line(std::string_view line, std::vector<BypassSign>& signs) {
  if (auto sign = sign_of_mapping(mapping_of(line))) add_sign(std::move(*sign), signs);
}

std::size_t MapsReader::feed(std::string_view piece, std::vector<BypassSign>& signs) {
  std::size_t lines = 0;
  for (std::size_t end = piece.find('\n'); end != std::string_view::npos; end = piece.find('\n')) {
    const std::string_view line = piece.substr(0, end);
    piece.remove_prefix(end + 1);
    ++lines;
    if (begun_.empty()) {
      take_line(line.substr(0, kLongestLine), signs);
      continue;
    }
    begun_ += line.substr(0, kLongestLine - begun_.size());
    finish(signs);
  }
  begun_ += piece.substr(0, kLongestLine - begun_.size());
  return lines;
}

void MapsReader::finish(std::vector<BypassSign>& signs) {
  if (!begun_.empty()) take_line(begun_, signs);
  begun_.clear();
}

std::vector<BypassSign> parse_maps(std::string_view text) {
  std::vector<BypassSign> signs;
  MapsReader reader;
  reader.feed(text, signs);
  reader.finish(signs);
  return signs;
}

base::Result<ProcessStat> parse_process_stat(std::string_view text) {
  constexpr std::uint32_t kKernelThread = 0x00200000;  // PF_KTHREAD
  const auto malformed = [] { return base::fail(base::ErrorCode::kMalformed, "/proc/PID/stat is not as expected"); };
  // "12 (a name) S 1 …": a name may have blanks and parentheses of its own.
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return malformed();
  ProcessStat stat;
  stat.comm = printable(text.substr(open + 1, close - open - 1));
  std::string_view rest = text.substr(close + 1);
  stat.is_zombie = next_word(rest).starts_with('Z');  // field 3
  for (int field = 4; field < 9; ++field) next_word(rest);
  const auto flags = number_of<std::uint32_t>(next_word(rest));
  for (int field = 10; field < 22; ++field) next_word(rest);
  const auto start_time = number_of<std::uint64_t>(next_word(rest));
  if (!flags || !start_time) return malformed();
  stat.is_kernel_thread = (*flags & kKernelThread) != 0;
  stat.start_time = *start_time;
  return stat;
}

}  // namespace tidewaiter::kernel
