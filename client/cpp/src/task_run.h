// One attempt from its assignment to its report.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "buildrunner_parallel/v1/log_service.pb.h"
#include "buildrunner_parallel/v1/types.pb.h"
#include "buildrunner_parallel/v1/worker_service.pb.h"
#include "buildrunner_parallel/worker.h"
#include "output_book.h"

namespace buildrunner_parallel {

using Milliseconds = std::chrono::milliseconds;

// Runs while the machine sleeps, as leases do.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now();
};

int64_t unix_microseconds();

// At most `most` bytes, valid UTF-8, one line.
std::string one_line(const std::string& text, size_t most);

struct Surroundings {
  std::string worker_id;
  std::string address;
  int slot = 0;
  int64_t output_head_bytes = 8 << 20;
  int64_t output_tail_bytes = 2 << 20;
};

class TaskRun {
 public:
  TaskRun(v1::Assignment assignment, Surroundings surroundings);
  ~TaskRun();

  const v1::Assignment& assignment() const { return assignment_; }
  const Surroundings& surroundings() const { return surroundings_; }
  v1::HeldAttempt held() const;

  // Runs it to its end; `on_started` is called once there is a process (or the handler is about to begin).
  void run_command(const std::function<void()>& on_started);
  void run_handler(const Handler& handler, const std::function<void()>& on_started);

  // It is not run at all.
  void refuse(const std::string& why);

  // Asks it to end, with SIGKILL for a command's processes after the grace. The first reason is the one
  // reported.
  void stop(v1::Outcome outcome, std::optional<int64_t> grace_ms = std::nullopt);
  // Ends it now where that is possible.
  void kill();
  // Not this worker's any more: nothing will be reported.
  void disown();

  bool is_stopping() const;
  bool is_disowned() const;
  bool is_over() const;
  // A handler that was told to stop longer ago than its grace, and goes on.
  bool is_stuck(BootClock::time_point now) const;
  bool is_handler() const { return assignment_.spec().has_handler(); }
  // Looks at the timeout of a handler; commands look at theirs themselves.
  void tick(BootClock::time_point now);

  bool sleep_for(Milliseconds time);
  void set_progress(double percent, std::string message);
  // The latest that has not been taken yet.
  std::optional<v1::TaskProgress> take_progress();

  v1::TaskStarted started() const;
  // Once it is over; without output.
  v1::TaskReport report() const;

  // Its output goes out while it runs, once the coordinator knows that it does.
  void start_is_known();
  // Once it is over: everything, if that is little and none of it was sent; it belongs into the report then
  // and is not sent otherwise. Nothing: it is to be sent now.
  std::optional<std::vector<v1::OutputChunk>> small_output();
  // Whether something of it is to be sent now. Behind the beginning that is so at intervals only while it
  // runs.
  bool has_output_due(BootClock::time_point now) const;
  // The pieces to send from `position` on, at most so many bytes; none: enough for now.
  std::vector<v1::OutputChunk> next_output(int64_t position, int64_t most_bytes);
  // Everything before it is the coordinator's.
  int64_t durable_output() const;
  // What the coordinator says of it; true when that was news.
  bool output_taken(const v1::OutputAcknowledgement& ack);
  // Send from here once more.
  void rewind_output(int64_t offset);
  // Something was sent just now: what is written next has time.
  void rest_output(BootClock::time_point now);
  // Nothing of it is missing, or nobody wants it.
  bool is_output_settled() const;
  // The coordinator said that this attempt is none of this worker's.
  bool is_output_stale() const;

 private:
  void begin(int pid);
  void end_with(v1::Outcome outcome);
  void follow(class Process& process);
  Milliseconds until_next_step(BootClock::time_point now);
  bool is_output_unwanted() const { return disowned_ || output_stale_; }
  void wake();

  const v1::Assignment assignment_;
  const Surroundings surroundings_;

  mutable std::mutex mutex_;  // guards all below but the descriptor
  std::condition_variable changed_;
  OutputBook output_;
  int64_t durable_ = 0;  // bytes of output that the coordinator has
  int64_t ration_ = 0;   // bytes behind the beginning that may be sent before the next interval
  bool start_known_ = false;
  bool output_sent_ = false;  // some of it, by LogService
  bool output_in_report_ = false;
  bool output_stale_ = false;
  BootClock::time_point next_output_at_{};
  int wake_fd_ = -1;
  bool over_ = false;
  bool disowned_ = false;
  bool kill_now_ = false;
  std::optional<v1::Outcome> stop_as_;
  BootClock::time_point stop_from_{};
  int64_t stop_grace_ms_ = 0;
  bool asked_ = false;  // SIGTERM was sent
  std::optional<BootClock::time_point> ends_at_;
  std::optional<BootClock::time_point> killed_at_;
  std::optional<v1::TaskProgress> progress_;
  v1::TaskReport report_;
};

}  // namespace buildrunner_parallel
