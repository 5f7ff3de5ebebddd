#include "buildrunner_parallel/watch.h"

#include <thread>

#include "calls.h"

namespace buildrunner_parallel {
namespace {

using Clock = std::chrono::steady_clock;

// Passes by itself: the coordinator went away, or this stream was read too slowly.
bool may_resume(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::OK:
    case grpc::UNAVAILABLE:
    case grpc::CANCELLED:
    case grpc::UNKNOWN:
      return true;
    case grpc::RESOURCE_EXHAUSTED:
      return reason_of(status) == "WATCHER_TOO_SLOW";
    case grpc::INTERNAL:
      return reason_of(status).empty();  // a connection that was cut
    default:
      return false;
  }
}

}  // namespace

// One stream on its own queue. At most one operation is on its way at any time: its end is `pending`.
struct Watch::State {
  using Reader = grpc::ClientAsyncReaderInterface<v1::WatchResponse>;

  State(std::shared_ptr<const Calls> with, WatchOptions how)
      : calls(std::move(with)), options(std::move(how)) {
    revision = options.since_revision.value_or(0);
    known = options.since_revision.has_value();
    store_id = options.store_id;
  }
  ~State() { close(); }

  void open() {
    v1::WatchRequest request;
    for (const auto& id : options.session_ids) request.add_session_ids(id);
    request.set_ended_tasks(options.ended_tasks);
    if (known) {
      request.set_since_revision(revision);
      request.set_store_id(store_id);
    }
    queue = std::make_unique<grpc::CompletionQueue>();
    context = std::make_unique<grpc::ClientContext>();
    calls->prepare(*context, Milliseconds(0));
    reader = calls->events->PrepareAsyncWatch(context.get(), request, queue.get());
    reader->StartCall(this);
    step = Step::kStarting;
  }

  // Ends the stream, waiting for what is on its way.
  void close() {
    if (!reader) return;
    context->TryCancel();
    queue->Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok)) {
    }
    reader.reset();
    context.reset();
    queue.reset();
  }

  void took(const v1::WatchResponse& message) {
    // All but the last message of a snapshot have no revision: one that breaks off is begun anew.
    if (message.revision() > 0) {
      revision = message.revision();
      known = true;
    } else if (message.reset()) {
      known = false;
    }
    if (!message.store_id().empty()) store_id = message.store_id();
    backoff.reset();
  }

  enum class Step { kStarting, kReading, kFinishing };

  std::shared_ptr<const Calls> calls;
  WatchOptions options;
  int64_t revision = 0;
  bool known = false;
  std::string store_id;
  int reconnects = 0;
  Backoff backoff;
  Clock::time_point retry_at{};
  std::unique_ptr<grpc::CompletionQueue> queue;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<Reader> reader;
  v1::WatchResponse message;
  grpc::Status status;
  Step step = Step::kStarting;
};

Watch::Watch(std::shared_ptr<const Calls> calls, WatchOptions options)
    : state_(std::make_unique<State>(std::move(calls), std::move(options))) {}
Watch::~Watch() = default;
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;

int64_t Watch::revision() const { return state_->revision; }
const std::string& Watch::store_id() const { return state_->store_id; }
int Watch::reconnects() const { return state_->reconnects; }

std::optional<v1::WatchResponse> Watch::next(std::chrono::milliseconds timeout) {
  State& s = *state_;
  const auto deadline = Clock::now() + timeout;
  for (;;) {
    if (!s.reader) {
      if (s.retry_at > deadline) {
        std::this_thread::sleep_until(deadline);
        return std::nullopt;
      }
      std::this_thread::sleep_until(s.retry_at);
      s.open();
    }
    void* tag = nullptr;
    bool ok = false;
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    const auto until = std::chrono::system_clock::now() + std::max(left, Milliseconds(0));
    if (s.queue->AsyncNext(&tag, &ok, until) != grpc::CompletionQueue::GOT_EVENT) return std::nullopt;
    if (s.step == State::Step::kFinishing) {
      const grpc::Status ended = s.status;
      s.close();
      if (!may_resume(ended)) throw_error(ended, s.calls->target().address);
      ++s.reconnects;
      s.retry_at = Clock::now() + s.backoff.next();
      continue;
    }
    if (!ok) {
      s.step = State::Step::kFinishing;
      s.reader->Finish(&s.status, &s);
      continue;
    }
    const bool has_message = s.step == State::Step::kReading;
    v1::WatchResponse taken;
    if (has_message) taken.Swap(&s.message);
    s.step = State::Step::kReading;
    s.message.Clear();
    s.reader->Read(&s.message, &s);
    if (has_message) {
      s.took(taken);
      return taken;
    }
  }
}

}  // namespace buildrunner_parallel
