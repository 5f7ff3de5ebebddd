#include "buildrunner_parallel/discovery.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "buildrunner_parallel/errors.h"

namespace fs = std::filesystem;

namespace buildrunner_parallel {
namespace {

constexpr const char* kStateDirectory = ".buildrunner";

std::string strip(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : strip(value);
}

std::optional<std::string> read_line(const fs::path& file) {
  std::ifstream in(file);
  if (!in) return std::nullopt;
  return strip(std::string(std::istreambuf_iterator<char>(in), {}));
}

std::optional<fs::path> nearest(const fs::path& from, const char* name) {
  std::error_code ignored;
  for (fs::path folder = from;; folder = folder.parent_path()) {
    if (fs::exists(folder / name, ignored)) return folder;
    if (folder == folder.parent_path()) return std::nullopt;
  }
}

// The path that `file` names, relative to where `file` is.
std::optional<fs::path> linked(const fs::path& file, const std::string& prefix) {
  const auto text = read_line(file);
  if (!text || !text->starts_with(prefix)) return std::nullopt;
  std::error_code ignored;
  return fs::weakly_canonical(file.parent_path() / strip(text->substr(prefix.size())), ignored);
}

// The root that all worktrees of the repository share.
fs::path main_worktree(const fs::path& worktree) {
  std::error_code ignored;
  if (!fs::is_regular_file(worktree / ".git", ignored)) return worktree;
  const auto git = linked(worktree / ".git", "gitdir:");
  const auto common = git ? linked(*git / "commondir", "") : std::nullopt;
  if (!common || !fs::is_directory(*common, ignored)) return worktree;
  return common->filename() == ".git" ? common->parent_path() : *common;
}

std::string normalised(const std::string& text) {
  if (text.starts_with("/")) return "unix:" + text;
  if (text.starts_with("unix:")) {
    std::string path = text.substr(5);
    if (path.starts_with("//")) path = path.substr(path.find_first_not_of('/') - 1);
    return "unix:" + fs::absolute(path).lexically_normal().string();
  }
  const auto colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
  const bool is_number =
      !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (colon > 0 && is_number && std::stoi(port) > 0 && std::stoi(port) < 65536) return text;
  throw Error(ErrorKind::kInvalid, "INVALID",
              "'" + text + "' is no coordinator address; give unix:PATH or HOST:PORT");
}

std::optional<Target> said_by(const fs::path& state) {
  std::ifstream in(state / "coordinator.json");
  const auto said = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!said.is_object()) return std::nullopt;
  const auto address = said.find("address");
  if (address == said.end() || !address->is_string() || address->get<std::string>().empty())
    return std::nullopt;
  return Target{address->get<std::string>(), read_line(state / "token").value_or("")};
}

// The local coordinator's token when `address` is its own; a stranger never gets one.
std::string token_beside(const std::string& address) {
  if (const auto own = said_by(find_workspace().state); own && own->address == address) return own->token;
  if (address.starts_with("unix:")) {
    const auto beside = said_by(fs::path(address.substr(5)).parent_path());
    if (beside && beside->address == address) return beside->token;
  }
  return "";
}

std::optional<std::string> given_token(const std::string& token) {
  if (!token.empty()) return token;
  if (auto from_environment = environment("BR_TOKEN"); !from_environment.empty()) return from_environment;
  const std::string file = environment("BR_TOKEN_FILE");
  if (file.empty()) return std::nullopt;
  const auto read = read_line(file);
  if (read && !read->empty()) return read;
  throw Error(ErrorKind::kUnauthenticated, "",
              "no token can be read from " + file + "; check the path and its permissions");
}

}  // namespace

Workspace find_workspace(const fs::path& from) {
  std::error_code ignored;
  const fs::path start = fs::weakly_canonical(from, ignored);
  const fs::path worktree = nearest(start, ".git").value_or(nearest(start, kStateDirectory).value_or(start));
  const fs::path root = main_worktree(worktree);
  const std::string told = environment("BR_STATE_DIR");
  return {root, worktree, told.empty() ? root / kStateDirectory : fs::absolute(told)};
}

Target locate(const std::string& coordinator, const std::string& token) {
  const auto given = given_token(token);
  const std::string asked = coordinator.empty() ? environment("BR_COORDINATOR") : strip(coordinator);
  if (!asked.empty()) {
    const std::string address = normalised(asked);
    return {address, given ? *given : token_beside(address)};
  }
  const Workspace workspace = find_workspace();
  auto target = said_by(workspace.state);
  if (!target) {
    throw Error(ErrorKind::kUnavailable, "",
                "no coordinator has been started in " + workspace.root.string() +
                    "; `br parallel start` or `br parallel serve` does");
  }
  if (given) target->token = *given;
  return *target;
}

}  // namespace buildrunner_parallel
