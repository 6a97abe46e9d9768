// SPDX-License-Identifier: Apache-2.0
#include "kernel/bypass_signs.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tidewaiter::kernel {
namespace {

using telemetry::BypassKind;

std::string line(const std::string& path, const std::string& permissions = "r-xp") {
  return "7f5e8a600000-7f5e8a628000 " + permissions + " 00028000 fd:01 1835267                    " + path + "\n";
}

std::optional<BypassKind> kind_of(const std::string& path, const std::string& permissions = "r-xp") {
  const auto signs = parse_maps(line(path, permissions));
  EXPECT_LE(signs.size(), 1U);
  if (signs.empty()) return std::nullopt;
  return signs[0].kind;
}

TEST(BypassSigns, are_libraries_by_their_whole_name) {
  EXPECT_EQ(kind_of("/usr/lib64/libonload.so"), BypassKind::kOnload);
  EXPECT_EQ(kind_of("/usr/lib64/libonload_zf.so.1.0.2"), BypassKind::kTcpDirect);
  EXPECT_EQ(kind_of("/usr/lib64/libciul.so.1"), BypassKind::kEfVi);
  EXPECT_EQ(kind_of("/usr/lib/libvma.so.9.8.60 (deleted)"), BypassKind::kVma);
  EXPECT_EQ(kind_of("/opt/a path/libxlio.so.3"), BypassKind::kXlio);
  EXPECT_EQ(kind_of("/usr/lib/exasock/libexasock_preload.so"), BypassKind::kExasock);
  EXPECT_EQ(kind_of("/usr/lib/x86_64-linux-gnu/librte_eal.so.23.0"), BypassKind::kDpdk);
  EXPECT_EQ(kind_of("/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_net_mlx5.so.23.0"), BypassKind::kDpdk);
}

TEST(BypassSigns, are_not_what_only_looks_alike) {
  for (const char* path : {"/usr/lib/libc.so.6",
                           "/usr/lib/libvmaf.so.1",
                           "/usr/lib/libonload_ext.so.1",
                           "/usr/lib/libexasock_ext.so",
                           "/srv/libonload.so-notes/libz.so.1",
                           "/home/me/libvma.txt",
                           "/usr/lib/libibverbs.so.1",
                           "[heap]",
                           "[vdso]",
                           "",
                           "/dev/hugepages/qemu_back_mem.0",
                           "/dev/hugepages/libvirt/qemu/1-vm/map",
                           "/anon_hugepage",
                           "/tmp/roadmap_3",
                           "/dev/infiniband/uverbs0",
                           "/dev/uio",
                           "/dev/uiodine",
                           "/memfd:seg_",
                           "/memfd:seg_0-",
                           "/memfd:xseg_0-1",
                           "/memfd:postgres (deleted)",
                           "anon_inode:[eventpoll]"}) {
    EXPECT_FALSE(kind_of(path)) << path;
  }
}

TEST(BypassSigns, are_libraries_only_where_they_are_run) {
  EXPECT_FALSE(kind_of("/usr/lib64/libonload.so", "r--p")) << "a file that somebody reads";
}

TEST(BypassSigns, are_the_names_of_dpdk_s_memory_in_a_static_program) {
  for (const char* path : {"/dev/hugepages/rtemap_0", "/mnt/huge_1GB/spdk0map_17", "/run/dpdk/rte/fbarray_memzone",
                           "/var/run/dpdk/fwd/fbarray_memseg-2048k-0-0", "/memfd:seg_0-12 (deleted)"}) {
    EXPECT_EQ(kind_of(path, "rw-s"), BypassKind::kDpdk) << path;
  }
}

TEST(BypassSigns, are_devices_that_are_open_or_mapped) {
  const auto of = [](const char* target) {
    const auto sign = sign_of_descriptor(target);
    return sign ? std::optional(sign->kind) : std::nullopt;
  };
  EXPECT_EQ(of("/dev/onload"), BypassKind::kOnload);
  EXPECT_EQ(of("/dev/onload_epoll"), BypassKind::kOnload);
  EXPECT_EQ(of("onload:[tcp:1:8]"), BypassKind::kOnload);
  EXPECT_EQ(of("/dev/sfc_char"), BypassKind::kEfVi);
  EXPECT_EQ(of("/dev/exasock"), BypassKind::kExasock);
  EXPECT_EQ(of("/dev/vfio/42"), BypassKind::kDevice);
  EXPECT_EQ(of("anon_inode:[vfio-device]"), BypassKind::kDevice);
  EXPECT_EQ(of("/dev/uio0"), BypassKind::kDevice);
  EXPECT_FALSE(of("socket:[123]"));
  EXPECT_FALSE(of("/usr/lib64/libonload.so")) << "any file may be open for reading";
  EXPECT_FALSE(of("/dev/hugepages/rtemap_0"));
  EXPECT_EQ(kind_of("/dev/uio1", "rw-s"), BypassKind::kDevice);
}

TEST(BypassSigns, show_one_of_each_kind_and_only_what_can_be_printed) {
  const auto signs = parse_maps(line("/usr/lib/librte_eal.so.23") + line("/usr/lib/librte_mbuf.so.23") +
                                line("/opt/\x1b[31m\xc3x/libvma.so") + line("/dev/vfio/1", "rw-s"));
  ASSERT_EQ(signs.size(), 3U);
  EXPECT_EQ(signs[0], (BypassSign{BypassKind::kDpdk, "/usr/lib/librte_eal.so.23"}));
  EXPECT_EQ(signs[1].evidence, "/opt/?[31m?x/libvma.so");
  EXPECT_EQ(signs[2].kind, BypassKind::kDevice);
  EXPECT_EQ(parse_maps(line("/" + std::string(9'000, 'a') + "/libvma.so")).at(0).evidence.size(), kLongestEvidence);
}

TEST(MapsReader, reads_the_same_however_the_text_is_cut) {
  const std::string text = line("/usr/lib/libc.so.6") + line("/usr/lib/librte_eal.so.23") + line("") +
                           line("/dev/onload", "rw-s") + "7ffd1000-7ffd2000 r-xp 00000000 00:00 0  /x/libvma.so";
  const auto whole = parse_maps(text);
  ASSERT_EQ(whole.size(), 3U) << "the last line has no end";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); second += 13) {
      std::vector<BypassSign> signs;
      MapsReader reader;
      std::size_t lines = reader.feed(text.substr(0, first), signs);
      lines += reader.feed(text.substr(first, second - first), signs);
      lines += reader.feed(text.substr(second), signs);
      reader.finish(signs);
      ASSERT_EQ(signs, whole) << first << ", " << second;
      ASSERT_EQ(lines, 4U);
    }
  }
}

TEST(MapsReader, keeps_no_more_than_a_line_of_reasonable_length) {
  std::vector<BypassSign> signs;
  MapsReader reader;
  for (int i = 0; i < 100; ++i) reader.feed(std::string(10'000, 'x'), signs);
  reader.feed("/libonload.so\n" + line("/usr/lib/libvma.so"), signs);
  reader.finish(signs);
  ASSERT_EQ(signs.size(), 1U);
  EXPECT_EQ(signs[0].kind, BypassKind::kVma) << "the line after it is read as ever";
}

TEST(MapsReader, reads_random_text_without_harm) {
  EXPECT_TRUE(rc::check([](const std::string& text) { RC_ASSERT(parse_maps(text).size() <= 8U); }));
}

TEST(ProcessStat, reads_a_name_with_parentheses_and_blanks) {
  const std::string fields = " S 1 77 77 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 123456 9000 100 1";
  const auto stat = parse_process_stat("77 (a) (b c)" + fields);
  ASSERT_TRUE(stat) << stat.error().message();
  EXPECT_EQ(stat->comm, "a) (b c");
  EXPECT_EQ(stat->start_time, 123'456U);
  EXPECT_FALSE(stat->is_kernel_thread);
  EXPECT_FALSE(stat->is_zombie);
  EXPECT_EQ(parse_process_stat("77 (\x1b[2J)" + fields)->comm, "?[2J");
}

TEST(ProcessStat, knows_kernel_threads_and_zombies) {
  EXPECT_TRUE(parse_process_stat("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0")->is_kernel_thread);
  EXPECT_TRUE(parse_process_stat("9 (x) Z 0 0 0 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0")->is_zombie);
}

TEST(ProcessStat, refuses_what_is_none) {
  for (const char* text : {"", "1", "1 (", "1 )(", "1 (x)", "1 (x) S 0 0 0 0 -1 no", "1 (x) S 0 0 0 0 -1 4 0 0"}) {
    EXPECT_EQ(parse_process_stat(text).error().code, base::ErrorCode::kMalformed) << text;
  }
}

}  // namespace
}  // namespace tidewaiter::kernel
