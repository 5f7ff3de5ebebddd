// A coordinator that a test plays: it answers as it is told, on a unix socket in a folder of its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "buildrunner_parallel/discovery.h"
#include "buildrunner_parallel/v1/event_service.grpc.pb.h"
#include "buildrunner_parallel/v1/lock_service.grpc.pb.h"
#include "buildrunner_parallel/v1/log_service.grpc.pb.h"
#include "buildrunner_parallel/v1/session_service.grpc.pb.h"
#include "buildrunner_parallel/v1/worker_service.grpc.pb.h"
#include "folder.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace v1 = buildrunner_parallel::v1;

// The answers to one call, in order; the last one goes on. What was asked is kept.
template <class Request, class Response>
struct Script {
  using Answer = std::function<grpc::Status(const Request&, Response*)>;
  std::deque<Answer> answers;
  std::vector<Request> asked;
  std::vector<std::string> tokens;
  std::mutex mutex;

  void then(Answer answer) { answers.push_back(std::move(answer)); }
  void fails(grpc::StatusCode code) {
    then([code](const Request&, Response*) { return grpc::Status(code, "as told"); });
  }
  void refuses(grpc::StatusCode code, const std::string& reason) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain("parallel.buildrunner.dev");
    google::rpc::Status packed;
    packed.add_details()->PackFrom(info);
    then([code, details = packed.SerializeAsString()](const Request&, Response*) {
      return grpc::Status(code, "as told", details);
    });
  }
  size_t count() {
    std::lock_guard lock(mutex);
    return asked.size();
  }
  grpc::Status operator()(grpc::ServerContext* context, const Request* request, Response* response) {
    Answer answer;
    {
      std::lock_guard lock(mutex);
      asked.push_back(*request);
      const auto token = context->client_metadata().find("authorization");
      tokens.push_back(token == context->client_metadata().end()
                           ? ""
                           : std::string(token->second.data(), token->second.size()));
      if (answers.empty()) return grpc::Status::OK;
      answer = answers.front();
      if (answers.size() > 1) answers.pop_front();
    }
    return answer(*request, response);
  }
};

