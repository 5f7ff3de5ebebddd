package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.buildrunner.parallel.v1.Acknowledgement;
import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.Cancellation;
import dev.buildrunner.parallel.v1.ClaimTasksResponse;
import dev.buildrunner.parallel.v1.Disposition;
import dev.buildrunner.parallel.v1.HeartbeatRequest;
import dev.buildrunner.parallel.v1.HeartbeatResponse;
import dev.buildrunner.parallel.v1.HeartbeatReply;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.RegisterResponse;
import dev.buildrunner.parallel.v1.ReportTasksRequest;
import dev.buildrunner.parallel.v1.ReportTasksResponse;
import dev.buildrunner.parallel.v1.TaskReport;
import dev.buildrunner.parallel.v1.TaskSpec;
import dev.buildrunner.parallel.v1.UnregisterResponse;
import dev.buildrunner.parallel.v1.Welcome;
import dev.buildrunner.parallel.v1.WorkingDirectory;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A worker at work on a coordinator whose answers the test has written. */
class WorkerTest {
  @TempDir Path folder;
  FakeCoordinator fake;

  @BeforeEach
  void begin() throws Exception {
    fake = new FakeCoordinator(folder);
    fake.goodbye.then(q -> UnregisterResponse.getDefaultInstance());
    fake.heartbeat.then(q -> beat(q).build());
  }

  @AfterEach
  void end() throws Exception {
    fake.close();
  }

  private static Welcome.Builder welcome(long epoch) {
    return Welcome.newBuilder()
        .setWorkerId("w1")
        .setStoreId("store")
        .setEpoch(epoch)
        .setHeartbeatIntervalMs(50)
        .setStopAfterMs(600_000)
        .setKillAfterMs(700_000);
  }

  private static RegisterResponse welcomed(Welcome.Builder welcome, String... adopted) {
    return RegisterResponse.newBuilder()
        .setWelcome(welcome)
        .addAllAdoptedAttemptIds(List.of(adopted))
        .build();
  }

  private static HeartbeatResponse.Builder beat(HeartbeatRequest asked) {
    return HeartbeatResponse.newBuilder()
        .setReply(HeartbeatReply.newBuilder().setSequence(asked.getHeartbeat().getSequence()));
  }

  private static Assignment assignment(String attempt, TaskSpec.Builder spec) {
    return Assignment.newBuilder()
        .setAttemptId(attempt + Calls.randomId())
        .setFence(7)
        .setSpec(spec.setDirectory(WorkingDirectory.newBuilder().setPath("/")))
        .build();
  }

  private void gives(Assignment one) {
    fake.claim.then(q -> ClaimTasksResponse.newBuilder().addAssignments(one).build());
  }

  private void givesNothingMore() {
    fake.claim.then(
        q -> {
          Backoff.pause(10);
          return ClaimTasksResponse.getDefaultInstance();
        });
  }

  private void acknowledges() {
    fake.report.then(
        q -> {
          var answer = ReportTasksResponse.newBuilder();
          for (TaskReport report : q.getReportsList()) {
            answer.addAcknowledgements(
                Acknowledgement.newBuilder()
                    .setAttemptId(report.getAttemptId())
                    .setDisposition(Disposition.DISPOSITION_ACCEPTED));
          }
          return answer.build();
        });
  }

  private List<TaskReport> reports() {
    return fake.report.asked.stream()
        .map(ReportTasksRequest::getReportsList)
        .flatMap(List::stream)
        .toList();
  }

  private void serveUntil(WorkerOptions options, BooleanSupplier isEnough) {
    Worker worker = new Worker(fake.target(), options.log(line -> {}));
    CompletableFuture<Void> over = CompletableFuture.runAsync(worker::run);
    while (!isEnough.getAsBoolean() && !over.isDone()) {
      Backoff.pause(5);
    }
    worker.drain();
    over.join();
  }

  private void serveUntilReported() {
    serveUntil(new WorkerOptions(), () -> !reports().isEmpty());
  }

