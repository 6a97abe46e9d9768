// SPDX-License-Identifier: Apache-2.0
//
// record_kernel DIRECTORY: records what this kernel says of a known set of sockets, as input for tests that run
// everywhere. Needs root; works in an anonymous network namespace and leaves nothing behind but the files:
//   release         version of the kernel, and its tick rate
//   sys/…, net/…    the files under /proc that the kernel room reads; a file that this kernel lacks is not written
//   *.dump          the datagrams of one sock_diag dump, each with its length before it (32 bits, little endian)
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <vector>

#include "kernel/diag_socket.h"
#include "kernel/diag_wire.h"
#include "kernel/host.h"
#include "kernel/network_settings.h"
#include "kernel/testing/private_network.h"

namespace {

using namespace tidewaiter;
using base::FileDescriptor;
using kernel::DiagRequest;
using kernel::StateMask;
using telemetry::Address;
using telemetry::TcpState;
namespace testing = kernel::testing;

constexpr std::uint32_t kSequence = 1;
const Address kLoopback = Address::v4(0x7f000001);

/// Notes when a dump is over; the rows themselves are for later.
class Ignore final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow&) override {}
  void on_restart() override {}
};

FileDescriptor must(base::Result<FileDescriptor> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "record_kernel: {}\n", result.error().message());
  std::exit(3);
}

