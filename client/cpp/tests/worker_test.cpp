#include "buildrunner_parallel/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "fake_coordinator.h"

namespace br = buildrunner_parallel;
using std::chrono::milliseconds;

namespace {

v1::Welcome welcome(const std::string& store = "store", int64_t epoch = 1) {
  v1::Welcome one;
  one.set_worker_id("w1");
  one.set_store_id(store);
  one.set_epoch(epoch);
  one.set_heartbeat_interval_ms(100);
  one.set_stop_after_ms(60'000);
  one.set_kill_after_ms(70'000);
  return one;
}

v1::Assignment assignment(const std::string& attempt, const std::string& line) {
  v1::Assignment one;
  one.set_attempt_id(attempt);
  one.set_fence(7);
  one.mutable_spec()->set_task_id("t1");
  one.mutable_spec()->mutable_command()->set_shell_line(line);
  one.mutable_spec()->mutable_directory()->set_path("/");
  return one;
}

// A command that goes on until the test lets it.
std::string until_there_is(const std::filesystem::path& file) {
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
  std::vector<v1::TaskReport> reports() {
    std::lock_guard lock(fake.workers.report.mutex);
    std::vector<v1::TaskReport> all;
    for (const auto& asked : fake.workers.report.asked)
      all.insert(all.end(), asked.reports().begin(), asked.reports().end());
    return all;
  }
  void serve_until(const std::function<bool()>& enough, int slots = 1) {
    br::WorkerOptions options;
    options.slots = slots;
    options.log = [](const std::string&) {};
    br::Worker worker(fake.target(), options);
    std::thread thread([&] { worker.run(); });
    while (!enough()) std::this_thread::sleep_for(milliseconds(5));
    worker.drain();
    thread.join();
  }

  FakeCoordinator fake;
};

TEST_F(AWorker, RunsATaskReportsItAndSaysGoodbye) {
  gives(assignment("a1", "echo hello"));
  gives_nothing_more();
  acknowledges();
  serve_until([&] { return !reports().empty(); });
  const auto report = reports().at(0);
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(report.fence(), 7);
  EXPECT_EQ(report.output(0).data(), "hello\n");
  EXPECT_EQ(fake.workers.goodbye.count(), 1u);
}

TEST_F(AWorker, RepeatsAReportUnchangedUntilItIsTaken) {
  gives(assignment("a1", "true"));
  gives_nothing_more();
  // News of the start goes by the same call, at any time.
  std::atomic<int> refusals = 3;
  fake.workers.report.then([&](const v1::ReportTasksRequest& asked, auto* answer) {
    if (asked.reports().empty()) return grpc::Status::OK;
    if (refusals-- > 0) return grpc::Status(grpc::UNAVAILABLE, "as told");
    answer->add_acknowledgements()->set_disposition(v1::DISPOSITION_ACCEPTED);
    return grpc::Status::OK;
  });
  serve_until([&] { return reports().size() >= 4; });
  const auto all = reports();
  ASSERT_EQ(all.size(), 4u);
  for (const auto& one : all) EXPECT_EQ(one.SerializeAsString(), all.front().SerializeAsString());
}

TEST_F(AWorker, RunsAnAssignmentThatComesTwiceOnce) {
  const Folder folder;
  const auto one = assignment("a1", "echo ran >> " + (folder.path() / "ran").string());
  gives(one);
  gives(one);
  gives_nothing_more();
  acknowledges();
  serve_until([&] { return fake.workers.claim.count() > 4 && !reports().empty(); });
  EXPECT_EQ(reports().size(), 1u);
  std::ifstream ran(folder.path() / "ran");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(ran), {}), "ran\n");
}

TEST_F(AWorker, RunsAnAssignmentThatComesAgainWhileItRunsOnce) {
  const Folder folder;
  const auto one = assignment("a1", until_there_is(folder.path() / "go"));
  gives(one);
  gives(one);
  gives_nothing_more();
  acknowledges();
  serve_until(
      [&] {
        if (fake.workers.claim.count() > 4) folder.write("go", "");
        return !reports().empty();
      },
      2);
  EXPECT_EQ(reports().size(), 1u);
}

TEST_F(AWorker, IntroducesItselfWithWhatItHoldsToACoordinatorThatWasStartedAnew) {
  const Folder folder;
  gives(assignment("a1", until_there_is(folder.path() / "go")));
  fake.workers.claim.refuses(grpc::NOT_FOUND, "WORKER_NOT_FOUND");
  gives_nothing_more();
  acknowledges();
  fake.workers.hello.then([](const auto&, auto* answer) {
    *answer->mutable_welcome() = welcome("store", 2);
    answer->add_adopted_attempt_ids("a1");
    return grpc::Status::OK;
  });
  // With its second slot it asks for more while the task runs.
  serve_until(
      [&] {
        if (fake.workers.hello.count() == 2) folder.write("go", "");
        return !reports().empty();
      },
      2);
  ASSERT_EQ(fake.workers.hello.count(), 2u);
  const auto& again = fake.workers.hello.asked[1].hello();
  EXPECT_EQ(again.worker_id(), "w1");
  EXPECT_EQ(again.store_id(), "store");
  ASSERT_EQ(again.held_size(), 1);
  EXPECT_EQ(again.held(0).attempt_id(), "a1");
  EXPECT_EQ(reports().at(0).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST_F(AWorker, StopsWhatItIsToldToCancel) {
  gives(assignment("a1", "sleep 600"));
  gives_nothing_more();
  acknowledges();
  fake.workers.heartbeat.answers.clear();
  fake.workers.heartbeat.then([](const v1::HeartbeatRequest& asked, auto* answer) {
    answer->mutable_reply()->set_sequence(asked.heartbeat().sequence());
    for (const auto& held : asked.heartbeat().held()) {
      answer->add_cancellations()->set_attempt_id(held.attempt_id());
      answer->mutable_cancellations(0)->set_fence(held.fence());
      answer->mutable_cancellations(0)->set_outcome(v1::OUTCOME_CANCELLED);
    }
    return grpc::Status::OK;
  });
  serve_until([&] { return !reports().empty(); });
  EXPECT_EQ(reports().at(0).outcome(), v1::OUTCOME_CANCELLED);
}

TEST_F(AWorker, EndsWhatItRunsWhenItsLeaseIsOver) {
  gives(assignment("a1", "sleep 600"));
  gives_nothing_more();
  acknowledges();
  fake.workers.hello.answers.clear();
  fake.workers.hello.then([](const auto&, auto* answer) {
    *answer->mutable_welcome() = welcome();
    answer->mutable_welcome()->set_stop_after_ms(300);
    answer->mutable_welcome()->set_kill_after_ms(600);
    return grpc::Status::OK;
  });
  fake.workers.heartbeat.answers.clear();
  fake.workers.heartbeat.fails(grpc::UNAVAILABLE);
  serve_until([&] { return !reports().empty(); });
  EXPECT_EQ(reports().at(0).outcome(), v1::OUTCOME_LOST);
}

TEST_F(AWorker, ARefusedTokenEndsIt) {
  fake.workers.hello.answers.clear();
  fake.workers.hello.fails(grpc::UNAUTHENTICATED);
  br::Worker worker(fake.target(), {});
  EXPECT_THROW(worker.run(), br::Error);
}

}  // namespace
