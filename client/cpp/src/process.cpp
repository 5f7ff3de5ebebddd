#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

namespace buildrunner_parallel {
namespace {

enum class Stage : int { kDirectory, kProgram, kProcess };

// What the guardian writes to its pipe, in this order: Started or Failed; then, after Started, Ended.
struct Message {
  enum class Kind : int { kStarted, kFailed, kEnded } kind;
  int value = 0;  // pid, errno, or wait status
  Stage stage = Stage::kProcess;
  struct rusage usage {};
};

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
      throw std::system_error(errno, std::generic_category(), "no pipe can be made");
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    if (read >= 0) close(read);
    if (write >= 0) close(write);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  static int take(int& end) { return std::exchange(end, -1); }
};

// Everything that the guardian needs, made before the fork: behind it only async-signal-safe calls are
// allowed, since other threads may have held any lock.
struct Plan {
  const char* program;
  char* const* argv;
  char* const* environment;
  const char* directory;
  int null, out, err, lifeline, status;
  pid_t worker;
};

void report(int fd, const Message& message) {
  const auto* bytes = reinterpret_cast<const char*>(&message);
  for (size_t sent = 0; sent < sizeof message;) {
    const ssize_t wrote = write(fd, bytes + sent, sizeof message - sent);
    if (wrote < 0 && errno != EINTR) return;
    if (wrote > 0) sent += static_cast<size_t>(wrote);
  }
}

void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void become_command(const Plan& plan, int failure) {
  setpgid(0, 0);
  reset_signals();
  const auto fail = [&](Stage stage) {
    report(failure, {Message::Kind::kFailed, errno, stage, {}});
    _exit(127);
  };
  if (dup2(plan.null, 0) < 0 || dup2(plan.out, 1) < 0 || dup2(plan.err, 2) < 0) fail(Stage::kProcess);
  if (chdir(plan.directory) != 0) fail(Stage::kDirectory);
  execve(plan.program, plan.argv, plan.environment);
  fail(Stage::kProgram);
  _exit(127);
}

// Kills every child of this process until there is none; the command's own group first.
void kill_the_rest(pid_t group) {
  kill(-group, SIGKILL);
  for (;;) {
    const int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[4096];
    const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    pid_t pid = 0;
    for (ssize_t at = 0; at < size; ++at) {
      if (text[at] >= '0' && text[at] <= '9') {
        pid = pid * 10 + (text[at] - '0');
      } else if (pid > 0) {
        kill(pid, SIGKILL);
        pid = 0;
      }
    }
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

[[noreturn]] void guard(const Plan& plan) {
  setpgid(0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_NAME, "br-guardian");
  reset_signals();
  signal(SIGPIPE, SIG_IGN);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) {
    report(plan.status, {Message::Kind::kFailed, errno, Stage::kProcess, {}});
    _exit(1);
  }
  const pid_t command = fork();
  if (command == 0) become_command(plan, failure[1]);
  close(failure[1]);
  close(plan.out);
  close(plan.err);
  Message message{};
  const bool failed = command < 0 || read(failure[0], &message, sizeof message) == sizeof message;
  if (failed) {
    if (command < 0) message = {Message::Kind::kFailed, errno, Stage::kProcess, {}};
    report(plan.status, message);
    _exit(1);
  }
  report(plan.status, {Message::Kind::kStarted, command, Stage::kProcess, {}});

  const int exited = static_cast<int>(syscall(SYS_pidfd_open, command, 0));
  Message end{Message::Kind::kEnded, 0, Stage::kProcess, {}};
  struct pollfd watched[2] = {{plan.lifeline, POLLIN, 0}, {exited, POLLIN, 0}};
  for (;;) {
    // Without pidfds (Linux before 5.3) it looks every 20 ms.
    poll(watched, exited >= 0 ? 2 : 1, exited >= 0 ? -1 : 20);
    if (watched[0].revents != 0) {  // the worker is gone
      kill_the_rest(command);
      _exit(0);
    }
    // The dead command keeps its pid, and so the group its number, until it has been waited for.
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(command), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid != 0)
      break;
  }
  kill(-command, SIGKILL);
  wait4(command, &end.value, 0, &end.usage);
  kill_the_rest(command);
  report(plan.status, end);
  _exit(0);
}

// The worker's end of a lifeline, this task's or another's, would keep it from ever ending: so everything is
// closed that is not needed.
void close_all_but(std::array<int, 5> kept) {
  for (size_t i = 1; i < kept.size(); ++i) {  // few enough to sort by insertion, which allocates nothing
    for (size_t j = i; j > 0 && kept[j - 1] > kept[j]; --j) std::swap(kept[j - 1], kept[j]);
  }
  int from = 3;
  const auto close_between = [](int first, int last) {
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
    for (int fd = first; fd <= last && fd < 65536; ++fd) close(fd);  // Linux before 5.9
  };
  for (const int fd : kept) {
    close_between(from, fd - 1);
    from = std::max(from, fd + 1);
  }
  close_between(from, std::numeric_limits<int>::max());
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

std::string value_of(const std::vector<std::string>& environment, const std::string& name) {
  for (const auto& entry : environment) {
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  }
  return "";
}

// Where execvp would find it; relative places of the PATH are relative to the command's directory.
std::string find_program(const std::string& name, const std::vector<std::string>& environment,
                         const std::string& directory) {
  if (name.find('/') != std::string::npos) return name;
  std::string places = value_of(environment, "PATH");
  if (places.empty()) places = "/usr/local/bin:/usr/bin:/bin";
  for (size_t from = 0; from <= places.size();) {
    const size_t to = std::min(places.find(':', from), places.size());
    std::string place = places.substr(from, to - from);
    if (!place.starts_with("/")) place = directory + "/" + place;
    const std::string candidate = place + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    from = to + 1;
  }
  throw std::system_error(ENOENT, std::generic_category(), "program '" + name + "' is not on the PATH");
}

std::optional<Message> read_message(int fd) {
  Message message{};
  auto* bytes = reinterpret_cast<char*>(&message);
  for (size_t got = 0; got < sizeof message;) {
    const ssize_t count = read(fd, bytes + got, sizeof message - got);
    if (count == 0 || (count < 0 && errno != EINTR)) return std::nullopt;
    if (count > 0) got += static_cast<size_t>(count);
  }
  return message;
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                 const std::string& directory) {
  const std::string program = find_program(argv.at(0), environment, directory);
  const auto arguments = pointers(argv);
  const auto variables = pointers(environment);
  Pipe out, err, lifeline, status;
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const Plan plan{program.c_str(), arguments.data(), variables.data(), directory.c_str(), null,
                  out.write,       err.write,        lifeline.read,    status.write,      getpid()};
  // No signal may be handled by the worker's handlers in the child before it has dropped them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  guardian_ = fork();
  const int cause = errno;
  if (guardian_ == 0) {
    close_all_but({plan.null, plan.out, plan.err, plan.lifeline, plan.status});
    guard(plan);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(null);
  if (guardian_ < 0) throw std::system_error(cause, std::generic_category(), "no process can be made");
  close(Pipe::take(status.write));
  close(Pipe::take(lifeline.read));
  close(Pipe::take(out.write));
  close(Pipe::take(err.write));
  const auto first = read_message(status.read);
  if (!first || first->kind != Message::Kind::kStarted) {
    waitpid(guardian_, nullptr, 0);
    const std::string what = !first || first->stage == Stage::kProcess ? "no process can be made"
                             : first->stage == Stage::kDirectory
                                 ? "directory '" + directory + "' cannot be entered"
                                 : "program '" + program + "' cannot be run";
    throw std::system_error(first ? first->value : ECHILD, std::generic_category(), what);
  }
  pid_ = first->value;
  out_ = Pipe::take(out.read);
  err_ = Pipe::take(err.read);
  status_ = Pipe::take(status.read);
  lifeline_ = Pipe::take(lifeline.write);
  fcntl(out_, F_SETFL, O_NONBLOCK);
  fcntl(err_, F_SETFL, O_NONBLOCK);
}

Process::~Process() {
  close(lifeline_);
  if (!reaped_) waitpid(guardian_, nullptr, 0);
  close(out_);
  close(err_);
  close(status_);
}

void Process::signal(int number) const { kill(-pid_, number); }

Exit Process::wait() {
  const auto last = read_message(status_);
  waitpid(guardian_, nullptr, 0);
  reaped_ = true;
  Exit exit;
  if (!last) {
    exit.signal = SIGKILL;  // somebody killed the guardian, and with it the word on the command
    kill(-pid_, SIGKILL);
    return exit;
  }
  if (WIFEXITED(last->value)) exit.code = WEXITSTATUS(last->value);
  if (WIFSIGNALED(last->value)) exit.signal = WTERMSIG(last->value);
  exit.user_us = last->usage.ru_utime.tv_sec * 1'000'000 + last->usage.ru_utime.tv_usec;
  exit.system_us = last->usage.ru_stime.tv_sec * 1'000'000 + last->usage.ru_stime.tv_usec;
  exit.max_rss_bytes = last->usage.ru_maxrss * 1024;
  return exit;
}

}  // namespace buildrunner_parallel
