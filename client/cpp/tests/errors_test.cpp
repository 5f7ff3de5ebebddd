#include "buildrunner_parallel/errors.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace br = buildrunner_parallel;

namespace {

grpc::Status refusal(grpc::StatusCode code, const std::string& reason,
                     const std::vector<br::v1::LockConflict>& clashes = {},
                     const std::string& domain = "parallel.buildrunner.dev") {
  google::rpc::Status packed;
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(domain);
  packed.add_details()->PackFrom(info);
  for (const auto& clash : clashes) packed.add_details()->PackFrom(clash);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  packed.add_details()->PackFrom(retry);
  return {code, "what was wrong", packed.SerializeAsString()};
}

br::Error thrown(const grpc::Status& status) {
  try {
    br::throw_error(status, "unix:/run/br.sock");
  } catch (const br::Error& error) {
    return error;
  }
}

TEST(Errors, TheReasonDecides) {
  EXPECT_EQ(thrown(refusal(grpc::NOT_FOUND, "SESSION_NOT_FOUND")).kind(), br::ErrorKind::kNotFound);
  EXPECT_EQ(thrown(refusal(grpc::ABORTED, "STALE")).kind(), br::ErrorKind::kStale);
  EXPECT_EQ(thrown(refusal(grpc::FAILED_PRECONDITION, "SESSION_CLOSED")).reason(), "SESSION_CLOSED");
  EXPECT_STREQ(thrown(refusal(grpc::INVALID_ARGUMENT, "CYCLE")).what(), "what was wrong");
}

TEST(Errors, AnUnknownReasonGoesByItsCode) {
  EXPECT_EQ(thrown(refusal(grpc::RESOURCE_EXHAUSTED, "NEW_LIMIT")).kind(), br::ErrorKind::kLimit);
  EXPECT_EQ(thrown(refusal(grpc::UNIMPLEMENTED, "NEW")).kind(), br::ErrorKind::kUnsupported);
}

TEST(Errors, AReasonOfAnotherDomainIsNoneOfOurs) {
  EXPECT_EQ(br::reason_of(refusal(grpc::NOT_FOUND, "SESSION_NOT_FOUND", {}, "example.org")), "");
}

TEST(Errors, HowLongToWaitIsKept) {
  EXPECT_EQ(thrown(refusal(grpc::UNAVAILABLE, "DRAINING")).retry_after, std::chrono::milliseconds(1500));
}

TEST(Errors, AConflictNamesEachClash) {
  br::v1::LockConflict one, two;
  one.set_asked_path("src/a.py");
  one.mutable_holder()->set_session_name("Docs");
  two.set_asked_path("src/b.py");
  try {
    br::throw_error(refusal(grpc::ABORTED, "LOCK_CONFLICT", {one, two}), "");
  } catch (const br::LockConflictError& error) {
    ASSERT_EQ(error.conflicts().size(), 2u);
    EXPECT_EQ(error.conflicts()[0].holder().session_name(), "Docs");
    EXPECT_EQ(error.conflicts()[1].asked_path(), "src/b.py");
    return;
  }
  FAIL() << "no LockConflictError";
}

TEST(Errors, WhoDoesNotAnswerIsNamed) {
  const br::Error error = thrown({grpc::UNAVAILABLE, "connection refused"});
  EXPECT_EQ(error.kind(), br::ErrorKind::kUnavailable);
  EXPECT_NE(std::string(error.what()).find("unix:/run/br.sock"), std::string::npos);
}

TEST(Errors, DetailsThatAreNoneDoNoHarm) {
  EXPECT_EQ(thrown({grpc::INTERNAL, "oops", "\xff\xff not a message"}).kind(), br::ErrorKind::kInternal);
}

TEST(Errors, EachKindHasItsWord) {
  EXPECT_EQ(br::to_string(br::ErrorKind::kInvalid), "invalid");
  EXPECT_EQ(br::to_string(br::ErrorKind::kInternal), "internal");
}

}  // namespace
