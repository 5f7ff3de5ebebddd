// What a worker does with a task: asks for it, takes it, runs it in its slots, and reports its end.
#include <algorithm>

#include "worker_state.h"

namespace buildrunner_parallel {
namespace {

constexpr int64_t kClaimWaitMs = 1'000;
constexpr size_t kRemembered = 1'000;

void replace_by_failure(v1::TaskReport& report, const std::string& error) {
  v1::TaskReport instead;
  instead.set_attempt_id(report.attempt_id());
  instead.set_fence(report.fence());
  instead.set_outcome(v1::OUTCOME_NOT_STARTED);
  instead.set_error(error);
  report = std::move(instead);
}

}  // namespace

void Worker::State::claim() {
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
void Worker::State::tell_of_draining() {
  v1::DrainWorkerRequest request;
  request.set_request_id(random_id());
  request.set_reason("the worker was told to");
  try {
    as_worker(&Workers::DrainWorker, request);
  } catch (const Error& error) {
    options.log(std::string("draining without a word: ") + error.what());
  }
}

void Worker::State::take(const v1::Assignment& assignment) {
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
  changed.wait(lock,
               [&] { return used_slots == 0 || used_slots + slots <= options.slots || run->is_stopping(); });
  waiting.reset();
  used_slots += slots;
  slots_taken.push_back(surroundings.slot);
  std::thread([this, run, slots] { perform(run, slots); }).detach();
}

int Worker::State::free_slot() const {
  int slot = 0;
  while (std::find(slots_taken.begin(), slots_taken.end(), slot) != slots_taken.end()) ++slot;
  return slot;
}

void Worker::State::perform(const Run& run, int slots) {
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
void Worker::State::remember_end(const v1::Assignment& assignment) {
  ended.insert(assignment.attempt_id());
  by_fence[assignment.fence()] = assignment.attempt_id();
  if (by_fence.size() <= kRemembered) return;
  ended.erase(by_fence.begin()->second);
  by_fence.erase(by_fence.begin());
}

// The slot is free for the next task while the report is still on its way.
void Worker::State::free(const Run& run, int slots) {
  std::lock_guard lock(mutex);
  used_slots -= slots;
  slots_taken.erase(std::find(slots_taken.begin(), slots_taken.end(), run->surroundings().slot));
  changed.notify_all();
}

// The same report, until it was taken or never will be; behind the output.
void Worker::State::deliver(TaskRun& run) {
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
void Worker::State::await_output(const TaskRun& run) {
  std::unique_lock lock(mutex);
  output_waits = true;
  changed.notify_all();
  changed.wait(lock, [&] { return porter_left || run.is_output_settled(); });
  if (!run.is_output_settled()) throw *failure;
}

}  // namespace buildrunner_parallel
