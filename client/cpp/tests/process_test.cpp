#include "process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "folder.h"

namespace br = buildrunner_parallel;

namespace {

const std::vector<std::string> kEnvironment{"PATH=/usr/local/bin:/usr/bin:/bin", "COLOUR=red"};

void await(int fd) {
  pollfd watched{fd, POLLIN, 0};
  while (poll(&watched, 1, -1) < 0) {
  }
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (await(fd);; await(fd)) {
    const ssize_t size = read(fd, buffer, sizeof buffer);
    if (size <= 0) return text;
    text.append(buffer, static_cast<size_t>(size));
  }
}

br::Exit ended(br::Process& process) {
  await(process.ended());
  return process.wait();
}

// One that ends while this is read makes the reading fail, which getline takes as the end.
bool is_alive(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text, '\0');
  return !text.empty() && text.substr(text.rfind(')') + 2, 1) != "Z";
}

pid_t pid_in(const std::filesystem::path& file) {
  pid_t pid = 0;
  while (pid == 0) {
    std::ifstream(file) >> pid;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return pid;
}

TEST(Process, BothChannelsAndTheCodeArrive) {
  br::Process process({"sh", "-c", "echo out $COLOUR; echo err >&2; pwd; exit 3"}, kEnvironment, "/usr");
  EXPECT_EQ(read_all(process.out()), "out red\n/usr\n");
  EXPECT_EQ(read_all(process.err()), "err\n");
  EXPECT_EQ(ended(process).code, 3);
}

TEST(Process, NoShellTouchesTheArguments) {
  br::Process process({"printf", "%s|", "a b", "$HOME", "*", ""}, kEnvironment, "/");
  EXPECT_EQ(read_all(process.out()), "a b|$HOME|*||");
  EXPECT_EQ(ended(process).code, 0);
}

TEST(Process, ASignalIsToldAsOne) {
  br::Process process({"sleep", "600"}, kEnvironment, "/");
  process.signal(SIGTERM);
  const br::Exit exit = ended(process);
  EXPECT_EQ(exit.code, std::nullopt);
  EXPECT_EQ(exit.signal, SIGTERM);
}

TEST(Process, WhatItLeavesBehindDiesWithIt) {
  const Folder folder;
  const std::string line = "setsid sleep 600 & echo $! > escaped; sleep 600 & echo $! > left";
  br::Process process({"sh", "-c", line}, kEnvironment, folder.path().string());
  EXPECT_EQ(ended(process).code, 0);
  EXPECT_FALSE(is_alive(pid_in(folder.path() / "left")));
  EXPECT_FALSE(is_alive(pid_in(folder.path() / "escaped")));
}

TEST(Process, ItDiesWithItsWorkerEvenWhenThatIsKilled) {
  const Folder folder;
  const pid_t worker = fork();
  if (worker == 0) {
    const br::Process process({"sh", "-c", "trap '' TERM; echo $$ > pid; while :; do sleep 1; done"},
                              kEnvironment, folder.path().string());
    for (;;) pause();
  }
  const pid_t command = pid_in(folder.path() / "pid");
  EXPECT_TRUE(is_alive(command));
  kill(worker, SIGKILL);
  waitpid(worker, nullptr, 0);
  while (is_alive(command)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST(Process, AnotherTasksProcessDoesNotHoldItsLifeline) {
  const Folder folder;
  const pid_t worker = fork();
  if (worker == 0) {
    const br::Process first({"sh", "-c", "echo $$ > one; sleep 600"}, kEnvironment, folder.path().string());
    const br::Process second({"sh", "-c", "echo $$ > two; sleep 600"}, kEnvironment, folder.path().string());
    for (;;) pause();
  }
  const pid_t one = pid_in(folder.path() / "one"), two = pid_in(folder.path() / "two");
  kill(worker, SIGKILL);
  waitpid(worker, nullptr, 0);
  while (is_alive(one) || is_alive(two)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

std::string failure(const std::vector<std::string>& argv, const std::string& directory) {
  try {
    const br::Process process(argv, kEnvironment, directory);
  } catch (const std::system_error& error) {
    return error.what();
  }
  return "";
}

TEST(Process, WhatCannotStartIsNamed) {
  const Folder folder;
  EXPECT_NE(failure({"no-such-program"}, "/").find("'no-such-program' is not on the PATH"),
            std::string::npos);
  EXPECT_NE(failure({"./missing"}, "/").find("'./missing' cannot be run"), std::string::npos);
  EXPECT_NE(failure({"true"}, "/no/such/place").find("'/no/such/place' cannot be entered"),
            std::string::npos);
  EXPECT_NE(failure({folder.write("plain", "text").string()}, "/").find("Permission denied"),
            std::string::npos);
}

}  // namespace
