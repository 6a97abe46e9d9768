// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "cli/program.h"

int main(int argc, char** argv) {
  try {
    return tidewaiter::cli::run_program(argc, argv);
  } catch (const std::exception& error) {
    // Nothing of ours throws on purpose; memory may run out, or a library may.
    std::fprintf(stderr, "tidewaiter: internal error: %s\n", error.what());
    return 70;
  }
}
