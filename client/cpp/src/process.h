// One command as a process group of its own, which cannot outlive its worker.
//
// Between the worker and the command stands a guardian, a process that does nothing but wait: for the
// command, whose status it hands on, and for the end of a pipe that only the worker holds. When either comes
// it kills all that the command has left behind, also what made a session of its own (as a child subreaper it
// inherits those).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace buildrunner_parallel {

struct Exit {
  std::optional<int> code;  // when it ended by itself
  int signal = 0;           // when a signal ended it
  int64_t user_us = 0;
  int64_t system_us = 0;
  int64_t max_rss_bytes = 0;
};

class Process {
 public:
  // Starts `argv` in `directory` with exactly this environment ("NAME=value"), no standard input, and pipes
  // for what it writes. A program without a slash is looked for on the PATH of that environment. Throws
  // std::system_error with a text that names what could not be used.
  Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
          const std::string& directory);
  // Kills what is left of it.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Ends of the pipes, to be read without blocking.
  int out() const { return out_; }
  int err() const { return err_; }
  // Readable once the command has ended and nothing of it is left.
  int ended() const { return status_; }

  // To the whole group.
  void signal(int number) const;
  // The command's status; call when `ended` is readable.
  Exit wait();

 private:
  pid_t pid_ = 0;
  pid_t guardian_ = 0;
  int out_ = -1;
  int err_ = -1;
  int status_ = -1;
  int lifeline_ = -1;
  bool reaped_ = false;
};

}  // namespace buildrunner_parallel
