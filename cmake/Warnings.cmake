# SPDX-License-Identifier: Apache-2.0
# One interface target that every target of ours links: warnings, and the sanitizers of the preset.
add_library(tidewaiter_build INTERFACE)
target_compile_options(tidewaiter_build INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms in std::string's operator+ when it is inlined (GCC bug 105651, mended in 13).
  target_compile_options(tidewaiter_build INTERFACE -Wno-restrict)
endif()
if(TIDEWAITER_SANITIZE)
  target_compile_options(tidewaiter_build INTERFACE -fsanitize=${TIDEWAITER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(tidewaiter_build INTERFACE -fsanitize=${TIDEWAITER_SANITIZE})
endif()
if(TIDEWAITER_FUZZ)
  # Coverage for the code under test; each fuzz target adds the driver.
  target_compile_options(tidewaiter_build INTERFACE -fsanitize=fuzzer-no-link)
endif()
