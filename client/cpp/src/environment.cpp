#include "environment.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <filesystem>

namespace fs = std::filesystem;

extern "C" char** environ;

namespace buildrunner_parallel {
namespace {

bool is_allowed(const std::string& name) {
  constexpr std::array<const char*, 13> kPatterns{"PATH",  "HOME",    "USER",        "SHELL", "LANG",
                                                  "TZ",    "TMPDIR",  "VIRTUAL_ENV", "CI",    "LC_*",
                                                  "XDG_*", "*_PROXY", "*_proxy"};
  return std::any_of(kPatterns.begin(), kPatterns.end(),
                     [&](const char* pattern) { return fnmatch(pattern, name.c_str(), 0) == 0; });
}

}  // namespace

std::string directory_of(const v1::WorkingDirectory& directory) {
  if (directory.path().starts_with("/")) return directory.path();
  const std::string root = directory.worktree().empty() ? fs::current_path().string() : directory.worktree();
  return directory.path().empty() ? root : root + "/" + directory.path();
}

std::map<std::string, std::string> own_environment() {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string::npos) all[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return all;
}

std::map<std::string, std::string> task_environment(const std::map<std::string, std::string>& own,
                                                    const v1::Assignment& assignment,
                                                    const std::map<std::string, std::string>& identity) {
  std::map<std::string, std::string> env;
  for (const auto& [name, value] : own) {
    if (is_allowed(name)) env[name] = value;
  }
  for (const auto& [name, value] : assignment.spec().passed_environment()) env[name] = value;
  for (const auto& [name, value] : assignment.spec().environment()) env[name] = value;
  env.erase("BR_TOKEN");
  env.erase("BR_TOKEN_FILE");
  for (const auto& [name, value] : identity) env[name] = value;
  return env;
}

}  // namespace buildrunner_parallel
