# SPDX-License-Identifier: Apache-2.0
# tidewaiter_bpf_object(NAME SOURCE file HEADERS file… [DEFINITIONS name…] [LIGHT])
#
# Compiles one BPF program file with clang for the target "bpf" and turns it into a libbpf skeleton,
# ${CMAKE_BINARY_DIR}/skeletons/NAME.skel.h, with the object inside. Types of the kernel come from src/kernel/bpf/kernel_types.h
# (relocated at load time, CO-RE), so no BTF of any kernel is needed to build. Nothing that clang or bpftool say is hidden.
# LIGHT: the skeleton is a program that loads the object from inside the kernel (Linux 5.17), in 3 to 5 ms instead of 80
# and without reading the kernel's types here; for C only, and all programs or none.
find_program(BPF_CLANG NAMES clang-14 clang-15 clang-16 clang-17 clang-18 clang)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin)
pkg_check_modules(LIBBPF IMPORTED_TARGET libbpf>=1.0)

set(TIDEWAITER_BPF_MISSING "")
if(NOT BPF_CLANG)
  list(APPEND TIDEWAITER_BPF_MISSING "clang")
endif()
if(NOT BPFTOOL)
  list(APPEND TIDEWAITER_BPF_MISSING "bpftool")
endif()
if(NOT LIBBPF_FOUND)
  list(APPEND TIDEWAITER_BPF_MISSING "libbpf")
endif()
option(TIDEWAITER_BPF "Build the BPF programs" ON)
if(TIDEWAITER_BPF AND TIDEWAITER_BPF_MISSING)
  message(STATUS "BPF is left out, its source is shown as not built in; missing: ${TIDEWAITER_BPF_MISSING}")
  set(TIDEWAITER_BPF OFF)
endif()

function(tidewaiter_bpf_object name)
  cmake_parse_arguments(BPF "LIGHT" "SOURCE" "HEADERS;DEFINITIONS" ${ARGN})
  set(folder ${CMAKE_BINARY_DIR}/skeletons)
  file(MAKE_DIRECTORY ${folder})
  set(object ${folder}/${name}.bpf.o)
  set(skeleton ${folder}/${name}.skel.h)
  list(TRANSFORM BPF_DEFINITIONS PREPEND -D)
  set(kind "")
  if(BPF_LIGHT)
    set(kind --use-loader)
  endif()
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${BPF_CLANG} -std=gnu11 -O2 -g -target bpf -Wall -Wextra -Werror -Wno-unused-parameter
            -Wno-address-of-packed-member ${BPF_DEFINITIONS} -I${CMAKE_SOURCE_DIR}/src
            -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -c ${BPF_SOURCE} -o ${object}
    COMMAND ${CMAKE_COMMAND} -E echo "// NOLINTBEGIN: generated" > ${skeleton}.new
    COMMAND ${BPFTOOL} ${kind} gen skeleton ${object} name ${name}_bpf >> ${skeleton}.new
    COMMAND ${CMAKE_COMMAND} -E echo "// NOLINTEND" >> ${skeleton}.new
    COMMAND ${CMAKE_COMMAND} -E rename ${skeleton}.new ${skeleton}
    DEPENDS ${BPF_SOURCE} ${BPF_HEADERS}
    COMMENT "BPF ${name}"
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY TIDEWAITER_BPF_SKELETONS ${skeleton})
endfunction()

# tidewaiter_use_bpf(TARGET): the skeletons declared so far become <skeletons/NAME.skel.h> of the target.
function(tidewaiter_use_bpf target)
  get_property(skeletons GLOBAL PROPERTY TIDEWAITER_BPF_SKELETONS)
  target_sources(${target} PRIVATE ${skeletons})
  if(NOT TARGET bpf_skeletons)
    add_custom_target(bpf_skeletons)  # for whoever reads the sources without building them
  endif()
  add_custom_target(${target}_skeletons DEPENDS ${skeletons})
  add_dependencies(bpf_skeletons ${target}_skeletons)
  add_dependencies(${target} ${target}_skeletons)
  target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_BINARY_DIR})
  target_compile_definitions(${target} PRIVATE TIDEWAITER_BPF)
  target_link_libraries(${target} PUBLIC PkgConfig::LIBBPF)
endfunction()