struct FakeCoordinator {
  struct Sessions : v1::SessionService::Service {
    Script<v1::CreateSessionRequest, v1::CreateSessionResponse> create;
    grpc::Status CreateSession(grpc::ServerContext* c, const v1::CreateSessionRequest* q,
                               v1::CreateSessionResponse* a) override {
      return create(c, q, a);
    }
  } sessions;
  struct Locks : v1::LockService::Service {
    Script<v1::AcquireLocksRequest, v1::AcquireLocksResponse> acquire;
    Script<v1::RenewLeaseRequest, v1::RenewLeaseResponse> renew;
    Script<v1::ReleaseLocksRequest, v1::ReleaseLocksResponse> release;
    grpc::Status AcquireLocks(grpc::ServerContext* c, const v1::AcquireLocksRequest* q,
                              v1::AcquireLocksResponse* a) override {
      return acquire(c, q, a);
    }
    grpc::Status RenewLease(grpc::ServerContext* c, const v1::RenewLeaseRequest* q,
                            v1::RenewLeaseResponse* a) override {
      return renew(c, q, a);
    }
    grpc::Status ReleaseLocks(grpc::ServerContext* c, const v1::ReleaseLocksRequest* q,
                              v1::ReleaseLocksResponse* a) override {
      return release(c, q, a);
    }
  } locks;
  // Each stream sends the messages of one entry and then ends with its status.
  struct Events : v1::EventService::Service {
    std::vector<std::pair<std::vector<v1::WatchResponse>, grpc::Status>> streams;
    std::vector<v1::WatchRequest> asked;
    std::mutex mutex;
    grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest* request,
                       grpc::ServerWriter<v1::WatchResponse>* writer) override {
      size_t number = 0;
      {
        std::lock_guard lock(mutex);
        number = std::min(asked.size(), streams.size() - 1);
        asked.push_back(*request);
      }
      for (const auto& message : streams[number].first) writer->Write(message);
      return streams[number].second;
    }
  } events;
  struct Workers : v1::WorkerService::Service {
    Script<v1::RegisterRequest, v1::RegisterResponse> hello;
    Script<v1::HeartbeatRequest, v1::HeartbeatResponse> heartbeat;
    Script<v1::ClaimTasksRequest, v1::ClaimTasksResponse> claim;
    Script<v1::ReportTasksRequest, v1::ReportTasksResponse> report;
    Script<v1::UnregisterRequest, v1::UnregisterResponse> goodbye;
    grpc::Status Register(grpc::ServerContext* c, const v1::RegisterRequest* q,
                          v1::RegisterResponse* a) override {
      return hello(c, q, a);
    }
    grpc::Status Heartbeat(grpc::ServerContext* c, const v1::HeartbeatRequest* q,
                           v1::HeartbeatResponse* a) override {
      return heartbeat(c, q, a);
    }
    grpc::Status ClaimTasks(grpc::ServerContext* c, const v1::ClaimTasksRequest* q,
                            v1::ClaimTasksResponse* a) override {
      return claim(c, q, a);
    }
    grpc::Status ReportTasks(grpc::ServerContext* c, const v1::ReportTasksRequest* q,
                             v1::ReportTasksResponse* a) override {
      return report(c, q, a);
    }
    grpc::Status Unregister(grpc::ServerContext* c, const v1::UnregisterRequest* q,
                            v1::UnregisterResponse* a) override {
      return goodbye(c, q, a);
    }
  } workers;

  // Each stream of output goes by one entry, the last one by all the rest.
  struct Logs : v1::LogService::Service {
    using Stream = grpc::ServerReaderWriterInterface<v1::WriteOutputResponse, v1::WriteOutputRequest>;
    std::deque<std::function<grpc::Status(Stream&)>> streams;
    std::vector<v1::AttemptOutput> asked;
    std::map<std::string, std::string> kept;  // by attempt
    std::map<std::string, int64_t> durable;
    size_t opened = 0;
    std::mutex mutex;

    Logs() {
      streams.push_back([this](Stream& stream) { return takes_all(stream); });
    }
    // What the coordinator does with a piece: what is here already is cut off, a gap that is not told of is
    // refused.
    v1::WriteOutputResponse takes(const v1::AttemptOutput& output, size_t most = std::string::npos) {
      std::lock_guard lock(mutex);
      int64_t& end = durable[output.attempt_id()];
      for (const auto& chunk : output.chunks()) {
        const int64_t from = std::max(chunk.offset(), end);
        if (chunk.offset() - chunk.dropped_bytes() > end) break;
        if (chunk.offset() + static_cast<int64_t>(chunk.data().size()) < from) continue;
        const auto news = chunk.data().substr(static_cast<size_t>(from - chunk.offset()), most);
        kept[output.attempt_id()] += news;
        end = from + static_cast<int64_t>(news.size());
      }
      v1::WriteOutputResponse answer;
      auto& ack = *answer.add_acknowledgements();
      ack.set_attempt_id(output.attempt_id());
      ack.set_fence(output.fence());
      ack.set_offset(end);
      return answer;
    }
    std::optional<v1::AttemptOutput> next(Stream& stream) {
      v1::WriteOutputRequest request;
      if (!stream.Read(&request)) return std::nullopt;
      std::lock_guard lock(mutex);
      asked.insert(asked.end(), request.outputs().begin(), request.outputs().end());
      return request.outputs(0);
    }
    grpc::Status takes_all(Stream& stream) {
      while (const auto output = next(stream)) stream.Write(takes(*output));
      return grpc::Status::OK;
    }
    std::string of(const std::string& attempt) {
      std::lock_guard lock(mutex);
      return kept[attempt];
    }
    size_t count() {
      std::lock_guard lock(mutex);
      return opened;
    }
    grpc::Status WriteOutput(
        grpc::ServerContext*,
        grpc::ServerReaderWriter<v1::WriteOutputResponse, v1::WriteOutputRequest>* stream) override {
      std::function<grpc::Status(Stream&)> answer;
      {
        std::lock_guard lock(mutex);
        ++opened;
        answer = streams.front();
        if (streams.size() > 1) streams.pop_front();
      }
      return answer(*stream);
    }
  } logs;

  FakeCoordinator() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target().address, grpc::InsecureServerCredentials());
    builder.RegisterService(&sessions).RegisterService(&locks).RegisterService(&events);
    builder.RegisterService(&workers).RegisterService(&logs);
    server = builder.BuildAndStart();
  }
  ~FakeCoordinator() { server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }

  buildrunner_parallel::Target target() const {
    return {"unix:" + (folder.path() / "br.sock").string(), "secret"};
  }

  Folder folder;
  std::unique_ptr<grpc::Server> server;
};
