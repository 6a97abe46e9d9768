# SPDX-License-Identifier: Apache-2.0
# tidewaiter_room(NAME [DEPENDS room…] [LIBRARIES target…] [OBJECT])
#
# A room is one folder of src/: every *.cpp in it becomes the library tidewaiter_NAME, every tests/*_test.cpp of it
# the executable NAME_test. Its include path shows the rooms that it declared and no other: each room is reached
# through a folder that holds one link, NAME → src/NAME. tools/lint_rooms checks the same edges in the sources, also
# those that arrive through a neighbour, and refuses cycles.
#
# OBJECT keeps every translation unit in the final program, for rooms whose units register themselves.
function(tidewaiter_room name)
  cmake_parse_arguments(ROOM "OBJECT" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  file(GLOB published CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/testing/*.cpp)

  set(window ${CMAKE_BINARY_DIR}/rooms/${name})
  file(MAKE_DIRECTORY ${window})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${window}/${name} SYMBOLIC)

  if(NOT sources)
    set(kind INTERFACE)
    set(scope INTERFACE)
  elseif(ROOM_OBJECT)
    set(kind OBJECT)
    set(scope PUBLIC)
  else()
    set(kind STATIC)
    set(scope PUBLIC)
  endif()
  add_library(tidewaiter_${name} ${kind} ${sources})
  target_include_directories(tidewaiter_${name} ${scope} ${window})
  if(NOT kind STREQUAL INTERFACE)
    target_link_libraries(tidewaiter_${name} PRIVATE tidewaiter_build)
  endif()
  foreach(neighbour IN LISTS ROOM_DEPENDS)
    target_link_libraries(tidewaiter_${name} ${scope} tidewaiter_${neighbour})
  endforeach()
  target_link_libraries(tidewaiter_${name} ${scope} ${ROOM_LIBRARIES})

  if(published)
    add_library(tidewaiter_${name}_testing STATIC EXCLUDE_FROM_ALL ${published})
    target_link_libraries(tidewaiter_${name}_testing PRIVATE tidewaiter_build PUBLIC tidewaiter_${name})
  endif()
  if(TIDEWAITER_TESTS)
    file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/*_test.cpp)
    if(tests)
      tidewaiter_test(${name}_test SOURCES ${tests} ROOMS ${name})
      if(published)
        target_link_libraries(${name}_test PRIVATE tidewaiter_${name}_testing)
      endif()
    endif()
  endif()
endfunction()

# tidewaiter_test(TARGET SOURCES file… ROOMS room… [LIBRARIES target…]): a GoogleTest program, each TEST a CTest case.
function(tidewaiter_test target)
  cmake_parse_arguments(TEST "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  add_executable(${target} ${TEST_SOURCES})
  foreach(room IN LISTS TEST_ROOMS)
    target_link_libraries(${target} PRIVATE tidewaiter_${room})
  endforeach()
  target_link_libraries(${target} PRIVATE tidewaiter_build ${TEST_LIBRARIES} GTest::gmock GTest::gtest_main rapidcheck)
  target_compile_definitions(${target} PRIVATE TIDEWAITER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  gtest_discover_tests(${target} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 120)
endfunction()
