// What a task writes goes out while it runs.
#include "a_worker.h"

namespace {

class OutputOfAWorker : public AWorker {
 protected:
  void SetUp() override {
    AWorker::SetUp();
    acknowledges();
  }
  std::string sent(const std::string& attempt = "a1") { return fake.logs.of(attempt); }
  std::string writes(const std::string& text) const {
    return "printf '" + text + "'; " + until_there_is(folder.path() / "go") + "; printf ' end'";
  }
  void go() { folder.write("go", ""); }

  Folder folder;
};

TEST_F(OutputOfAWorker, IsThereWhileTheTaskRunsAndNotInItsReport) {
  gives(assignment("a1", writes("hello")));
  gives_nothing_more();
  serve_until([&] {
    if (sent() == "hello" && reports().empty()) go();
    return !reports().empty();
  });
  const auto report = reports().at(0);
  EXPECT_EQ(sent(), "hello end");
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(report.output_size(), 0);
  EXPECT_EQ(report.output_bytes(), 9);
}

TEST_F(OutputOfAWorker, OfAShortTaskGoesWithItsReport) {
  gives(assignment("a1", "echo hello"));
  gives_nothing_more();
  serve_until([&] { return !reports().empty(); });
  EXPECT_EQ(reports().at(0).output(0).data(), "hello\n");
  EXPECT_EQ(fake.logs.count(), 0u);
}

TEST_F(OutputOfAWorker, GoesOnBehindABreakFromWhereItWasTaken) {
  fake.logs.streams.push_front([&](auto& stream) {
    const auto output = fake.logs.next(stream);
    stream.Write(fake.logs.takes(*output, 3));
    return grpc::Status(grpc::UNAVAILABLE, "as told");
  });
  // Taken, but nobody hears of it.
  fake.logs.streams.insert(fake.logs.streams.begin() + 1, [&](auto& stream) {
    fake.logs.takes(*fake.logs.next(stream), 1);
    return grpc::Status(grpc::UNAVAILABLE, "as told");
  });
  gives(assignment("a1", writes("abcdefgh")));
  gives_nothing_more();
  serve_until([&] {
    if (sent() == "abcdefgh") go();
    return !reports().empty();
  });
  EXPECT_EQ(sent(), "abcdefgh end");
  EXPECT_EQ(fake.logs.asked.at(0).chunks(0).offset(), 0);
  EXPECT_EQ(fake.logs.asked.at(1).chunks(0).offset(), 3);
  EXPECT_EQ(fake.logs.asked.at(2).chunks(0).offset(), 3);
}

TEST_F(OutputOfAWorker, IsWholeBeforeTheReport) {
  gives(assignment("a1", "seq 1 100000"));
  gives_nothing_more();
  std::atomic<int64_t> there = 0;
  fake.workers.report.answers.clear();
  fake.workers.report.then([&](const v1::ReportTasksRequest& asked, auto* answer) {
    if (asked.reports().empty()) return grpc::Status::OK;
    there = static_cast<int64_t>(sent().size());
    answer->add_acknowledgements()->set_disposition(v1::DISPOSITION_ACCEPTED);
    return grpc::Status::OK;
  });
  serve_until([&] { return !reports().empty(); });
  std::string wanted;
  for (int i = 1; i <= 100'000; ++i) wanted += std::to_string(i) + "\n";
  EXPECT_EQ(there, static_cast<int64_t>(wanted.size()));
  EXPECT_EQ(reports().at(0).output_bytes(), there);
  EXPECT_TRUE(sent() == wanted);
  for (const auto& output : fake.logs.asked) EXPECT_LE(output.ByteSizeLong(), 256u << 10);
}

TEST_F(OutputOfAWorker, OfAnAttemptThatIsNotItsOwnIsDropped) {
  fake.logs.streams.push_front([&](auto& stream) {
    auto answer = fake.logs.takes(*fake.logs.next(stream), 0);
    answer.mutable_acknowledgements(0)->set_stale(true);
    stream.Write(answer);
    return grpc::Status::OK;
  });
  gives(assignment("a1", writes("hello")));
  gives(assignment("a2", "true"));
  gives_nothing_more();
  serve_until(
      [&] {
        if (fake.logs.count() == 1) go();
        return fake.logs.count() == 1 && !reports().empty();
      },
      2);
  EXPECT_EQ(sent(), "");
  EXPECT_EQ(fake.logs.count(), 1u);
  ASSERT_EQ(reports().size(), 1u);
  EXPECT_EQ(reports().at(0).attempt_id(), "a2");
}

TEST_F(OutputOfAWorker, IsSentAgainFromWhereTheAnswerToTheReportSays) {
  gives(assignment("a1", "printf abcdef"));
  gives_nothing_more();
  fake.logs.durable["a1"] = 2;
  fake.logs.kept["a1"] = "ab";
  fake.workers.report.answers.clear();
  fake.workers.report.then([&](const v1::ReportTasksRequest& asked, auto* answer) {
    if (asked.reports().empty()) return grpc::Status::OK;
    const bool whole = sent() == "abcdef";
    auto& ack = *answer->add_acknowledgements();
    ack.set_disposition(whole ? v1::DISPOSITION_ACCEPTED : v1::DISPOSITION_OUTPUT_MISSING);
    ack.set_output_offset(2);
    return grpc::Status::OK;
  });
  serve_until([&] { return reports().size() == 2; });
  EXPECT_EQ(sent(), "abcdef");
  EXPECT_EQ(fake.logs.asked.at(0).chunks(0).offset(), 2);
  EXPECT_EQ(reports().at(1).output_size(), 0);
}

TEST_F(OutputOfAWorker, OfManyTasksGoesInOneStreamAtATime) {
  std::atomic<int> open = 0, most = 0;
  fake.logs.streams.front() = [&](auto& stream) {
    most = std::max<int>(most, ++open);
    const auto status = fake.logs.takes_all(stream);
    --open;
    return status;
  };
  for (const char* attempt : {"a1", "a2", "a3"}) gives(assignment(attempt, writes(attempt)));
  gives_nothing_more();
  serve_until(
      [&] {
        if (sent("a1") == "a1" && sent("a2") == "a2" && sent("a3") == "a3") go();
        return reports().size() == 3;
      },
      3);
  for (const std::string attempt : {"a1", "a2", "a3"}) EXPECT_EQ(sent(attempt), attempt + " end");
  EXPECT_EQ(most, 1);
}

// A task that writes faster than its end is sent: the beginning is whole, the rest has gaps that are told of.
TEST_F(OutputOfAWorker, BeyondItsBeginningHasGapsThatAreTold) {
  fake.workers.hello.answers.clear();
  fake.workers.hello.then([](const auto&, auto* answer) {
    *answer->mutable_welcome() = welcome();
    answer->mutable_welcome()->set_output_head_bytes(100'000);
    answer->mutable_welcome()->set_output_tail_bytes(50'000);
    return grpc::Status::OK;
  });
  gives(assignment("a1", "seq 1 300000; " + writes("")));
  gives_nothing_more();
  std::string wanted;
  for (int i = 1; i <= 300'000; ++i) wanted += std::to_string(i) + "\n";
  serve_until([&] {
    if (sent().ends_with("\n300000\n")) go();
    return !reports().empty();
  });
  wanted += " end";
  EXPECT_TRUE(sent().starts_with(wanted.substr(0, 100'000)));
  EXPECT_TRUE(sent().ends_with(wanted.substr(wanted.size() - 50'000)));
  EXPECT_LT(sent().size(), wanted.size());
  EXPECT_EQ(fake.logs.durable["a1"], static_cast<int64_t>(wanted.size()));
  EXPECT_EQ(reports().at(0).output_dropped_bytes(), static_cast<int64_t>(wanted.size()) - 150'000);
}

TEST_F(OutputOfAWorker, ARefusedTokenEndsTheWorkerAndNotJustItsOutput) {
  fake.logs.streams.clear();
  fake.logs.streams.push_back([](auto&) { return grpc::Status(grpc::UNAUTHENTICATED, "as told"); });
  gives(assignment("a1", "seq 1 100000"));
  gives_nothing_more();
  options.log = [](const std::string&) {};
  br::Worker worker(fake.target(), options);
  EXPECT_THROW(worker.run(), br::Error);
}

}  // namespace
