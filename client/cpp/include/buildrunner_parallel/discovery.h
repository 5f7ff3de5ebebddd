// Where the coordinator is and with which token: given, from the environment, or the workspace's own. Reads a
// few small files; whether anybody answers there is not asked.
#pragma once

#include <filesystem>
#include <string>

namespace buildrunner_parallel {

// An address as gRPC takes it (`unix:PATH` or `HOST:PORT`), and the token to present there.
struct Target {
  std::string address;
  std::string token;
};

// A repository with all its worktrees, or a directory without git.
struct Workspace {
  std::filesystem::path root;      // of the main worktree
  std::filesystem::path worktree;  // the checkout that the caller is in
  std::filesystem::path state;     // where the local coordinator keeps its state
};

Workspace find_workspace(const std::filesystem::path& from = std::filesystem::current_path());

// Looks at `coordinator` and `token`, then BR_COORDINATOR, BR_TOKEN, BR_TOKEN_FILE, then the state directory
// (BR_STATE_DIR, else .buildrunner at the root of the workspace).
// Throws Error: kInvalid for text that is no address, kUnavailable when no coordinator was ever started here,
// kUnauthenticated for a token file that cannot be read.
Target locate(const std::string& coordinator = "", const std::string& token = "");

}  // namespace buildrunner_parallel
