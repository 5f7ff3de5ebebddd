package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.Cancellation;
import dev.buildrunner.parallel.v1.HeartbeatResponse;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.TaskReport;
import dev.buildrunner.parallel.v1.TaskSpec;
import dev.buildrunner.parallel.v1.WorkingDirectory;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** What a worker does, but for output. */
class WorkerTest extends AtWork {
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
    List<Status> failures = List.of(Status.UNAVAILABLE, Status.CANCELLED, Status.UNKNOWN);
    fake.report.then(
        q -> {
          int delivered = reports().size(); // this one too
          if (q.getReportsCount() > 0 && delivered <= failures.size()) {
            throw failures.get(delivered - 1).asRuntimeException();
          }
          return accepted(q);
        });
    serveUntil(new WorkerOptions(), () -> reports().size() > failures.size());
    assertEquals(failures.size() + 1, reports().size());
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
    serveUntil(new WorkerOptions(), () -> fake.claim.asked.size() > 4 && !reports().isEmpty());
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
  void aDirectoryThatIsNoPathIsNotStarted() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = assignment("a1", Tasks.shell("t1", "true"));
    TaskSpec.Builder spec = one.getSpec().toBuilder();
    gives(one.toBuilder().setSpec(spec.setDirectory(directory("no\0path"))).build());
    givesNothingMore();
    acknowledges();
    serveUntilReported();
    assertEquals(Outcome.OUTCOME_NOT_STARTED, reports().get(0).getOutcome());
    assertFalse(reports().get(0).getWorkerFault());
    assertTrue(reports().get(0).getError().contains("cannot be a path"));
  }

  private static WorkingDirectory directory(String worktree) {
    return WorkingDirectory.newBuilder().setWorktree(worktree).build();
  }

  @Test
  void aHandlerThatThrowsWhatNobodyShouldCatchFailsItsTaskAlone() {
    fake.hello.then(q -> welcomed(welcome(1)));
    gives(assignment("a1", Tasks.handler("t1", "breaks", Tasks.json("{}"))));
    gives(assignment("a2", Tasks.shell("t2", "true")));
    givesNothingMore();
    acknowledges();
    WorkerOptions options =
        new WorkerOptions()
            .handler(
                "breaks",
                task -> {
                  throw new java.io.IOError(new java.io.IOException("no disk"));
                });
    serveUntil(options, () -> reports().size() == 2);
    assertEquals(Outcome.OUTCOME_FAILED, reports().get(0).getOutcome());
    assertEquals("java.io.IOException: no disk", reports().get(0).getError());
    assertEquals(Outcome.OUTCOME_SUCCEEDED, reports().get(1).getOutcome());
  }

  @Test
  void anInterruptEndsItWithAllThatItRuns() throws Exception {
    fake.hello.then(q -> welcomed(welcome(1)));
    Path pid = folder.resolve("pid");
    gives(assignment("a1", Tasks.shell("t1", "echo $$ > '" + pid + "'; exec sleep 600")));
    givesNothingMore();
    acknowledges();
    CompletableFuture<BuildRunnerException> ended = new CompletableFuture<>();
    Worker worker = new Worker(fake.target(), new WorkerOptions().log(line -> {}));
    Thread runner =
        new Thread(
            () -> {
              try {
                worker.run();
                ended.complete(null);
              } catch (BuildRunnerException e) {
                ended.complete(e);
              }
            });
    runner.start();
    while (!Files.exists(pid) || Files.readString(pid).isEmpty()) {
      Backoff.pause(5);
    }
    ProcessHandle command =
        ProcessHandle.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow();
    runner.interrupt();
    assertEquals(ErrorKind.INTERNAL, ended.get().kind());
    command.onExit().get();
  }

  @Test
  void oneThatIsToLeaveDoesNotWaitForItsFirstCoordinator() {
    fake.hello.fails(Status.UNAVAILABLE);
    serveUntil(new WorkerOptions(), () -> !fake.hello.asked.isEmpty());
    assertEquals(0, fake.goodbye.asked.size());
  }

  @Test
  void anIdleOneThatIsToLeaveDoesNotWaitForACoordinatorThatIsAway() {
    fake.hello.then(q -> welcomed(welcome(1)));
    fake.claim.fails(Status.UNAVAILABLE);
    fake.heartbeat.fails(Status.UNAVAILABLE);
    serveUntil(new WorkerOptions(), () -> fake.claim.asked.size() > 1);
  }

  @Test
  void aRefusedTokenEndsIt() {
    fake.hello.fails(Status.UNAUTHENTICATED);
    Worker worker = new Worker(fake.target(), new WorkerOptions());
    var e = assertThrows(BuildRunnerException.class, worker::run);
    assertEquals(ErrorKind.UNAUTHENTICATED, e.kind());
  }
}