/// The sockets that the golden census describes (src/kernel/tests/recorded_kernels_test.cpp).
std::vector<FileDescriptor> make_sockets() {
  std::vector<FileDescriptor> open;
  const Address loopback6 = *telemetry::parse_address("::1");
  auto four = must(testing::listen_on(kLoopback, 9000, 16));
  auto dual = must(testing::listen_on(Address(), 9100, 4));
  auto in_range = must(testing::listen_on(kLoopback, 40'100, 8));
  for (int i = 0; i < 5; ++i) {  // live, both ends held
    open.push_back(must(testing::connect_to(kLoopback, 9000)));
    open.push_back(must(testing::accept_from(four)));
  }
  for (int i = 0; i < 3; ++i) {  // TIME_WAIT of the client
    FileDescriptor client = must(testing::connect_to(kLoopback, 9000));
    FileDescriptor server = must(testing::accept_from(four));
    client.reset();
    server.reset();
  }
  {  // FIN_WAIT2 without a descriptor: the server keeps its end open
    FileDescriptor client = must(testing::connect_to(kLoopback, 9000));
    open.push_back(must(testing::accept_from(four)));
    client.reset();
  }
  {  // FIN_WAIT2 with a descriptor
    open.push_back(must(testing::connect_to(kLoopback, 9000)));
    ::shutdown(open.back().get(), SHUT_WR);
    open.push_back(must(testing::accept_from(four)));
  }
  for (int i = 0; i < 2; ++i) open.push_back(must(testing::connect_to(loopback6, 9100)));  // wait for accept()
  testing::ConnectOptions mapped;
  mapped.use_ipv6_socket = true;
  open.push_back(must(testing::connect_to(kLoopback, 9100, mapped)));
  open.push_back(must(testing::bind_only(kLoopback, 40'200)));
  for (auto* listener : {&four, &dual, &in_range}) open.push_back(std::move(*listener));
  return open;
}

/// Notes whether a FIN is still on its way.
class Settling final : public telemetry::RowSink {
 public:
  void on_row(const telemetry::SocketRow&) override { is_settled = false; }
  void on_restart() override { is_settled = true; }
  bool is_settled = true;
};

/// The ACK of a FIN is delayed: looks until nobody waits for one.
void settle() {
  while (true) {
    Settling sink;
    auto socket = kernel::DiagSocket::open();
    if (!socket) return;
    const DiagRequest request{
        StateMask(TcpState::kFinWait1, TcpState::kLastAck, TcpState::kClosing), kernel::DiagExtension::kNone, {}, {}};
    if (!socket->dump(request, sink) || sink.is_settled) return;
  }
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

void record_text(const std::filesystem::path& directory, const std::string& source, const std::string& name) {
  if (const auto text = kernel::read_file(source)) write_file(directory / name, *text);
}

void record_dump(const std::filesystem::path& file, const DiagRequest& request) {
  const FileDescriptor socket = must(kernel::connect_to_sock_diag());
  const auto bytes = kernel::encode_dump_request(request, kSequence);
  ::send(socket.get(), bytes.data(), bytes.size(), 0);
  std::string recorded;
  std::vector<std::byte> buffer(1 << 16);
  Ignore sink;
  for (bool is_done = false; !is_done;) {
    const ssize_t length = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (length < 0) {
      fmt::print(stderr, "record_kernel: receive: {}\n", std::strerror(errno));
      std::exit(3);
    }
    const auto size = static_cast<std::uint32_t>(length);
    recorded.append(reinterpret_cast<const char*>(&size), sizeof size);
    recorded.append(reinterpret_cast<const char*>(buffer.data()), size);
    const auto chunk = kernel::parse_dump(std::span(buffer).first(size), kSequence, sink);
    if (!chunk) {
      fmt::print(stderr, "record_kernel: {}\n", chunk.error().message());
      std::exit(3);
    }
    is_done = chunk->is_done;
  }
  write_file(file, recorded);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: record_kernel DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory(argv[1]);
  auto network = testing::PrivateNetwork::create();
  if (!network) {
    fmt::print(stderr, "record_kernel: {}\n", network.error().message());
    return 3;
  }
  for (const auto& [name, value] :
       {std::pair("net/ipv4/ip_local_port_range", "40000 40999"),
        std::pair("net/ipv4/ip_local_reserved_ports", "40010-40019"), std::pair("net/ipv4/tcp_tw_reuse", "0")}) {
    if (auto set = network->set(name, value); !set) fmt::print(stderr, "record_kernel: {}\n", set.error().message());
  }
  const auto sockets = make_sockets();
  settle();
  utsname names{};
  uname(&names);
  const auto version = kernel::parse_kernel_version(names.release);
  write_file(directory / "release",
             fmt::format("{}\n{}\n", version ? version->to_string() : names.release, kernel::kernel_hz().value_or(0)));
  for (const char* name :
       {"ip_local_port_range", "ip_local_reserved_ports", "tcp_tw_reuse", "tcp_tw_reuse_delay", "tcp_timestamps",
        "tcp_max_tw_buckets", "tcp_max_syn_backlog", "tcp_syncookies", "tcp_synack_retries", "tcp_syn_retries",
        "tcp_syn_linear_timeouts", "tcp_abort_on_overflow", "tcp_fin_timeout"}) {
    record_text(directory, std::string("/proc/sys/net/ipv4/") + name, std::string("sys/net/ipv4/") + name);
  }
  record_text(directory, "/proc/sys/net/core/somaxconn", "sys/net/core/somaxconn");
  for (const char* name : {"snmp", "netstat", "sockstat", "sockstat6"}) {
    record_text(directory, std::string("/proc/thread-self/net/") + name, std::string("net/") + name);
  }
  record_dump(directory / "owners.dump",
              {StateMask(TcpState::kListen, TcpState::kBoundInactive), kernel::DiagExtension::kSocketMemory, {}, {}});
  record_dump(directory / "connections.dump",
              {StateMask(TcpState::kEstablished, TcpState::kSynSent, TcpState::kSynReceived, TcpState::kFinWait1,
                         TcpState::kFinWait2, TcpState::kTimeWait, TcpState::kCloseWait, TcpState::kLastAck,
                         TcpState::kClosing),
               kernel::DiagExtension::kNone,
               {},
               {}});
  record_dump(directory / "waiting.dump",
              {StateMask(TcpState::kEstablished, TcpState::kCloseWait), kernel::DiagExtension::kTcpInfo, {9100}, {}});
  fmt::print("recorded {} into {}\n", names.release, directory.string());
  return 0;
}
