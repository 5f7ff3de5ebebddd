// The first program of the README is the example that is compiled.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace {

std::string read(const std::string& name) {
  std::ifstream file(std::string(SOURCE_DIR) + "/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Readme, ShowsTheExampleAsItIs) {
  const std::string example = read("examples/first.cpp");
  const std::string program = example.substr(example.find("#include"));
  EXPECT_NE(read("README.md").find("```cpp\n" + program + "```"), std::string::npos);
}

}  // namespace
