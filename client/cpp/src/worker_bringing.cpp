// What a worker sends while tasks run: the courier brings starts and progress, the porter what they write.

#include "worker_state.h"

namespace buildrunner_parallel {
namespace {

// One stream of output: so much in a message, so many messages, so long at most.
constexpr int64_t kMessageBytes = 128 << 10;
constexpr int kMessages = 16;
constexpr auto kRoundTime = Milliseconds(30'000);

}  // namespace

void Worker::State::carry() {
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

// Brings output until the worker's end. One thread and one stream for all tasks: what is held of each stays
// where it is until the coordinator has it.
void Worker::State::bring_output() {
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
std::vector<Run> Worker::State::wait_for_output() {
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
bool Worker::State::write_output(const std::vector<Run>& due) {
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
void Worker::State::heed(const grpc::Status& status, int seen) {
  if (status.error_code() == grpc::NOT_FOUND) return register_again(seen);
  try {
    throw_error(status, calls.target().address);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUnauthenticated) throw;
    if (!is_passing(error)) options.log(std::string("output was not taken: ") + error.what());
  }
}

}  // namespace buildrunner_parallel
