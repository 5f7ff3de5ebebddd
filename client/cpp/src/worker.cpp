#include "buildrunner_parallel/worker.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <iostream>

#include "worker_state.h"

namespace buildrunner_parallel {
namespace {

void log_to_stderr(const std::string& line) { std::cerr << "worker: " + line + "\n" << std::flush; }

}  // namespace

Worker::State::State(Target target, WorkerOptions how) : options(std::move(how)), calls(std::move(target)) {
  if (!options.log) options.log = log_to_stderr;
  if (options.slots < 1) throw Error(ErrorKind::kInvalid, "INVALID", "a worker needs at least one slot");
}

Run Worker::State::find(const std::string& attempt_id) {
  std::lock_guard lock(mutex);
  const auto found = runs.find(attempt_id);
  return found == runs.end() ? nullptr : found->second;
}

std::vector<Run> Worker::State::all_runs() {
  std::lock_guard lock(mutex);
  std::vector<Run> all;
  for (const auto& [id, run] : runs) all.push_back(run);
  return all;
}

// False when the worker has come to its end.
bool Worker::State::pause_until(Steady::time_point when) {
  std::unique_lock lock(mutex);
  return !changed.wait_until(lock, when, [this] { return finished; });
}

void Worker::State::wake_all() {
  std::lock_guard lock(mutex);
  changed.notify_all();
}

void Worker::State::start_draining() {
  std::lock_guard lock(mutex);
  draining = true;
  changed.notify_all();
}

// What will not pass ends the worker; run() throws the first of it.
void Worker::State::fail(const Error& error) {
  std::lock_guard lock(mutex);
  if (!failure) failure = error;
  draining = true;
  changed.notify_all();
}

bool Worker::State::is_waiting(const Run& run) {
  std::lock_guard lock(mutex);
  return run == waiting;
}

bool Worker::State::has_no_reason_to_stay() {
  std::lock_guard lock(mutex);
  return draining && runs.empty();
}

bool Worker::State::is_draining() {
  std::lock_guard lock(mutex);
  return draining;
}

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
