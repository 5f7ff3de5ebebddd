#include "buildrunner_parallel/discovery.h"

#include <gtest/gtest.h>

#include "buildrunner_parallel/errors.h"
#include "folder.h"

namespace br = buildrunner_parallel;
namespace fs = std::filesystem;

namespace {

// Neither the person's variables nor the directory that the tests are started in decide.
class Discovery : public testing::Test {
 protected:
  void SetUp() override { fs::current_path(folder.path()); }
  void TearDown() override { fs::current_path("/"); }

  br::ErrorKind refusal(const std::string& coordinator = "") {
    try {
      br::locate(coordinator);
    } catch (const br::Error& error) {
      EXPECT_NE(std::string(error.what()), "");
      return error.kind();
    }
    ADD_FAILURE() << "nothing was refused";
    return br::ErrorKind::kInternal;
  }

  Variable coordinator{"BR_COORDINATOR", ""}, token{"BR_TOKEN", ""}, file{"BR_TOKEN_FILE", ""},
      state{"BR_STATE_DIR", ""};
  Folder folder;
};

constexpr const char* kSaid = R"({"schema_version": 1, "address": "unix:/run/br.sock", "later": [1, 2]})";

TEST_F(Discovery, TheWorkspacesOwnCoordinatorIsFoundFromAnyFolderBelow) {
  folder.write(".git/HEAD", "");
  folder.write(".buildrunner/coordinator.json", kSaid);
  folder.write(".buildrunner/token", "secret\n");
  fs::create_directories(folder.path() / "src/deep");
  fs::current_path(folder.path() / "src/deep");
  const br::Target target = br::locate();
  EXPECT_EQ(target.address, "unix:/run/br.sock");
  EXPECT_EQ(target.token, "secret");
}

TEST_F(Discovery, AWorktreeSharesTheStateOfItsRepository) {
  folder.write("main/.git/worktrees/side/commondir", "../..\n");
  folder.write("side/.git", "gitdir: ../main/.git/worktrees/side\n");
  const br::Workspace workspace = br::find_workspace(folder.path() / "side");
  EXPECT_EQ(workspace.root, folder.path() / "main");
  EXPECT_EQ(workspace.worktree, folder.path() / "side");
  EXPECT_EQ(workspace.state, folder.path() / "main/.buildrunner");
}

TEST_F(Discovery, TheEnvironmentGoesFirst) {
  const Variable address("BR_COORDINATOR", "127.0.0.1:4711");
  const Variable mine("BR_TOKEN", "mine");
  EXPECT_EQ(br::locate().address, "127.0.0.1:4711");
  EXPECT_EQ(br::locate().token, "mine");
}

TEST_F(Discovery, ATokenIsReadFromTheFileThatIsNamed) {
  const Variable named("BR_TOKEN_FILE", folder.write("token", " secret \n").string());
  EXPECT_EQ(br::locate("127.0.0.1:1").token, "secret");
}

TEST_F(Discovery, ATokenFileThatIsNotThereIsRefused) {
  const Variable named("BR_TOKEN_FILE", "/does/not/exist");
  EXPECT_EQ(refusal("127.0.0.1:1"), br::ErrorKind::kUnauthenticated);
}

TEST_F(Discovery, TheLocalTokenGoesToTheLocalCoordinatorAlone) {
  folder.write(".buildrunner/coordinator.json", kSaid);
  folder.write(".buildrunner/token", "secret");
  EXPECT_EQ(br::locate("unix:/run/br.sock").token, "secret");
  EXPECT_EQ(br::locate("127.0.0.1:4711").token, "");
}

TEST_F(Discovery, ATokenBesideTheSocketIsFound) {
  const std::string socket = (folder.path() / "there/br.sock").string();
  folder.write("there/coordinator.json", R"({"address": "unix:)" + socket + R"("})");
  folder.write("there/token", "beside");
  EXPECT_EQ(br::locate(socket).token, "beside");
}

TEST_F(Discovery, WhereNothingWasStartedThatIsSaid) { EXPECT_EQ(refusal(), br::ErrorKind::kUnavailable); }

TEST_F(Discovery, AFileThatMakesNoSenseIsAsNone) {
  folder.write(".buildrunner/coordinator.json", "{\"address\": 7");
  EXPECT_EQ(refusal(), br::ErrorKind::kUnavailable);
}

TEST_F(Discovery, WhatIsNoAddressIsRefused) {
  for (const char* text : {"somewhere", ":80", "host:0", "host:65536", "host:http", "host:"}) {
    EXPECT_EQ(refusal(text), br::ErrorKind::kInvalid) << text;
  }
}

}  // namespace
