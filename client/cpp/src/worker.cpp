#include "buildrunner_parallel/worker.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>

#include "calls.h"
#include "task_run.h"

namespace buildrunner_parallel {
namespace {

using Workers = v1::WorkerService::StubInterface;
using Steady = std::chrono::steady_clock;

constexpr auto kTick = Milliseconds(50);
// Cancellations come with the answers to heartbeats, so while something runs they are asked for more often.
constexpr auto kBusyInterval = Milliseconds(1'000);
constexpr int64_t kClaimWaitMs = 1'000;
// One stream of output: so much in a message, so many messages, so long at most.
constexpr int64_t kMessageBytes = 128 << 10;
constexpr int kMessages = 16;
constexpr auto kRoundTime = Milliseconds(30'000);
constexpr size_t kRemembered = 1'000;
// How the process ends when a handler keeps it from ending otherwise.
constexpr int kStuck = 70;

void log_to_stderr(const std::string& line) { std::cerr << "worker: " + line + "\n" << std::flush; }

// Nobody answered, or a coordinator that ends cut the call off: to be tried again. The worker outlives
// coordinators.
bool is_passing(const Error& error) {
  const bool cut_off = error.kind() == ErrorKind::kInternal && error.reason().empty();
  return error.kind() == ErrorKind::kUnavailable || cut_off;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

// The threads: run() asks for tasks; one for each task; heartbeats; the clock (leases, timeouts of handlers);
// the courier, who brings starts and progress; and the porter, who brings the output of all tasks.
struct Worker::State {
  State(Target target, WorkerOptions how) : options(std::move(how)), calls(std::move(target)) {
    if (!options.log) options.log = log_to_stderr;
    if (options.slots < 1) throw Error(ErrorKind::kInvalid, "INVALID", "a worker needs at least one slot");
  }

  using Run = std::shared_ptr<TaskRun>;

  // ------------------------------------------------------------- being known

  // Hello: at first, and again to a coordinator that was started anew, with all that is held. `seen` is the
  // number of the registration that was refused: whoever comes second finds it done. Nobody else writes
  // `welcome` and `registrations`, so they are read here as they are.
  void register_again(int seen) {
    std::lock_guard one_at_a_time(registering);
    if (registrations != seen) return;
    Backoff backoff;
    for (;;) {
      const auto sent = BootClock::now();
      v1::RegisterRequest request;
      fill_hello(*request.mutable_hello());
      const auto answer = patiently(&Workers::Register, request);
      const auto& fresh = answer.welcome();
      if (registrations > 0 && fresh.store_id() == welcome.store_id() && fresh.epoch() < welcome.epoch()) {
        options.log("a coordinator with an older state than before answers at " + calls.target().address);
        std::this_thread::sleep_for(backoff.next());
        continue;
      }
      const bool same_store = registrations > 0 && fresh.store_id() == welcome.store_id();
      for (const Run& run : all_runs()) {
        const auto& adopted = answer.adopted_attempt_ids();
        const bool mine =
            std::find(adopted.begin(), adopted.end(), run->assignment().attempt_id()) != adopted.end();
        if (!same_store || (!mine && !run->is_over())) run->disown();
      }
      std::lock_guard lock(mutex);
      welcome = fresh;
      leased_from = sent;
      sequence = 0;
      ++registrations;
      changed.notify_all();
      return;
    }
  }

  void fill_hello(v1::Hello& hello) {
    hello.set_host(host_name());
    hello.set_pid(getpid());
    hello.set_version(options.version);
    hello.set_slots(options.slots);
    for (const auto& label : options.labels) hello.add_labels(label);
    hello.set_session_id(options.session_id);
    hello.mutable_kinds()->set_commands(options.commands);
    for (const auto& [name, handler] : options.handlers) hello.mutable_kinds()->add_handlers(name);
    std::lock_guard lock(mutex);
    if (registrations == 0) return;
    hello.set_worker_id(welcome.worker_id());
    hello.set_store_id(welcome.store_id());
    hello.set_epoch(welcome.epoch());
    for (const auto& [id, run] : runs) *hello.add_held() = run->held();
  }

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

  // -------------------------------------------------------------- heartbeats

  void beat() {
    Steady::time_point next = Steady::now();
    while (pause_until(next)) {
      try {
        beat_once();
      } catch (const Error& error) {
        if (!is_passing(error)) {
          fail(error);
          return;
        }
      }
      std::lock_guard lock(mutex);
      const Milliseconds told(std::max<int64_t>(welcome.heartbeat_interval_ms(), 50));
      next = Steady::now() + (runs.empty() ? told : std::min(told, kBusyInterval));
    }
  }

  void beat_once() {
    v1::HeartbeatRequest request;
    BootClock::time_point sent;
    int seen = 0;
    {
      std::lock_guard lock(mutex);
      sent = BootClock::now();
      seen = registrations;
      request.set_worker_id(welcome.worker_id());
      request.mutable_heartbeat()->set_sequence(++sequence);
      for (const auto& [id, run] : runs) *request.mutable_heartbeat()->add_held() = run->held();
    }
    try {
      const auto answer =
          calls.call(*calls.workers, &Workers::Heartbeat, request, Milliseconds(5'000), /*repeatable=*/false);
      if (answer.reply().sequence() != request.heartbeat().sequence()) return;
      {
        std::lock_guard lock(mutex);
        if (seen == registrations) leased_from = sent;
      }
      obey(answer);
    } catch (const Error& error) {
      if (error.reason() == "WORKER_NOT_FOUND") return register_again(seen);
      if (!is_passing(error)) throw;
    }
  }

  void obey(const v1::HeartbeatResponse& answer) {
    if (answer.draining()) start_draining();
    for (const auto& order : answer.cancellations()) {
      const Run run = find(order.attempt_id());
      if (!run || run->assignment().fence() != order.fence()) continue;
      const auto outcome = v1::Outcome_IsValid(order.outcome()) && order.outcome() != v1::OUTCOME_UNSPECIFIED
                               ? order.outcome()
                               : v1::OUTCOME_CANCELLED;
      run->stop(outcome, order.has_grace_ms() ? std::optional(order.grace_ms()) : std::nullopt);
    }
    for (const auto& id : answer.reply().unknown_attempt_ids()) {
      // One whose end is on its way is told by the answer to its report.
      if (const Run run = find(id); run && !run->is_over()) run->disown();
    }
    wake_all();
  }

  // ------------------------------------------------------------------- clock

  void tick() {
    std::set<std::string> stuck;
    while (pause_until(Steady::now() + kTick)) {
      const auto now = BootClock::now();
      Milliseconds age{0}, stop_after{0}, kill_after{0};
      {
        std::lock_guard lock(mutex);
        age = std::chrono::duration_cast<Milliseconds>(now - leased_from);
        stop_after = Milliseconds(welcome.stop_after_ms());
        kill_after = Milliseconds(welcome.kill_after_ms());
      }
      for (const Run& run : all_runs()) {
        run->tick(now);
        if (stop_after.count() > 0 && age >= stop_after) {
          run->stop(v1::OUTCOME_LOST);
          wake_all();
        }
        if (kill_after.count() > 0 && age >= kill_after) kill_for_lease(*run);
      }
      look_after_the_stuck(now, stuck);
    }
  }

  // A handler that does not stop has no end to report. Its slot is its own until it returns; a worker that is
  // to leave, and has nothing else any more, does not wait for that. Without a goodbye: what the handler has
  // is given to others no sooner than this worker's lease ends.
  void look_after_the_stuck(BootClock::time_point now, std::set<std::string>& told) {
    bool has_other_work = false;
    int stuck = 0;
    for (const Run& run : all_runs()) {
      if (!run->is_stuck(now)) {
        has_other_work = has_other_work || !is_waiting(run);
        continue;
      }
      ++stuck;
      if (told.insert(run->assignment().attempt_id()).second) {
        options.log("handler " + run->assignment().spec().handler().name() + " of task " +
                    run->assignment().spec().task_id() +
                    " was told to stop and goes on beyond its grace; its slot is taken until it returns");
      }
    }
    if (stuck == 0 || has_other_work || !is_draining()) return;
    options.log("leaving, and only handlers that do not stop are left: ending the worker");
    std::_Exit(kStuck);
  }

  // Others may be given this task any moment now. A thread cannot be ended, so a handler takes the worker
  // with it.
  void kill_for_lease(TaskRun& run) {
    if (run.is_over()) return;
    if (run.is_handler()) {
      options.log("no coordinator for too long, and handler " + run.assignment().spec().handler().name() +
                  " does not stop: ending the worker");
      std::_Exit(kStuck);
    }
    run.kill();
  }

  // ----------------------------------------------------------------- courier

  void carry() {
    while (pause_until(Steady::now() + kTick)) {
      v1::ReportTasksRequest request;
      {
        std::lock_guard lock(mutex);
        for (auto& one : starts) *request.add_started() = std::move(one);
        starts.clear();
      }
      for (const Run& run : all_runs()) {
        if (auto progress = run->take_progress()) *request.add_progress() = std::move(*progress);
      }
      if (request.started().empty() && request.progress().empty()) continue;
      try {
        as_worker(&Workers::ReportTasks, request);
        for (const auto& one : request.started()) {
          if (const Run run = find(one.attempt_id())) run->start_is_known();
        }
      } catch (const Error& error) {
        options.log(std::string("progress was not taken: ") + error.what());
      }
    }
  }

  // ------------------------------------------------------------------ porter

  // Brings output until the worker's end. One thread and one stream for all tasks: what is held of each stays
  // where it is until the coordinator has it.
  void bring_output() {
    Backoff backoff;
    for (std::vector<Run> due; !(due = wait_for_output()).empty();) {
      try {
        if (write_output(due)) {
          backoff.reset();
        } else {
          pause_until(Steady::now() + backoff.next());
        }
      } catch (const Error& error) {
        if (is_passing(error)) continue;
        fail(error);
        std::lock_guard lock(mutex);
        porter_left = true;
        changed.notify_all();
        return;
      }
    }
  }

  // The tasks with something to send; none at the worker's end.
  std::vector<Run> wait_for_output() {
    for (;;) {
      std::vector<Run> due;
      std::unique_lock lock(mutex);
      for (const auto& [id, run] : runs) {
        if (run->has_output_due(BootClock::now())) due.push_back(run);
      }
      if (finished || !due.empty()) return due;
      changed.wait_for(lock, kTick, [this] { return finished || output_waits; });
      output_waits = false;
    }
  }

  // One stream, with something of each task in turn. False when nothing came of it. All messages are written
  // before an answer is read: sixteen answers of a few bytes wait for that in any buffer.
  bool write_output(const std::vector<Run>& due) {
    int seen = 0;
    v1::WriteOutputRequest request;
    {
      std::lock_guard lock(mutex);
      seen = registrations;
      request.set_worker_id(welcome.worker_id());
    }
    grpc::ClientContext context;
    calls.prepare(context, kRoundTime);
    const auto stream = calls.logs->WriteOutput(&context);
    std::map<Run, int64_t> positions;
    for (const Run& run : due) positions[run] = run->durable_output();
    bool is_open = true;
    for (int sent = 0; is_open && sent < kMessages && !positions.empty();) {
      for (auto part = positions.begin(); is_open && sent < kMessages && part != positions.end();) {
        auto& [run, position] = *part;
        auto pieces = run->next_output(position, kMessageBytes);
        if (pieces.empty()) {
          part = positions.erase(part);
          continue;
        }
        position = pieces.back().offset() + static_cast<int64_t>(pieces.back().data().size());
        request.clear_outputs();
        auto& output = *request.add_outputs();
        output.set_attempt_id(run->assignment().attempt_id());
        output.set_fence(run->assignment().fence());
        for (auto& piece : pieces) *output.add_chunks() = std::move(piece);
        is_open = stream->Write(request);
        ++sent;
        ++part;
      }
    }
    stream->WritesDone();
    bool got_on = false;
    v1::WriteOutputResponse answer;
    while (stream->Read(&answer)) {
      for (const auto& ack : answer.acknowledgements()) {
        const Run run = find(ack.attempt_id());
        got_on = (run && run->output_taken(ack)) || got_on;
      }
    }
    const grpc::Status status = stream->Finish();
    for (const Run& run : due) run->rest_output(BootClock::now());
    wake_all();
    if (!status.ok()) heed(status, seen);
    return got_on;
  }

  // Why a stream of output has ended too soon.
  void heed(const grpc::Status& status, int seen) {
    if (status.error_code() == grpc::NOT_FOUND) return register_again(seen);
    try {
      throw_error(status, calls.target().address);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kUnauthenticated) throw;
      if (!is_passing(error)) options.log(std::string("output was not taken: ") + error.what());
    }
  }

  // ------------------------------------------------------------------- tasks

  void claim() {
    v1::ClaimTasksRequest request;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return draining || used_slots < options.slots; });
      if (draining) return;
      request.set_max_tasks(options.slots - used_slots);
    }
    request.set_wait_ms(kClaimWaitMs);
    const auto answer = as_worker(&Workers::ClaimTasks, request, Milliseconds(kClaimWaitMs + 15'000));
    if (answer.draining()) start_draining();
    for (const auto& assignment : answer.assignments()) take(assignment);
  }

  // So that what has not been claimed yet goes to others, and people see why nothing comes here.
  void tell_of_draining() {
    v1::DrainWorkerRequest request;
    request.set_request_id(random_id());
    request.set_reason("the worker was told to");
    try {
      as_worker(&Workers::DrainWorker, request);
    } catch (const Error& error) {
      options.log(std::string("draining without a word: ") + error.what());
    }
  }

  void take(const v1::Assignment& assignment) {
    const int slots = std::min(std::max(assignment.spec().slots(), 1), options.slots);
    std::unique_lock lock(mutex);
    // It may come twice; the second is void.
    if (runs.contains(assignment.attempt_id()) || ended.contains(assignment.attempt_id())) return;
    Surroundings surroundings{welcome.worker_id(), calls.target().address, free_slot(), 8 << 20, 2 << 20};
    if (welcome.output_head_bytes() > 0) surroundings.output_head_bytes = welcome.output_head_bytes();
    if (welcome.output_tail_bytes() > 0) surroundings.output_tail_bytes = welcome.output_tail_bytes();
    const Run run = std::make_shared<TaskRun>(assignment, surroundings);
    runs[assignment.attempt_id()] = run;
    // One of several slots waits until there are enough of them; it is held meanwhile. One that is to stop
    // needs none.
    waiting = run;
    changed.wait(
        lock, [&] { return used_slots == 0 || used_slots + slots <= options.slots || run->is_stopping(); });
    waiting.reset();
    used_slots += slots;
    slots_taken.push_back(surroundings.slot);
    std::thread([this, run, slots] { perform(run, slots); }).detach();
  }

  int free_slot() const {
    int slot = 0;
    while (std::find(slots_taken.begin(), slots_taken.end(), slot) != slots_taken.end()) ++slot;
    return slot;
  }

  void perform(const Run& run, int slots) {
    const auto on_started = [&] {
      std::lock_guard lock(mutex);
      starts.push_back(run->started());
    };
    const auto& spec = run->assignment().spec();
    const auto handler = options.handlers.find(spec.handler().name());
    if (run->is_handler() && handler != options.handlers.end()) {
      run->run_handler(handler->second, on_started);
    } else if (spec.has_command()) {
      run->run_command(on_started);
    } else {
      run->refuse(run->is_handler() ? "this worker has no handler " + spec.handler().name()
                                    : "this worker does not know this kind of work; use a newer one");
    }
    free(run, slots);
    try {
      deliver(*run);
    } catch (const Error& error) {
      fail(error);
    }
    std::lock_guard lock(mutex);
    runs.erase(run->assignment().attempt_id());
    remember_end(run->assignment());
    changed.notify_all();
  }

  // Fences grow, so the lowest belongs to the attempt that is least likely to be heard of again.
  void remember_end(const v1::Assignment& assignment) {
    ended.insert(assignment.attempt_id());
    by_fence[assignment.fence()] = assignment.attempt_id();
    if (by_fence.size() <= kRemembered) return;
    ended.erase(by_fence.begin()->second);
    by_fence.erase(by_fence.begin());
  }

  // The slot is free for the next task while the report is still on its way.
  void free(const Run& run, int slots) {
    std::lock_guard lock(mutex);
    used_slots -= slots;
    slots_taken.erase(std::find(slots_taken.begin(), slots_taken.end(), run->surroundings().slot));
    changed.notify_all();
  }

  // The same report, until it was taken or never will be; behind the output.
  void deliver(TaskRun& run) {
    v1::ReportTasksRequest request;
    v1::TaskReport& report = *request.add_reports();
    report = run.report();
    if (auto output = run.small_output()) {
      for (auto& piece : *output) *report.add_output() = std::move(piece);
    } else {
      await_output(run);
    }
    while (!run.is_disowned() && !run.is_output_stale()) {
      try {
        const auto answer = as_worker(&Workers::ReportTasks, request);
        if (answer.acknowledgements().empty()) return;
        const auto& ack = answer.acknowledgements(0);
        if (ack.disposition() != v1::DISPOSITION_OUTPUT_MISSING) return;
        report.clear_output();
        run.rewind_output(ack.output_offset());
        await_output(run);
      } catch (const Error& error) {
        const bool refused = error.kind() == ErrorKind::kInvalid || error.kind() == ErrorKind::kLimit;
        if (!refused || report.outcome() == v1::OUTCOME_NOT_STARTED) throw;
        // Something in it cannot be sent, such as a result of millions of bytes: then at least that.
        options.log(std::string("a report was refused: ") + error.what());
        replace_by_failure(report, one_line(std::string("its report was refused: ") + error.what(), 4096));
      }
    }
  }

  // Until the porter has brought all that the task has written, or nobody wants it.
  void await_output(const TaskRun& run) {
    std::unique_lock lock(mutex);
    output_waits = true;
    changed.notify_all();
    changed.wait(lock, [&] { return porter_left || run.is_output_settled(); });
    if (!run.is_output_settled()) throw *failure;
  }

  static void replace_by_failure(v1::TaskReport& report, const std::string& error) {
    v1::TaskReport instead;
    instead.set_attempt_id(report.attempt_id());
    instead.set_fence(report.fence());
    instead.set_outcome(v1::OUTCOME_NOT_STARTED);
    instead.set_error(error);
    report = std::move(instead);
  }

  // ------------------------------------------------------------------ common

  Run find(const std::string& attempt_id) {
    std::lock_guard lock(mutex);
    const auto found = runs.find(attempt_id);
    return found == runs.end() ? nullptr : found->second;
  }

  std::vector<Run> all_runs() {
    std::lock_guard lock(mutex);
    std::vector<Run> all;
    for (const auto& [id, run] : runs) all.push_back(run);
    return all;
  }

  // False when the worker has come to its end.
  bool pause_until(Steady::time_point when) {
    std::unique_lock lock(mutex);
    return !changed.wait_until(lock, when, [this] { return finished; });
  }

  void wake_all() {
    std::lock_guard lock(mutex);
    changed.notify_all();
  }

  void start_draining() {
    std::lock_guard lock(mutex);
    draining = true;
    changed.notify_all();
  }

  // What will not pass ends the worker; run() throws the first of it.
  void fail(const Error& error) {
    std::lock_guard lock(mutex);
    if (!failure) failure = error;
    draining = true;
    changed.notify_all();
  }

  bool is_waiting(const Run& run) {
    std::lock_guard lock(mutex);
    return run == waiting;
  }

  bool has_no_reason_to_stay() {
    std::lock_guard lock(mutex);
    return draining && runs.empty();
  }

  bool is_draining() {
    std::lock_guard lock(mutex);
    return draining;
  }

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

Worker::Worker(Target target, WorkerOptions options)
    : state_(std::make_unique<State>(std::move(target), std::move(options))) {}
Worker::~Worker() = default;

void Worker::drain() { state_->start_draining(); }

void Worker::run() {
  State& s = *state_;
  try {
    s.register_again(0);
  } catch (const Error& error) {
    if (!is_passing(error)) throw;
    return s.options.log(std::string("left before anybody answered: ") + error.what());
  }
  std::vector<std::thread> threads;
  threads.emplace_back([&s] { s.beat(); });
  threads.emplace_back([&s] { s.tick(); });
  threads.emplace_back([&s] { s.carry(); });
  threads.emplace_back([&s] { s.bring_output(); });
  try {
    while (!s.is_draining()) s.claim();
  } catch (const Error& error) {
    if (!is_passing(error)) {
      s.fail(error);
      for (const auto& run : s.all_runs()) run->stop(v1::OUTCOME_LOST);
    }
  }
  s.tell_of_draining();
  {
    std::unique_lock lock(s.mutex);
    s.changed.wait(lock, [&s] { return s.runs.empty(); });
    s.finished = true;
    s.changed.notify_all();
  }
  for (auto& thread : threads) thread.join();
  if (s.failure) throw *s.failure;
  v1::UnregisterRequest goodbye;
  goodbye.set_worker_id(s.welcome.worker_id());
  goodbye.set_reason("drained");
  try {
    s.calls.call(*s.calls.workers, &Workers::Unregister, goodbye, Milliseconds(5'000));
  } catch (const Error& error) {
    s.options.log(std::string("left without a goodbye: ") + error.what());
  }
}

void serve(const Target& target, const WorkerOptions& options) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Worker worker(target, options);
  std::atomic<bool> over = false;
  std::thread waiter([&] {
    int number = 0;
    while (sigwait(&wanted, &number) == 0 && !over) worker.drain();
  });
  const auto end = [&] {
    over = true;
    pthread_kill(waiter.native_handle(), SIGTERM);
    waiter.join();
  };
  try {
    worker.run();
  } catch (...) {
    end();
    throw;
  }
  end();
}

}  // namespace buildrunner_parallel
