#include "buildrunner_parallel/worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "a_worker.h"

namespace {

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
  cancels_what_runs();
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

TEST_F(AWorker, DoesNotWaitForACoordinatorOnlyToLeave) {
  fake.workers.hello.answers.clear();
  fake.workers.hello.fails(grpc::UNAVAILABLE);
  serve_until([&] { return fake.workers.hello.count() >= 2; });
  EXPECT_NE(words().find("left before anybody answered"), std::string::npos);
  EXPECT_EQ(fake.workers.goodbye.count(), 0u);
}

TEST_F(AWorker, LeavesACoordinatorThatHasGoneAwayOnceItHasNothingToReport) {
  const Folder folder;
  gives(assignment("a1", until_there_is(folder.path() / "go")));
  fake.workers.claim.fails(grpc::UNAVAILABLE);
  fake.workers.heartbeat.answers.clear();
  fake.workers.heartbeat.fails(grpc::UNAVAILABLE);
  std::atomic<bool> is_back = false;
  fake.workers.report.then([&](const v1::ReportTasksRequest& asked, auto* answer) {
    if (!is_back) return grpc::Status(grpc::UNAVAILABLE, "as told");
    for (const auto& report : asked.reports()) {
      answer->add_acknowledgements()->set_attempt_id(report.attempt_id());
      answer->mutable_acknowledgements(0)->set_disposition(v1::DISPOSITION_ACCEPTED);
    }
    return grpc::Status::OK;
  });
  options.slots = 2;
  options.log = [](const std::string&) {};
  br::Worker worker(fake.target(), options);
  std::thread thread([&] { worker.run(); });
  while (fake.workers.claim.count() < 2) std::this_thread::sleep_for(milliseconds(5));
  worker.drain();
  folder.write("go", "");
  while (reports().size() < 2) std::this_thread::sleep_for(milliseconds(5));
  is_back = true;
  thread.join();
  EXPECT_EQ(reports().back().outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(fake.workers.goodbye.count(), 1u);
}

class AStuckHandler : public AWorker {
 protected:
  void SetUp() override {
    AWorker::SetUp();
    options.handlers["deaf"] = [this](br::TaskContext&) {
      runs = true;
      while (!returns) std::this_thread::sleep_for(milliseconds(5));
      return v1::Payload();
    };
    auto one = assignment("a1", "");
    one.mutable_spec()->mutable_handler()->set_name("deaf");
    one.mutable_spec()->set_grace_ms(50);
    gives(one);
    acknowledges();
    cancels_what_runs();
  }
  bool is_told() { return words().find("handler deaf of task t1 was told to stop and goes on") != npos; }

  static constexpr auto npos = std::string::npos;
  std::atomic<bool> runs = false, returns = false;
};

TEST_F(AStuckHandler, KeepsItsSlotAndNoMoreAndIsReportedOnceItReturns) {
  gives_nothing_more();
  const auto claims_of_two = [&] {
    std::lock_guard lock(fake.workers.claim.mutex);
    return std::count_if(fake.workers.claim.asked.begin() + 1, fake.workers.claim.asked.end(),
                         [](const auto& asked) { return asked.max_tasks() != 1; });
  };
  size_t then = 0;
  serve_until(
      [&] {
        if (!is_told()) return false;
        if (then == 0) then = fake.workers.claim.count();
        if (fake.workers.claim.count() < then + 3) return false;
        if (!returns) {
          EXPECT_EQ(claims_of_two(), 0);
          EXPECT_TRUE(reports().empty());
          returns = true;
        }
        return !reports().empty();
      },
      2);
  EXPECT_EQ(reports().at(0).outcome(), v1::OUTCOME_CANCELLED);
  EXPECT_EQ(fake.workers.goodbye.count(), 1u);
}

TEST_F(AStuckHandler, DoesNotKeepAWorkerThatLeaves) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  gives_nothing_more();
  EXPECT_EXIT(
      {
        options.log = nullptr;
        br::Worker worker(fake.target(), options);
        std::thread([&] {
          while (!runs) std::this_thread::sleep_for(milliseconds(5));
          worker.drain();
        }).detach();
        worker.run();
      },
      testing::ExitedWithCode(70), "only handlers that do not stop are left");
  EXPECT_TRUE(reports().empty());
}

TEST_F(AWorker, ARefusedTokenEndsIt) {
  fake.workers.hello.answers.clear();
  fake.workers.hello.fails(grpc::UNAUTHENTICATED);
  br::Worker worker(fake.target(), {});
  EXPECT_THROW(worker.run(), br::Error);
}

}  // namespace
