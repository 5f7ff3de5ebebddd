// A client of the coordinator. Its methods block, may be called from several threads, and throw Error.
//
//   auto client = buildrunner_parallel::Client::connect();
//   const std::string id = client.create_session("docs").session_id();
//   client.submit(id, {buildrunner_parallel::command("make", {"make", "docs"})});
//   client.start_session(id);
//   client.close_session(id);
//   return client.wait_session(id).status() == buildrunner_parallel::v1::SESSION_STATUS_COMPLETED ? 0 : 6;
//
// Each call has a deadline of 15 s, within which it is sent again while the coordinator cannot be reached;
// what changes something carries a request id that stays the same meanwhile, so that it takes effect once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buildrunner_parallel/discovery.h"
#include "buildrunner_parallel/errors.h"
#include "buildrunner_parallel/v1/coordinator_service.pb.h"
#include "buildrunner_parallel/v1/lock_service.pb.h"
#include "buildrunner_parallel/v1/types.pb.h"
#include "buildrunner_parallel/watch.h"

namespace buildrunner_parallel {

class Calls;
class HeldLocks;

// Tasks to submit; set what else they need on the message.
v1::TaskSpec command(std::string task_id, const std::vector<std::string>& argv);
v1::TaskSpec shell(std::string task_id, std::string line);
v1::TaskSpec handler(std::string task_id, std::string name, std::string payload,
                     std::string content_type = "application/json");

// A path to lock: AUTO goes by its text, "src/" is a directory with all below it, "res:name" a name.
v1::PathRequest path(std::string text, v1::LockMode mode = v1::LOCK_MODE_EXCLUSIVE);

struct SessionOptions {
  std::string metadata_json;
  // How many tasks will be submitted in all; the last of them seals the session. 0: not known.
  int declared_tasks = 0;
  // The most tasks that may run at once; 0: no limit.
  int max_parallel = 0;
  // Workers that serve this session alone, started by the machine's keeper.
  int workers = 0;
};

struct LockOptions {
  // 0 tries once, a negative one waits without an end.
  std::chrono::milliseconds wait{0};
  // Set: the grant ends so long after its last renewal (1 s to 1 h). Unset: the session itself holds.
  std::optional<std::chrono::milliseconds> lease;
};

// What a task wrote.
struct Output {
  std::string out;
  std::string err;
  // Bytes that fell out of the middle because of the cap.
  int64_t dropped_bytes = 0;
};

class Client {
 public:
  // Finds the coordinator as `locate` does; the connection is made with the first call.
  static Client connect(const std::string& coordinator = "", const std::string& token = "");
  explicit Client(Target target);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  v1::GetInfoResponse info();

  v1::Session create_session(const std::string& name, const SessionOptions& options = {});
  v1::Session get_session(const std::string& session_id);
  // All of them, newest first.
  std::vector<v1::Session> list_sessions();
  v1::Session start_session(const std::string& session_id);
  v1::Session pause_session(const std::string& session_id, bool now = false);
  v1::Session resume_session(const std::string& session_id);
  v1::Session cancel_session(const std::string& session_id, const std::string& reason = "");
  // No task will be added any more, so that it ends with its last one.
  v1::Session close_session(const std::string& session_id);
  // Until it is over; throws Error of kind kTimeout when that takes longer.
  v1::Session wait_session(const std::string& session_id,
                           std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  // Up to 1,000 tasks, all or none. Give a request id of your own to submit the same ones once from several
  // places.
  std::vector<v1::TaskSummary> submit(const std::string& session_id, const std::vector<v1::TaskSpec>& tasks,
                                      const std::string& request_id = "");
  v1::Task get_task(const std::string& session_id, const std::string& task_id);
  // All of them, in order of submission.
  std::vector<v1::TaskSummary> list_tasks(const std::string& session_id);
  v1::TaskSummary cancel_task(const std::string& session_id, const std::string& task_id,
                              const std::string& reason = "");
  // Runs what failed again; empty: all that failed. Returns how many that are.
  int retry_tasks(const std::string& session_id, const std::vector<std::string>& task_ids = {});
  Output read_output(const std::string& session_id, const std::string& task_id);

  // All the paths or none; throws LockConflictError. A wait outlives a restart of the coordinator.
  v1::AcquireLocksResponse acquire(const std::string& session_id, const std::vector<v1::PathRequest>& paths,
                                   const LockOptions& options = {});
  // Extends a grant with a lease; throws Error of kind kStale when somebody else may hold its paths.
  std::chrono::milliseconds renew(const std::string& grant_id, int64_t fence);
  // Gives back what the session holds itself, or (with a grant) what that holds; empty paths: all of it.
  std::vector<v1::PathLock> release(const std::string& session_id, const std::string& grant_id = "",
                                    int64_t fence = 0, const std::vector<v1::PathRequest>& paths = {});
  // Acquires with a lease that is renewed until the result is destroyed, which releases. `on_lost` is called
  // from another thread, once, when the paths are not held any more; it may release or destroy what it is
  // about.
  std::unique_ptr<HeldLocks> hold(const std::string& session_id, const std::vector<v1::PathRequest>& paths,
                                  std::chrono::milliseconds wait = std::chrono::milliseconds(0),
                                  std::chrono::milliseconds lease = std::chrono::seconds(30),
                                  std::function<void(const Error&)> on_lost = nullptr);

  Watch watch(WatchOptions options = {});

 private:
  std::shared_ptr<const Calls> calls_;
};

// Paths that are held for as long as this lives, and as long as the lease could be renewed.
class HeldLocks {
 public:
  HeldLocks(std::shared_ptr<const Calls> calls, v1::AcquireLocksResponse grant, std::string session_id,
            std::chrono::steady_clock::time_point granted_at, std::function<void(const Error&)> on_lost);
  ~HeldLocks();

  const std::string& grant_id() const;
  // Hand it to whatever you change, if that can refuse an older one.
  int64_t fence() const;
  // True once somebody else may hold the paths: stop changing them.
  bool lost() const;
  // Gives the paths back early; throws Error when they were lost before.
  void release();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace buildrunner_parallel
