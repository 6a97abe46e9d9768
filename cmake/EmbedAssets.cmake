# SPDX-License-Identifier: Apache-2.0
# tidewaiter_embed_assets(ROOM FOLDER): the files of a room's folder become part of its library, as assets() of the
# room's assets.h. A changed or added file builds anew. `index.html` is the asset "/", every other one "/" and its name.
#
# The file is its own generator: cmake -DROOM=… -DFOLDER=… -DOUTPUT=… -P EmbedAssets.cmake
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(TIDEWAITER_EMBED_ASSETS ${CMAKE_CURRENT_LIST_FILE})

  function(tidewaiter_embed_assets room folder)
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
    set(output ${CMAKE_CURRENT_BINARY_DIR}/${room}_assets.cpp)
    file(GLOB files CONFIGURE_DEPENDS ${source}/*)
    add_custom_command(
      OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -DROOM=${room} -DFOLDER=${source} -DOUTPUT=${output} -P ${TIDEWAITER_EMBED_ASSETS}
      DEPENDS ${files} ${TIDEWAITER_EMBED_ASSETS}
      COMMENT "Embedding ${room}/${folder}"
      VERBATIM)
    target_sources(tidewaiter_${room} PRIVATE ${output})
  endfunction()
  return()
endif()

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

set(rows "")
file(GLOB files ${FOLDER}/*)
list(SORT files)
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING ${extension} 1 -1 extension)
  if(NOT DEFINED type_${extension})
    message(FATAL_ERROR "${file}: no content type for .${extension}; add it to EmbedAssets.cmake")
  endif()
  string(REGEX REPLACE "^index\\.html$" "" path "${name}")
  file(SHA256 ${file} etag)
  string(SUBSTRING ${etag} 0 16 etag)
  file(SIZE ${file} size)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
  string(APPEND rows "    {\"/${path}\", \"${type_${extension}}\", {\"${bytes}\", ${size}}, \"${etag}\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/EmbedAssets.cmake.
#include \"${ROOM}/assets.h\"

namespace tidewaiter::${ROOM} {
namespace {

constexpr Asset kAssets[] = {
${rows}};

}  // namespace

std::span<const Asset> assets() { return kAssets; }

}  // namespace tidewaiter::${ROOM}
")
