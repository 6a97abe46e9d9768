// SPDX-License-Identifier: Apache-2.0
#include "output/assets.h"

#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <string>

namespace tidewaiter::output {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

const Asset* find(std::string_view path) {
  const auto all = assets();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Asset& asset) { return asset.path == path; });
  return found == all.end() ? nullptr : &*found;
}

TEST(Assets, are_the_files_of_the_folder_byte_by_byte) {
  std::vector<std::string_view> paths;
  for (const Asset& asset : assets()) {
    paths.push_back(asset.path);
    const std::string name = asset.path == "/" ? "index.html" : std::string(asset.path.substr(1));
    std::ifstream file(TIDEWAITER_SOURCE_DIR "/src/output/assets/" + name, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    EXPECT_TRUE(bytes == asset.bytes) << name;
    EXPECT_EQ(asset.etag.size(), 16U) << name;
  }
  EXPECT_THAT(paths, UnorderedElementsAre("/", "/app.css", "/app.js", "/connects.js", "/icon.svg", "/page.js"));
}

TEST(Assets, have_the_content_type_that_a_browser_needs) {
  EXPECT_EQ(find("/")->content_type, "text/html; charset=utf-8");
  EXPECT_EQ(find("/app.js")->content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(find("/app.css")->content_type, "text/css; charset=utf-8");
  EXPECT_EQ(find("/icon.svg")->content_type, "image/svg+xml");
}

// The server's content policy allows nothing else: what breaks these rules would silently not work.
TEST(Assets, the_page_needs_nothing_from_elsewhere_and_has_no_inline_script_or_style) {
  const std::string page(find("/")->bytes);
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("style=")));
  EXPECT_THAT(page, Not(HasSubstr("<style")));
  EXPECT_THAT(page, HasSubstr("<script type=\"module\" src=\"app.js\"></script>"));
  for (const char* path : {"/app.js", "/connects.js", "/page.js"}) {
    const std::string program(find(path)->bytes);
    EXPECT_THAT(program, Not(HasSubstr("innerHTML"))) << path;
    EXPECT_THAT(program, Not(HasSubstr("//cdn"))) << path;
  }
}

}  // namespace
}  // namespace tidewaiter::output
