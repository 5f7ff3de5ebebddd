#include "task_run.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <thread>

#include "environment.h"
#include "folder.h"

namespace br = buildrunner_parallel;
namespace v1 = buildrunner_parallel::v1;

namespace {

v1::Assignment assignment(const std::string& line) {
  v1::Assignment one;
  one.set_attempt_id("a1");
  one.set_fence(7);
  one.set_session_id("s1");
  one.set_number(2);
  one.mutable_spec()->set_task_id("t1");
  one.mutable_spec()->mutable_command()->set_shell_line(line);
  one.mutable_spec()->mutable_directory()->set_path("/");
  return one;
}

// Until the task has made this file.
void await(const std::filesystem::path& file) {
  while (!std::filesystem::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

v1::TaskReport report_of(br::TaskRun& run) {
  run.run_command([] {});
  return run.report();
}

TEST(OneLine, IsShortAndCleanAndWholeCharactersOnly) {
  EXPECT_EQ(br::one_line("a\nb\x1b[31m", 100), "a b [31m");
  EXPECT_EQ(br::one_line("\xff ok", 100), "\xEF\xBF\xBD ok");
  EXPECT_EQ(br::one_line("aé", 2), "a");
}

TEST(TaskEnvironment, HasWhatIsAllowedPassedAndSetAndNeverAToken) {
  auto one = assignment("true");
  (*one.mutable_spec()->mutable_passed_environment())["COLOUR"] = "passed";
  (*one.mutable_spec()->mutable_environment())["COLOUR"] = "set";
  (*one.mutable_spec()->mutable_environment())["BR_TOKEN"] = "secret";
  const std::map<std::string, std::string> own{
      {"PATH", "/bin"}, {"LC_ALL", "C"}, {"AWS_KEY", "x"}, {"BR_TOKEN", "y"}};
  const auto env = br::task_environment(own, one, {{"BR_FENCE", "7"}});
  const std::map<std::string, std::string> wanted{
      {"PATH", "/bin"}, {"LC_ALL", "C"}, {"COLOUR", "set"}, {"BR_FENCE", "7"}};
  EXPECT_EQ(env, wanted);
}

TEST(TaskRun, ACommandIsReportedAsItEnded) {
  br::TaskRun run(assignment("echo $BR_TASK_ID-$BR_ATTEMPT > $BR_RESULT_FILE; printf 'x\\nlast word\\n' > "
                             "$BR_ERROR_FILE; exit 4"),
                  {});
  const auto report = report_of(run);
  EXPECT_EQ(report.outcome(), v1::OUTCOME_FAILED);
  EXPECT_EQ(report.exit_code(), 4);
  EXPECT_EQ(report.result().data(), "t1-2\n");
  EXPECT_EQ(report.error(), "last word");
  EXPECT_EQ(report.fence(), 7);
  EXPECT_GT(report.started_at_us(), 0);
}

TEST(TaskRun, ACommandLooksAtItsTimeoutItself) {
  auto one = assignment("sleep 600");
  one.mutable_spec()->set_timeout_ms(50);
  br::TaskRun run(one, {});
  EXPECT_EQ(report_of(run).outcome(), v1::OUTCOME_TIMED_OUT);
}

TEST(TaskRun, ATimeoutAndThenTheGrace) {
  const Folder folder;
  auto one = assignment("trap '' TERM; touch " + (folder.path() / "deaf").string() +
                        "; while :; do sleep 0.05; done");
  one.mutable_spec()->set_timeout_ms(3'600'000);
  one.mutable_spec()->set_grace_ms(50);
  br::TaskRun run(one, {});
  std::thread clock([&] {
    await(folder.path() / "deaf");
    // The command may have got that far before its time began to count.
    while (!run.is_stopping()) run.tick(br::BootClock::now() + std::chrono::hours(2));
  });
  EXPECT_EQ(report_of(run).outcome(), v1::OUTCOME_TIMED_OUT);
  clock.join();
  EXPECT_EQ(run.report().signal(), SIGKILL);
}

TEST(TaskRun, TheFirstReasonToStopIsTheOneReported) {
  br::TaskRun run(assignment("sleep 600"), {});
  run.run_command([&] {
    run.stop(v1::OUTCOME_CANCELLED);
    run.stop(v1::OUTCOME_LOST);
  });
  EXPECT_EQ(run.report().outcome(), v1::OUTCOME_CANCELLED);
}

TEST(TaskRun, WhatSucceedsAllTheSameHasSucceeded) {
  const Folder folder;
  br::TaskRun run(assignment("trap 'exit 0' TERM; touch " + (folder.path() / "ready").string() +
                             "; while :; do sleep 0.05; done"),
                  {});
  std::thread stopper([&] {
    await(folder.path() / "ready");
    run.stop(v1::OUTCOME_CANCELLED);
  });
  run.run_command([] {});
  stopper.join();
  EXPECT_EQ(run.report().outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST(TaskRun, WhatWasStoppedBeforeItsStartNeverRuns) {
  const Folder folder;
  br::TaskRun run(assignment("touch " + (folder.path() / "ran").string()), {});
  run.stop(v1::OUTCOME_CANCELLED);
  EXPECT_EQ(report_of(run).outcome(), v1::OUTCOME_CANCELLED);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "ran"));
}

TEST(TaskRun, AHandlersWordsAndErrorsAreItsReport) {
  br::TaskRun good(assignment(""), {}), bad(assignment(""), {}), stopped(assignment(""), {});
  good.run_handler(
      [](br::TaskContext& task) { return br::json_result(std::to_string(task.assignment().number())); },
      [] {});
  EXPECT_EQ(good.report().outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(good.report().result().data(), "2");
  bad.run_handler([](br::TaskContext&) -> v1::Payload { throw std::runtime_error("no\npaint"); }, [] {});
  EXPECT_EQ(bad.report().outcome(), v1::OUTCOME_FAILED);
  EXPECT_EQ(bad.report().error(), "no paint");
  std::promise<void> entered;
  std::thread stopper([&] {
    entered.get_future().wait();
    stopped.stop(v1::OUTCOME_CANCELLED);
  });
  stopped.run_handler(
      [&](br::TaskContext& task) {
        entered.set_value();
        EXPECT_FALSE(task.sleep_for(std::chrono::hours(1)));
        return v1::Payload();
      },
      [] {});
  stopper.join();
  EXPECT_EQ(stopped.report().outcome(), v1::OUTCOME_CANCELLED);
}

TEST(TaskRun, TheLatestProgressIsTakenOnce) {
  br::TaskRun run(assignment("true"), {});
  run.set_progress(10, "a");
  run.set_progress(250, "b");
  const auto progress = run.take_progress();
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->percent(), 100);
  EXPECT_EQ(progress->message(), "b");
  EXPECT_FALSE(run.take_progress());
}

}  // namespace
