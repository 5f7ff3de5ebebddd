// A worker at work on a coordinator whose answers the test has written.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "buildrunner_parallel/worker.h"
#include "fake_coordinator.h"

namespace br = buildrunner_parallel;
using std::chrono::milliseconds;

inline v1::Welcome welcome(const std::string& store = "store", int64_t epoch = 1) {
  v1::Welcome one;
  one.set_worker_id("w1");
  one.set_store_id(store);
  one.set_epoch(epoch);
  one.set_heartbeat_interval_ms(100);
  one.set_stop_after_ms(60'000);
  one.set_kill_after_ms(70'000);
  return one;
}

inline v1::Assignment assignment(const std::string& attempt, const std::string& line) {
  v1::Assignment one;
  one.set_attempt_id(attempt);
  one.set_fence(7);
  one.mutable_spec()->set_task_id("t1");
  one.mutable_spec()->mutable_command()->set_shell_line(line);
  one.mutable_spec()->mutable_directory()->set_path("/");
  return one;
}

// A command that goes on until the test lets it.
inline std::string until_there_is(const std::filesystem::path& file) {
  return "until [ -e " + file.string() + " ]; do sleep 0.02; done";
}

// A worker at work on a coordinator whose answers the test has written; the end drains it.
class AWorker : public testing::Test {
 protected:
  void SetUp() override {
    fake.workers.hello.then([](const auto&, auto* answer) {
      *answer->mutable_welcome() = welcome();
      return grpc::Status::OK;
    });
    fake.workers.heartbeat.then([](const v1::HeartbeatRequest& asked, auto* answer) {
      answer->mutable_reply()->set_sequence(asked.heartbeat().sequence());
      return grpc::Status::OK;
    });
  }

  void gives(const v1::Assignment& one) {
    fake.workers.claim.then([one](const auto&, auto* answer) {
      *answer->add_assignments() = one;
      return grpc::Status::OK;
    });
  }
  void gives_nothing_more() {
    fake.workers.claim.then([](const auto&, auto*) {
      std::this_thread::sleep_for(milliseconds(20));
      return grpc::Status::OK;
    });
  }
  void acknowledges() {
    fake.workers.report.then([](const v1::ReportTasksRequest& asked, auto* answer) {
      for (const auto& report : asked.reports()) {
        answer->add_acknowledgements()->set_attempt_id(report.attempt_id());
        answer->mutable_acknowledgements(0)->set_disposition(v1::DISPOSITION_ACCEPTED);
      }
      return grpc::Status::OK;
    });
  }
  void cancels_what_runs() {
    fake.workers.heartbeat.answers.clear();
    fake.workers.heartbeat.then([](const v1::HeartbeatRequest& asked, auto* answer) {
      answer->mutable_reply()->set_sequence(asked.heartbeat().sequence());
      for (const auto& held : asked.heartbeat().held()) {
        if (!held.started()) continue;
        answer->add_cancellations()->set_attempt_id(held.attempt_id());
        answer->mutable_cancellations(0)->set_fence(held.fence());
        answer->mutable_cancellations(0)->set_outcome(v1::OUTCOME_CANCELLED);
      }
      return grpc::Status::OK;
    });
  }
  std::vector<v1::TaskReport> reports() {
    std::lock_guard lock(fake.workers.report.mutex);
    std::vector<v1::TaskReport> all;
    for (const auto& asked : fake.workers.report.asked)
      all.insert(all.end(), asked.reports().begin(), asked.reports().end());
    return all;
  }
  // What it has said to people.
  std::string words() {
    std::lock_guard lock(said_mutex);
    return said;
  }
  void serve_until(const std::function<bool()>& enough, int slots = 1) {
    options.slots = slots;
    options.log = [this](const std::string& line) {
      std::lock_guard lock(said_mutex);
      said += line + "\n";
    };
    br::Worker worker(fake.target(), options);
    std::thread thread([&] { worker.run(); });
    while (!enough()) std::this_thread::sleep_for(milliseconds(5));
    worker.drain();
    thread.join();
  }

  br::WorkerOptions options;
  std::mutex said_mutex;
  std::string said;
  FakeCoordinator fake;
};