  @Test
  void runsATaskReportsItAndSaysGoodbye() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.shell("t1", "echo hello")));
    givesNothingMore();
    acknowledges();
    serveUntilReported();
    TaskReport report = reports().get(0);
    assertEquals(Outcome.OUTCOME_SUCCEEDED, report.getOutcome());
    assertEquals(7, report.getFence());
    assertEquals("hello\n", report.getOutput(0).getData().toStringUtf8());
    assertEquals(1, fake.goodbye.asked.size());
  }

  @Test
  void repeatsAReportUnchangedUntilItIsTaken() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.shell("t1", "exit 3")));
    givesNothingMore();
    // At least one of these meets the report: the start may come before, and once only.
    fake.report.fails(Status.UNAVAILABLE).fails(Status.CANCELLED).fails(Status.UNKNOWN);
    acknowledges();
    serveUntil(new WorkerOptions(), () -> reports().size() >= 2);
    assertEquals(1, reports().stream().distinct().count());
    assertEquals(3, reports().get(0).getExitCode());
  }

  @Test
  void runsAnAssignmentThatComesTwiceOnce() throws Exception {
    fake.hello.then(q -> welcomed(welcome(1)));
    Path ran = folder.resolve("ran");
    Assignment one = assignment("a1", Tasks.shell("t1", "echo ran >> '" + ran + "'"));
    gives(one);
    gives(one);
    givesNothingMore();
    acknowledges();
    serveUntil(
        new WorkerOptions(), () -> fake.claim.asked.size() > 4 && !reports().isEmpty());
    assertEquals("ran\n", Files.readString(ran));
    assertEquals(1, reports().size());
  }

  @Test
  void goesOnWithWhatACoordinatorThatWasStartedAnewAdopts() throws Exception {
    Path go = folder.resolve("go");
    Assignment one =
        assignment("a1", Tasks.shell("t1", "until [ -e '" + go + "' ]; do sleep 0.05; done"));
    fake.hello.then(q -> welcomed(welcome(1)));
    fake.hello.then(
        q -> {
          write(go);
          return welcomed(welcome(2), one.getAttemptId());
        });
    gives(one);
    fake.claim.then(
        q -> {
          throw notKnown();
        });
    givesNothingMore();
    acknowledges();
    // With a slot that is free it asks for more, and learns that it is not known.
    serveUntil(new WorkerOptions().slots(2), () -> !reports().isEmpty());
    var again = fake.hello.asked.get(1).getHello();
    assertEquals("w1", again.getWorkerId());
    assertEquals(one.getAttemptId(), again.getHeld(0).getAttemptId());
    assertEquals(Outcome.OUTCOME_SUCCEEDED, reports().get(0).getOutcome());
  }

  private static void write(Path file) {
    try {
      Files.writeString(file, "");
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static RuntimeException notKnown() {
    var info =
        com.google.rpc.ErrorInfo.newBuilder()
            .setReason("WORKER_NOT_FOUND")
            .setDomain("parallel.buildrunner.dev")
            .build();
    return io.grpc.protobuf.StatusProto.toStatusRuntimeException(
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.NOT_FOUND.value())
            .addDetails(com.google.protobuf.Any.pack(info))
            .build());
  }

  @Test
  void stopsWhatItIsToldToCancel() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.shell("t1", "sleep 600")));
    givesNothingMore();
    acknowledges();
    fake.heartbeat.clear();
    fake.heartbeat.then(
        q -> {
          HeartbeatResponse.Builder answer = beat(q);
          q.getHeartbeat()
              .getHeldList()
              .forEach(
                  held ->
                      answer.addCancellations(
                          Cancellation.newBuilder()
                              .setAttemptId(held.getAttemptId())
                              .setFence(held.getFence())
                              .setOutcome(Outcome.OUTCOME_CANCELLED)));
          return answer.build();
        });
    serveUntilReported();
    assertEquals(Outcome.OUTCOME_CANCELLED, reports().get(0).getOutcome());
  }

  @Test
  void endsWhatItRunsWhenItsLeaseIsOver() {
    fake.hello.then(q -> welcomed(welcome(1).setStopAfterMs(300).setKillAfterMs(600)));
    gives(assignment("a1", Tasks.shell("t1", "trap '' TERM; while :; do sleep 0.1; done")));
    givesNothingMore();
    acknowledges();
    fake.heartbeat.clear();
    fake.heartbeat.fails(Status.UNAVAILABLE);
    serveUntilReported();
    assertEquals(Outcome.OUTCOME_LOST, reports().get(0).getOutcome());
  }

  @Test
  void aTimeoutInterruptsAHandler() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.handler("t1", "wait", Tasks.json("{}")).setTimeoutMs(50)));
    givesNothingMore();
    acknowledges();
    WorkerOptions options =
        new WorkerOptions()
            .handler(
                "wait",
                task -> {
                  Thread.sleep(600_000);
                  return Tasks.json("{}");
                });
    serveUntil(options, () -> !reports().isEmpty());
    assertEquals(Outcome.OUTCOME_TIMED_OUT, reports().get(0).getOutcome());
  }

  @Test
  void whatItDoesNotHaveIsNotStarted() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.handler("t1", "nothing", Tasks.json("{}"))));
    givesNothingMore();
    acknowledges();
    serveUntilReported();
    assertEquals(Outcome.OUTCOME_NOT_STARTED, reports().get(0).getOutcome());
    assertTrue(reports().get(0).getError().contains("nothing"));
  }

  @Test
  void aRefusedTokenEndsIt() {
    fake.hello.fails(Status.UNAUTHENTICATED);
    Worker worker = new Worker(fake.target(), new WorkerOptions());
    var e = assertThrows(BuildRunnerException.class, worker::run);
    assertEquals(ErrorKind.UNAUTHENTICATED, e.kind());
  }
}
