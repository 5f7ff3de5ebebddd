#include "buildrunner_parallel/client.h"

#include <algorithm>
#include <map>
#include <thread>

#include "calls.h"

namespace buildrunner_parallel {
namespace {

using Clock = std::chrono::steady_clock;
using Sessions = v1::SessionService::StubInterface;
using Tasks = v1::TaskService::StubInterface;
using Locks = v1::LockService::StubInterface;

constexpr auto kQuick = Milliseconds(15'000);
constexpr int kPage = 1000;

bool is_over(v1::SessionStatus status) {
  return status == v1::SESSION_STATUS_COMPLETED || status == v1::SESSION_STATUS_FAILED ||
         status == v1::SESSION_STATUS_CANCELLED;
}

template <class Request>
Request of_session(const std::string& session_id) {
  Request request;
  request.set_request_id(random_id());
  request.set_session_id(session_id);
  return request;
}

}  // namespace

v1::TaskSpec command(std::string task_id, const std::vector<std::string>& argv) {
  v1::TaskSpec spec;
  spec.set_task_id(std::move(task_id));
  for (const auto& word : argv) spec.mutable_command()->add_argv(word);
  return spec;
}

v1::TaskSpec shell(std::string task_id, std::string line) {
  v1::TaskSpec spec;
  spec.set_task_id(std::move(task_id));
  spec.mutable_command()->set_shell_line(std::move(line));
  return spec;
}

v1::TaskSpec handler(std::string task_id, std::string name, std::string payload, std::string content_type) {
  v1::TaskSpec spec;
  spec.set_task_id(std::move(task_id));
  spec.mutable_handler()->set_name(std::move(name));
  spec.mutable_handler()->mutable_payload()->set_data(std::move(payload));
  spec.mutable_handler()->mutable_payload()->set_content_type(std::move(content_type));
  return spec;
}

v1::PathRequest path(std::string text, v1::LockMode mode) {
  v1::PathRequest request;
  request.set_path(std::move(text));
  request.set_mode(mode);
  request.set_kind(v1::LOCK_KIND_AUTO);
  return request;
}

Client Client::connect(const std::string& coordinator, const std::string& token) {
  return Client(locate(coordinator, token));
}

Client::Client(Target target) : calls_(std::make_shared<const Calls>(std::move(target))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

v1::GetInfoResponse Client::info() {
  return calls_->call(*calls_->coordinator, &v1::CoordinatorService::StubInterface::GetInfo,
                      v1::GetInfoRequest());
}

// ------------------------------------------------------------------ sessions

v1::Session Client::create_session(const std::string& name, const SessionOptions& options) {
  v1::CreateSessionRequest request;
  request.set_request_id(random_id());
  request.set_name(name);
  request.set_metadata_json(options.metadata_json);
  request.set_declared_tasks(options.declared_tasks);
  request.set_max_parallel(options.max_parallel);
  request.set_wanted_workers(options.workers);
  return calls_->call(*calls_->sessions, &Sessions::CreateSession, request).session();
}

v1::Session Client::get_session(const std::string& session_id) {
  v1::GetSessionRequest request;
  request.set_session_id(session_id);
  return calls_->call(*calls_->sessions, &Sessions::GetSession, request).session();
}

std::vector<v1::Session> Client::list_sessions() {
  std::vector<v1::Session> all;
  v1::ListSessionsRequest request;
  request.set_page_size(kPage);
  do {
    const auto page = calls_->call(*calls_->sessions, &Sessions::ListSessions, request);
    all.insert(all.end(), page.sessions().begin(), page.sessions().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

v1::Session Client::start_session(const std::string& session_id) {
  return calls_
      ->call(*calls_->sessions, &Sessions::StartSession, of_session<v1::StartSessionRequest>(session_id))
      .session();
}

v1::Session Client::pause_session(const std::string& session_id, bool now) {
  auto request = of_session<v1::PauseSessionRequest>(session_id);
  request.set_now(now);
  return calls_->call(*calls_->sessions, &Sessions::PauseSession, request).session();
}

v1::Session Client::resume_session(const std::string& session_id) {
  return calls_
      ->call(*calls_->sessions, &Sessions::ResumeSession, of_session<v1::ResumeSessionRequest>(session_id))
      .session();
}

v1::Session Client::cancel_session(const std::string& session_id, const std::string& reason) {
  auto request = of_session<v1::CancelSessionRequest>(session_id);
  request.set_reason(reason);
  return calls_->call(*calls_->sessions, &Sessions::CancelSession, request).session();
}

v1::Session Client::close_session(const std::string& session_id) {
  return calls_
      ->call(*calls_->sessions, &Sessions::CloseSession, of_session<v1::CloseSessionRequest>(session_id))
      .session();
}

v1::Session Client::wait_session(const std::string& session_id,
                                 std::optional<std::chrono::milliseconds> timeout) {
  // The id may be a prefix, or "last", which must not come to mean another one.
  const std::string id = get_session(session_id).session_id();
  WatchOptions options;
  options.session_ids = {id};
  Watch watch(calls_, options);
  const auto deadline = timeout ? Clock::now() + *timeout : Clock::time_point::max();
  for (;;) {
    const auto left =
        timeout ? std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()) : Milliseconds(60'000);
    const auto message = watch.next(std::max(left, Milliseconds(0)));
    if (!message && timeout && Clock::now() >= deadline) {
      throw Error(ErrorKind::kTimeout, "", "session " + id + " is not over yet; it goes on");
    }
    if (!message) continue;
    for (const auto& change : message->changes()) {
      if (change.has_session() && change.session().session_id() == id && is_over(change.session().status())) {
        return change.session();
      }
      if (change.has_removed() && change.removed().id() == id &&
          change.removed().kind() == v1::ENTITY_KIND_SESSION) {
        throw Error(ErrorKind::kNotFound, "SESSION_NOT_FOUND", "session " + id + " was deleted meanwhile");
      }
    }
  }
}

// --------------------------------------------------------------------- tasks

std::vector<v1::TaskSummary> Client::submit(const std::string& session_id,
                                            const std::vector<v1::TaskSpec>& tasks,
                                            const std::string& request_id) {
  auto request = of_session<v1::SubmitTasksRequest>(session_id);
  if (!request_id.empty()) request.set_request_id(request_id);
  for (const auto& task : tasks) *request.add_tasks() = task;
  const auto answer = calls_->call(*calls_->tasks, &Tasks::SubmitTasks, request);
  return {answer.tasks().begin(), answer.tasks().end()};
}

v1::Task Client::get_task(const std::string& session_id, const std::string& task_id) {
  v1::GetTaskRequest request;
  request.set_session_id(session_id);
  request.set_task_id(task_id);
  return calls_->call(*calls_->tasks, &Tasks::GetTask, request).task();
}

std::vector<v1::TaskSummary> Client::list_tasks(const std::string& session_id) {
  std::vector<v1::TaskSummary> all;
  v1::ListTasksRequest request;
  request.set_session_id(session_id);
  request.set_page_size(kPage);
  do {
    const auto page = calls_->call(*calls_->tasks, &Tasks::ListTasks, request);
    all.insert(all.end(), page.tasks().begin(), page.tasks().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

v1::TaskSummary Client::cancel_task(const std::string& session_id, const std::string& task_id,
                                    const std::string& reason) {
  auto request = of_session<v1::CancelTaskRequest>(session_id);
  request.set_task_id(task_id);
  request.set_reason(reason);
  return calls_->call(*calls_->tasks, &Tasks::CancelTask, request).task();
}

int Client::retry_tasks(const std::string& session_id, const std::vector<std::string>& task_ids) {
  auto request = of_session<v1::RetryTasksRequest>(session_id);
  for (const auto& id : task_ids) request.add_task_ids(id);
  return calls_->call(*calls_->tasks, &Tasks::RetryTasks, request).task_count();
}

Output Client::read_output(const std::string& session_id, const std::string& task_id) {
  Output output;
  v1::ReadOutputRequest request;
  request.set_session_id(session_id);
  request.set_task_id(task_id);
  Backoff backoff;
  for (int tries = 1;; ++tries) {
    grpc::ClientContext context;
    calls_->prepare(context, Milliseconds(60'000));
    const auto reader = calls_->logs->ReadOutput(&context, request);
    v1::ReadOutputResponse piece;
    while (reader->Read(&piece)) {
      const auto& chunk = piece.chunk();
      (chunk.channel() == v1::OUTPUT_CHANNEL_STDERR ? output.err : output.out) += chunk.data();
      output.dropped_bytes += chunk.dropped_bytes();
      request.set_attempt(piece.attempt());
      request.set_offset(chunk.offset() + static_cast<int64_t>(chunk.data().size()));
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) return output;
    if (!Calls::is_passing(status) || tries == 8) throw_error(status, calls_->target().address);
    std::this_thread::sleep_for(backoff.next());
  }
}

// --------------------------------------------------------------------- locks

v1::AcquireLocksResponse Client::acquire(const std::string& session_id,
                                         const std::vector<v1::PathRequest>& paths,
                                         const LockOptions& options) {
  auto request = of_session<v1::AcquireLocksRequest>(session_id);
  for (const auto& one : paths) *request.add_paths() = one;
  request.set_wait_ms(options.wait.count() < 0 ? -1 : options.wait.count());
  if (options.lease) request.set_lease_ms(options.lease->count());
  // The call stays open while it waits; whoever has to ask again, with the same id, finds its place in the
  // queue.
  constexpr auto kEver = std::chrono::hours(24 * 365);
  const auto timeout =
      options.wait.count() < 0 ? std::chrono::duration_cast<Milliseconds>(kEver) : options.wait + kQuick;
  return calls_->call(*calls_->locks, &Locks::AcquireLocks, request, timeout);
}

std::chrono::milliseconds Client::renew(const std::string& grant_id, int64_t fence) {
  v1::RenewLeaseRequest request;
  request.set_grant_id(grant_id);
  request.set_fence(fence);
  return Milliseconds(calls_->call(*calls_->locks, &Locks::RenewLease, request).lease_ms());
}

std::vector<v1::PathLock> Client::release(const std::string& session_id, const std::string& grant_id,
                                          int64_t fence, const std::vector<v1::PathRequest>& paths) {
  auto request = of_session<v1::ReleaseLocksRequest>(session_id);
  request.set_grant_id(grant_id);
  request.set_fence(fence);
  for (const auto& one : paths) *request.add_paths() = one;
  const auto answer = calls_->call(*calls_->locks, &Locks::ReleaseLocks, request);
  return {answer.released().begin(), answer.released().end()};
}

std::unique_ptr<HeldLocks> Client::hold(const std::string& session_id,
                                        const std::vector<v1::PathRequest>& paths,
                                        std::chrono::milliseconds wait, std::chrono::milliseconds lease,
                                        std::function<void(const Error&)> on_lost) {
  LockOptions options;
  options.wait = wait;
  options.lease = lease;
  const auto asked_at = Clock::now();
  auto grant = acquire(session_id, paths, options);
  // The lease began when the wait was over, at this moment at the earliest.
  const auto granted_at = asked_at + Milliseconds(grant.waited_ms());
  return std::make_unique<HeldLocks>(calls_, std::move(grant), session_id, granted_at, std::move(on_lost));
}

Watch Client::watch(WatchOptions options) { return Watch(calls_, std::move(options)); }

}  // namespace buildrunner_parallel
