#include "buildrunner_parallel/client.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "fake_coordinator.h"

namespace br = buildrunner_parallel;
using std::chrono::milliseconds;

namespace {

template <class Action>
br::ErrorKind kind_thrown(Action action) {
  try {
    action();
  } catch (const br::Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return br::ErrorKind::kInternal;
}

v1::WatchResponse change(int64_t revision, const std::string& task, v1::TaskStatus status) {
  v1::WatchResponse message;
  message.set_revision(revision);
  message.set_store_id("store");
  message.add_changes()->mutable_task()->set_task_id(task);
  message.mutable_changes(0)->mutable_task()->set_status(status);
  return message;
}

TEST(Client, ACallThatFoundNobodyIsSentAgainUnderTheSameRequestId) {
  FakeCoordinator fake;
  fake.sessions.create.fails(grpc::UNAVAILABLE);
  fake.sessions.create.fails(grpc::CANCELLED);
  fake.sessions.create.then([](const auto&, auto* answer) {
    answer->mutable_session()->set_session_id("abcd");
    return grpc::Status::OK;
  });
  br::Client client(fake.target());
  EXPECT_EQ(client.create_session("one").session_id(), "abcd");
  ASSERT_EQ(fake.sessions.create.asked.size(), 3u);
  EXPECT_NE(fake.sessions.create.asked[0].request_id(), "");
  EXPECT_EQ(fake.sessions.create.asked[0].request_id(), fake.sessions.create.asked[2].request_id());
  EXPECT_EQ(fake.sessions.create.tokens[0], "Bearer secret");
  client.create_session("two");
  EXPECT_NE(fake.sessions.create.asked[3].request_id(), fake.sessions.create.asked[0].request_id());
}

TEST(Client, ARefusalIsNotSentAgain) {
  FakeCoordinator fake;
  fake.sessions.create.fails(grpc::INVALID_ARGUMENT);
  br::Client client(fake.target());
  EXPECT_EQ(kind_thrown([&] { client.create_session(""); }), br::ErrorKind::kInvalid);
  EXPECT_EQ(fake.sessions.create.count(), 1u);
}

TEST(Watch, ABrokenStreamIsResumedBehindTheLastMessage) {
  FakeCoordinator fake;
  fake.events.streams = {{{change(5, "a", v1::TASK_STATUS_RUNNING)}, {grpc::UNAVAILABLE, "gone"}},
                         {{change(6, "a", v1::TASK_STATUS_SUCCEEDED)}, {grpc::UNAVAILABLE, "gone"}}};
  br::Client client(fake.target());
  br::Watch watch = client.watch();
  EXPECT_EQ(watch.next(milliseconds(30'000))->revision(), 5);
  EXPECT_EQ(watch.next(milliseconds(30'000))->revision(), 6);
  EXPECT_FALSE(fake.events.asked[0].has_since_revision());
  EXPECT_EQ(fake.events.asked[1].since_revision(), 5);
  EXPECT_EQ(fake.events.asked[1].store_id(), "store");
  EXPECT_EQ(watch.reconnects(), 1);
}

TEST(Watch, ASnapshotThatBrokeOffIsBegunAnew) {
  FakeCoordinator fake;
  v1::WatchResponse first;
  first.set_reset(true);
  first.set_snapshot(true);
  fake.events.streams = {{{change(5, "a", v1::TASK_STATUS_RUNNING), first}, {grpc::UNAVAILABLE, "gone"}},
                         {{change(9, "a", v1::TASK_STATUS_RUNNING)}, {grpc::UNAVAILABLE, "gone"}}};
  br::Client client(fake.target());
  br::Watch watch = client.watch();
  watch.next(milliseconds(30'000));
  EXPECT_TRUE(watch.next(milliseconds(30'000))->reset());
  EXPECT_EQ(watch.next(milliseconds(30'000))->revision(), 9);
  EXPECT_FALSE(fake.events.asked[1].has_since_revision());
}

TEST(Watch, WhatWillNotPassIsThrown) {
  FakeCoordinator fake;
  fake.events.streams = {{{}, {grpc::NOT_FOUND, "no such session"}}};
  br::Client client(fake.target());
  br::Watch watch = client.watch();
  EXPECT_EQ(kind_thrown([&] { watch.next(milliseconds(30'000)); }), br::ErrorKind::kNotFound);
}

// So long that a machine with much else to do does not let it pass between two renewals.
constexpr int64_t kLeaseMs = 3'000;

v1::AcquireLocksResponse grant(int64_t lease_ms) {
  v1::AcquireLocksResponse answer;
  answer.set_grant_id("g1");
  answer.set_fence(7);
  answer.set_lease_ms(lease_ms);
  return answer;
}

TEST(HeldLocks, AreRenewedWhileTheyLiveAndReleasedAtTheEnd) {
  FakeCoordinator fake;
  fake.locks.acquire.then([](const auto&, auto* answer) {
    *answer = grant(kLeaseMs);
    return grpc::Status::OK;
  });
  br::Client client(fake.target());
  {
    const auto held = client.hold("s1", {br::path("src/")});
    while (fake.locks.renew.count() < 2) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_FALSE(held->lost());
  }
  ASSERT_EQ(fake.locks.release.count(), 1u);
  EXPECT_EQ(fake.locks.release.asked[0].grant_id(), "g1");
  EXPECT_EQ(fake.locks.release.asked[0].fence(), 7);
}

TEST(HeldLocks, ALossIsToldOnce) {
  FakeCoordinator fake;
  fake.locks.acquire.then([](const auto&, auto* answer) {
    *answer = grant(kLeaseMs);
    return grpc::Status::OK;
  });
  fake.locks.renew.fails(grpc::ABORTED);
  br::Client client(fake.target());
  std::promise<br::ErrorKind> told;
  const auto held = client.hold("s1", {br::path("src/")}, milliseconds(0), milliseconds(kLeaseMs),
                                [&](const br::Error& error) { told.set_value(error.kind()); });
  EXPECT_EQ(told.get_future().get(), br::ErrorKind::kStale);
  EXPECT_TRUE(held->lost());
  EXPECT_EQ(kind_thrown([&] { held->release(); }), br::ErrorKind::kStale);
  EXPECT_EQ(fake.locks.release.count(), 0u);
}

TEST(HeldLocks, WhoHearsOfTheLossMayLetThemGo) {
  FakeCoordinator fake;
  fake.locks.acquire.then([](const auto&, auto* answer) {
    *answer = grant(kLeaseMs);
    return grpc::Status::OK;
  });
  fake.locks.renew.fails(grpc::ABORTED);
  br::Client client(fake.target());
  std::promise<void> has_it, done;
  std::unique_ptr<br::HeldLocks> held;
  const auto let_go = [&](const br::Error&) {
    has_it.get_future().wait();
    held.reset();
    done.set_value();
  };
  held = client.hold("s1", {br::path("src/")}, milliseconds(0), milliseconds(kLeaseMs), let_go);
  has_it.set_value();
  done.get_future().wait();
  EXPECT_EQ(fake.locks.release.count(), 0u);
}

}  // namespace
