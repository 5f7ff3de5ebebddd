// What a worker's threads share. One struct, whose parts stand in files by their subjects: worker_meeting.cpp
// (being known, heartbeats, the clock), worker_tasks.cpp, worker_bringing.cpp (what is sent while tasks run),
// worker.cpp.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "buildrunner_parallel/worker.h"
#include "calls.h"
#include "task_run.h"

namespace buildrunner_parallel {

using Workers = v1::WorkerService::StubInterface;
using Steady = std::chrono::steady_clock;
using Run = std::shared_ptr<TaskRun>;

constexpr auto kTick = Milliseconds(50);

// Nobody answered, or a coordinator that ends cut the call off: to be tried again. The worker outlives
// coordinators.
inline bool is_passing(const Error& error) {
  const bool cut_off = error.kind() == ErrorKind::kInternal && error.reason().empty();
  return error.kind() == ErrorKind::kUnavailable || cut_off;
}

// The threads: run() asks for tasks; one for each task; heartbeats; the clock (leases, timeouts of handlers);
// the courier, who brings starts and progress; and the porter, who brings the output of all tasks.
struct Worker::State {
  State(Target target, WorkerOptions how);

  // --------------------------------------------------------------- being known
  void register_again(int seen);
  void fill_hello(v1::Hello& hello);

  // Sends the same call until somebody answers; one that is to leave, and has nothing to report, does not
  // wait for that.
  template <class Request, class Response>
  Response patiently(grpc::Status (Workers::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request, Milliseconds deadline = Milliseconds(15'000)) {
    Backoff backoff;
    for (;;) {
      try {
        return calls.call(*calls.workers, method, request, deadline, /*repeatable=*/false);
      } catch (const Error& error) {
        if (!is_passing(error) || has_no_reason_to_stay()) throw;
        std::this_thread::sleep_for(backoff.next());
      }
    }
  }

  // The same in this worker's name; coordinators that do not know it (any more) are told who it is.
  template <class Request, class Response>
  Response as_worker(grpc::Status (Workers::*method)(grpc::ClientContext*, const Request&, Response*),
                     Request request, Milliseconds deadline = Milliseconds(15'000)) {
    for (;;) {
      int seen = 0;
      {
        std::lock_guard lock(mutex);
        request.set_worker_id(welcome.worker_id());
        seen = registrations;
      }
      try {
        return patiently(method, request, deadline);
      } catch (const Error& error) {
        if (error.reason() != "WORKER_NOT_FOUND") throw;
        register_again(seen);
      }
    }
  }

  // ---------------------------------------------------------------- heartbeats
  void beat();
  void beat_once();
  void obey(const v1::HeartbeatResponse& answer);

  // --------------------------------------------------------------------- clock
  void tick();
  void look_after_the_stuck(BootClock::time_point now, std::set<std::string>& told);
  void kill_for_lease(TaskRun& run);

  // ------------------------------------------------------------------- courier
  void carry();

  // -------------------------------------------------------------------- porter
  void bring_output();
  std::vector<Run> wait_for_output();
  bool write_output(const std::vector<Run>& due);
  void heed(const grpc::Status& status, int seen);

  // --------------------------------------------------------------------- tasks
  void claim();
  void tell_of_draining();
  void take(const v1::Assignment& assignment);
  int free_slot() const;
  void perform(const Run& run, int slots);
  void remember_end(const v1::Assignment& assignment);
  void free(const Run& run, int slots);
  void deliver(TaskRun& run);
  void await_output(const TaskRun& run);

  // -------------------------------------------------------------------- common
  Run find(const std::string& attempt_id);
  std::vector<Run> all_runs();
  bool pause_until(Steady::time_point when);
  void wake_all();
  void start_draining();
  void fail(const Error& error);
  bool is_waiting(const Run& run);
  bool has_no_reason_to_stay();
  bool is_draining();

  WorkerOptions options;
  Calls calls;
  std::mutex registering;

  std::mutex mutex;  // guards all below
  std::condition_variable changed;
  v1::Welcome welcome;
  int registrations = 0;
  BootClock::time_point leased_from{};
  int64_t sequence = 0;
  std::map<std::string, Run> runs;
  std::set<std::string> ended;  // attempts whose assignment may come once more
  std::map<int64_t, std::string> by_fence;
  Run waiting;  // for its slots
  int used_slots = 0;
  std::vector<int> slots_taken;
  std::vector<v1::TaskStarted> starts;
  bool output_waits = false;  // for the porter to look again
  bool porter_left = false;
  bool draining = false;
  bool finished = false;
  std::optional<Error> failure;
};

}  // namespace buildrunner_parallel
