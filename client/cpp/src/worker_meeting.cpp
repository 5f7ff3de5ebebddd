// A worker and its coordinator: who it is, that it lives, what it is told, and how long its lease holds.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "worker_state.h"

namespace buildrunner_parallel {
namespace {

// Cancellations come with the answers to heartbeats, so while something runs they are asked for more often.
constexpr auto kBusyInterval = Milliseconds(1'000);
// How the process ends when a handler keeps it from ending otherwise.
constexpr int kStuck = 70;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

// Hello: at first, and again to a coordinator that was started anew, with all that is held. `seen` is the
// number of the registration that was refused: whoever comes second finds it done. Nobody else writes
// `welcome` and `registrations`, so they are read here as they are.
void Worker::State::register_again(int seen) {
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

void Worker::State::fill_hello(v1::Hello& hello) {
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

void Worker::State::beat() {
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

void Worker::State::beat_once() {
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

void Worker::State::obey(const v1::HeartbeatResponse& answer) {
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

void Worker::State::tick() {
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
void Worker::State::look_after_the_stuck(BootClock::time_point now, std::set<std::string>& told) {
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
void Worker::State::kill_for_lease(TaskRun& run) {
  if (run.is_over()) return;
  if (run.is_handler()) {
    options.log("no coordinator for too long, and handler " + run.assignment().spec().handler().name() +
                " does not stop: ending the worker");
    std::_Exit(kStuck);
  }
  run.kill();
}

}  // namespace buildrunner_parallel
