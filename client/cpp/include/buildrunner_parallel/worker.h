// A worker on the unary calls: it asks for tasks, runs commands and handlers, and reports how they ended.
//
//   buildrunner_parallel::WorkerOptions options;
//   options.slots = 2;
//   options.handlers["sum"] = [](buildrunner_parallel::TaskContext& task) {
//     return buildrunner_parallel::json_result(sum(task.payload()));
//   };
//   buildrunner_parallel::serve(buildrunner_parallel::locate(), options);
//
// Commands run as process groups of their own that die with the worker, however it dies; what they write is
// sent while they run. Handlers run in threads, which cannot be stopped from outside: they should look at
// cancelled(). One that goes on beyond its grace keeps its slot; when nothing else is left of a worker that
// is to leave, or its lease is over, it takes the whole process along (exit code 70). Not offered: audits of
// what a task changes, worktrees of its own.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buildrunner_parallel/discovery.h"
#include "buildrunner_parallel/errors.h"
#include "buildrunner_parallel/v1/types.pb.h"
#include "buildrunner_parallel/v1/worker_service.pb.h"

namespace buildrunner_parallel {

class TaskRun;

// What a handler is told, and can tell.
class TaskContext {
 public:
  explicit TaskContext(TaskRun& run) : run_(run) {}

  // Session, task, attempt, fence, and the whole specification.
  const v1::Assignment& assignment() const;
  const std::string& payload() const { return assignment().spec().handler().payload().data(); }
  // 0 to 100, and at most 256 bytes; the latest is sent, soon and without waiting for it.
  void progress(double percent, std::string message = "");
  // It was cancelled, its time is up, or the worker has lost its lease: return soon. The result does not
  // count then unless the task succeeds all the same.
  bool cancelled() const;
  // Sleeps; false, and early, when it is cancelled.
  bool sleep_for(std::chrono::milliseconds time) const;

 private:
  TaskRun& run_;
};

// Returns the task's result; what it throws (std::exception) makes the task fail, with its text as the error.
using Handler = std::function<v1::Payload(TaskContext&)>;

v1::Payload json_result(std::string json);

struct WorkerOptions {
  // Tasks of one slot that run at a time.
  int slots = 1;
  std::vector<std::string> labels;
  // Set: serves this session alone and leaves at its end.
  std::string session_id;
  // Whether it runs commands.
  bool commands = true;
  std::map<std::string, Handler> handlers;
  // Told to the coordinator; for people.
  std::string version = "cpp 0.1.0";
  // A line for people about what goes wrong on the way; nothing: to standard error.
  std::function<void(const std::string&)> log;
};

class Worker {
 public:
  Worker(Target target, WorkerOptions options);
  ~Worker();

  // Serves until drain() or until the coordinator wants it to leave; what runs is finished and reported
  // first. Coordinators that go away are waited for, unless it is to leave and has nothing to report. Throws
  // Error for what will not pass, such as a token that is refused.
  void run();
  // Takes nothing new; run() returns once nothing runs any more. From any thread.
  void drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A worker that drains on SIGTERM and SIGINT. Call it before other threads are started: it blocks these
// signals.
void serve(const Target& target, const WorkerOptions& options);

}  // namespace buildrunner_parallel
