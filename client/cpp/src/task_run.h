// One attempt from its assignment to its report.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "buildrunner_parallel/v1/types.pb.h"
#include "buildrunner_parallel/v1/worker_service.pb.h"
#include "buildrunner_parallel/worker.h"

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

// Output in the order read: so much of its beginning, so much of its end, and how much is missing between.
class OutputBook {
 public:
  OutputBook(int64_t head_bytes, int64_t tail_bytes) : head_bytes_(head_bytes), tail_bytes_(tail_bytes) {}

  void add(v1::OutputChannel channel, std::string_view data);
  // All that is kept, in order; the first piece behind what is missing says how much that is.
  std::vector<v1::OutputChunk> chunks() const;
  // Offset behind the last byte.
  int64_t total_bytes() const { return total_; }
  int64_t dropped_bytes() const { return dropped_; }

 private:
  void append(std::deque<v1::OutputChunk>& to, v1::OutputChannel channel, std::string_view data);

  int64_t head_bytes_;
  int64_t tail_bytes_;
  int64_t total_ = 0;
  int64_t dropped_ = 0;
  int64_t tail_size_ = 0;
  std::deque<v1::OutputChunk> head_;
  std::deque<v1::OutputChunk> tail_;
};

// What a command finds: what is allowed of `own`, what its specification passes and sets, and who it is.
std::map<std::string, std::string> task_environment(const std::map<std::string, std::string>& own,
                                                    const v1::Assignment& assignment,
                                                    const std::map<std::string, std::string>& identity);

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
  const OutputBook& output() const { return output_; }

 private:
  void begin(int pid);
  void end_with(v1::Outcome outcome);
  void follow(class Process& process);
  Milliseconds until_next_step(BootClock::time_point now);
  void wake();

  const v1::Assignment assignment_;
  const Surroundings surroundings_;
  OutputBook output_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int wake_fd_ = -1;
  bool over_ = false;
  bool disowned_ = false;
  bool kill_now_ = false;
  std::optional<v1::Outcome> stop_as_;
  int64_t stop_grace_ms_ = 0;
  bool asked_ = false;  // SIGTERM was sent
  std::optional<BootClock::time_point> ends_at_;
  std::optional<BootClock::time_point> killed_at_;
  std::optional<v1::TaskProgress> progress_;
  v1::TaskReport report_;
};

}  // namespace buildrunner_parallel
