// The channel to a coordinator, and calls on it: token, client id and deadline with each, repeated while
// nobody answers.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "buildrunner_parallel/discovery.h"
#include "buildrunner_parallel/errors.h"
#include "buildrunner_parallel/v1/coordinator_service.grpc.pb.h"
#include "buildrunner_parallel/v1/event_service.grpc.pb.h"
#include "buildrunner_parallel/v1/lock_service.grpc.pb.h"
#include "buildrunner_parallel/v1/log_service.grpc.pb.h"
#include "buildrunner_parallel/v1/session_service.grpc.pb.h"
#include "buildrunner_parallel/v1/task_service.grpc.pb.h"
#include "buildrunner_parallel/v1/worker_service.grpc.pb.h"

namespace buildrunner_parallel {

using Milliseconds = std::chrono::milliseconds;

// A random id of 16 hex digits: for request ids and client ids.
std::string random_id();

// 50 ms, doubled with each step up to 2 s, each with jitter of half its length.
class Backoff {
 public:
  Milliseconds next();
  void reset() { step_ = Milliseconds(50); }

 private:
  Milliseconds step_{50};
};

class Calls {
 public:
  explicit Calls(Target target);

  const Target& target() const { return target_; }

  // Adds what every call carries. `timeout` 0 sets no deadline: for streams.
  void prepare(grpc::ClientContext& context, Milliseconds timeout) const;

  // One call. A repeatable one is sent again while the coordinator cannot be reached, for `timeout` in all;
  // each delivery has the rest of the time as its deadline. Throws what throw_error says.
  template <class Stub, class Request, class Response>
  Response call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request, Milliseconds timeout = Milliseconds(15'000),
                bool repeatable = true) const {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    Backoff backoff;
    for (;;) {
      grpc::ClientContext context;
      prepare(context, remaining(deadline));
      Response response;
      const grpc::Status status = (stub.*method)(&context, request, &response);
      if (status.ok()) return response;
      if (!repeatable || !is_passing(status) || !pause(backoff.next(), deadline)) {
        throw_error(status, target_.address);
      }
    }
  }

  // Nobody answered, or one who is about to stop: the same call may be sent again.
  static bool is_passing(const grpc::Status& status);

  std::unique_ptr<v1::CoordinatorService::StubInterface> coordinator;
  std::unique_ptr<v1::SessionService::StubInterface> sessions;
  std::unique_ptr<v1::TaskService::StubInterface> tasks;
  std::unique_ptr<v1::LockService::StubInterface> locks;
  std::unique_ptr<v1::LogService::StubInterface> logs;
  std::unique_ptr<v1::EventService::StubInterface> events;
  std::unique_ptr<v1::WorkerService::StubInterface> workers;

 private:
  static Milliseconds remaining(std::chrono::steady_clock::time_point deadline);
  // Sleeps unless that would pass the deadline; false then.
  static bool pause(Milliseconds time, std::chrono::steady_clock::time_point deadline);

  Target target_;
  std::string client_id_ = random_id();
};

}  // namespace buildrunner_parallel
