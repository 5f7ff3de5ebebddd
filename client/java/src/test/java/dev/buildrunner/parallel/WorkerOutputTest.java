package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.buildrunner.parallel.FakeLogs.Fate;
import dev.buildrunner.parallel.v1.Acknowledgement;
import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.Disposition;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.OutputChunk;
import dev.buildrunner.parallel.v1.ReportTasksResponse;
import dev.buildrunner.parallel.v1.TaskReport;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletionException;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How what a task writes comes to the coordinator. */
class WorkerOutputTest extends AtWork {
  private static final int LINES = 60_000;
  private static final String WRITTEN =
      IntStream.rangeClosed(1, LINES).mapToObj(n -> n + "\n").collect(Collectors.joining());

  private Path go;

  @BeforeEach
  void aGate() {
    go = folder.resolve("go");
  }

  /** Runs a line that goes on behind "gate" once the file `go` is there; returns its assignment. */
  private Assignment given(String line) {
    String gate = "until [ -e '" + go + "' ]; do sleep 0.02; done";
    Assignment one = assignment("a1", Tasks.shell("t1", line.replace("gate", gate)));
    gives(one);
    givesNothingMore();
    return one;
  }

  private TaskReport serveThrough(BooleanSupplier isTimeToGo) {
    boolean[] isOpen = {false};
    serveUntil(
        new WorkerOptions(),
        () -> {
          if (!isOpen[0] && isTimeToGo.getAsBoolean()) {
            assertEquals(0, reports().size());
            isOpen[0] = true;
            write(go);
          }
          return !reports().isEmpty();
        });
    return reports().get(0);
  }

  private String kept(Assignment one) {
    return fake.logs.data(one.getAttemptId()).toStringUtf8();
  }

  @Test
  void whatIsLargeIsThereWhileItsTaskRuns() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("seq 1 " + LINES + "; gate; echo end");
    acknowledges();
    TaskReport report = serveThrough(() -> kept(one).equals(WRITTEN));
    assertEquals(WRITTEN + "end\n", kept(one));
    assertEquals(WRITTEN.length() + 4, report.getOutputBytes());
    assertEquals(0, report.getOutputCount());
    assertEquals(1, fake.logs.streams());
    assertTrue(fake.logs.largest() <= 256 << 10);
  }

  @Test
  void whatIsSmallIsThereTooOnceItsTaskHasRunForAWhile() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("echo out; echo err >&2; gate");
    acknowledges();
    TaskReport report = serveThrough(() -> fake.logs.end(one.getAttemptId()) == 8);
    assertEquals(8, report.getOutputBytes());
    assertEquals(0, report.getOutputCount());
  }

  @Test
  void theReportComesOnceAllOfItIsDurable() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("seq 1 " + LINES);
    long[] durable = {-1};
    fake.report.then(
        q -> {
          durable[0] = q.getReportsCount() > 0 ? fake.logs.end(one.getAttemptId()) : durable[0];
          return ReportTasksResponse.getDefaultInstance();
        });
    serveUntilReported();
    assertEquals(WRITTEN.length(), durable[0]);
  }

  @Test
  void breaksLoseAndDoubleNothing() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("seq 1 " + LINES + "; gate; seq 1 " + LINES);
    acknowledges();
    fake.logs.fates(
        number -> number % 3 == 1 ? Fate.KEPT_UNTOLD : number % 3 == 2 ? Fate.LOST : Fate.KEPT);
    serveThrough(() -> kept(one).length() >= WRITTEN.length());
    assertEquals(WRITTEN + WRITTEN, kept(one));
    assertTrue(fake.logs.streams() > 2, "streams: " + fake.logs.streams());
  }

  @Test
  void aCoordinatorThatWasStartedAnewGetsTheRest() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("seq 1 " + LINES + "; gate; echo end");
    acknowledges();
    fake.logs.fates(number -> number == 1 ? Fate.KEPT : Fate.LOST);
    boolean[] isSecond = {false};
    serveThrough(
        () -> {
          if (!isSecond[0] && !kept(one).isEmpty()) {
            isSecond[0] = true;
            fake.logs.fates(number -> Fate.KEPT);
            startAnew(one);
          }
          return kept(one).equals(WRITTEN);
        });
    assertEquals(WRITTEN + "end\n", kept(one));
    assertTrue(fake.logs.streams() >= 2, "streams: " + fake.logs.streams());
  }

  /** Another coordinator on the same socket, with all that came in before. */
  private void startAnew(Assignment adopted) {
    try {
      fake.close();
      fake =
          new FakeCoordinator(
              folder,
              fake.logs,
              second -> {
                always(second);
                second.hello.then(q -> welcomed(welcome(2), adopted.getAttemptId()));
                givesNothingMore(second);
                acknowledges(second);
              });
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void anAttemptWhoseOutputIsStaleIsStoppedWithoutAReport() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Path pid = folder.resolve("pid");
    gives(assignment("a1", Tasks.shell("t1", "echo $$ >'" + pid + "'; echo 1; sleep 600")));
    Assignment second = assignment("a2", Tasks.shell("t2", "true"));
    gives(second);
    givesNothingMore();
    acknowledges();
    fake.logs.fates(number -> Fate.STALE);
    serveUntilReported();
    assertEquals(second.getAttemptId(), reports().get(0).getAttemptId());
    assertEquals(1, reports().size());
    assertEquals(1, fake.logs.messages());
    assertTrue(Files.exists(pid));
  }

  @Test
  void whatTheCoordinatorMissesIsSentAgain() {
    fake.hello.then(q -> welcomed(welcome(1)));
    Assignment one = given("echo out; gate; echo end");
    fake.report.then(
        q -> {
          ReportTasksResponse.Builder answer = ReportTasksResponse.newBuilder();
          for (TaskReport report : q.getReportsList()) {
            if (reports().size() == 1) {
              fake.logs.forget(report.getAttemptId());
            }
            boolean isThere = fake.logs.end(report.getAttemptId()) == report.getOutputBytes();
            answer.addAcknowledgements(
                Acknowledgement.newBuilder()
                    .setAttemptId(report.getAttemptId())
                    .setDisposition(
                        isThere
                            ? Disposition.DISPOSITION_ACCEPTED
                            : Disposition.DISPOSITION_OUTPUT_MISSING));
          }
          return answer.build();
        });
    boolean[] isOpen = {false};
    serveUntil(
        new WorkerOptions(),
        () -> {
          if (!isOpen[0] && kept(one).equals("out\n")) {
            isOpen[0] = true;
            write(go);
          }
          return reports().size() == 2;
        });
    // What was durable has been let go: it is told as missing, and the rest is there.
    assertEquals(8, fake.logs.end(one.getAttemptId()));
    assertEquals(1, reports().stream().distinct().count());
  }

  @Test
  void ofTooMuchTheBeginningAndTheEndAreKept() {
    int head = 64 << 10;
    int tail = 32 << 10;
    fake.hello.then(q -> welcomed(welcome(1).setOutputHeadBytes(head).setOutputTailBytes(tail)));
    Assignment one = given("seq 1 " + LINES + "; gate");
    acknowledges();
    TaskReport report = serveThrough(() -> fake.logs.end(one.getAttemptId()) == WRITTEN.length());
    assertEquals(WRITTEN.length(), report.getOutputBytes());
    assertEquals(WRITTEN.length() - head - tail, report.getOutputDroppedBytes());
    String kept = kept(one);
    assertEquals(WRITTEN.length(), kept.length() + fake.logs.dropped(one.getAttemptId()));
    assertTrue(kept.startsWith(WRITTEN.substring(0, head)));
    assertTrue(kept.endsWith(WRITTEN.substring(WRITTEN.length() - tail)));
  }

  @Test
  void whoIsNotKnownSaysHelloAndGoesOn() {
    Assignment one = given("seq 1 " + LINES + "; gate");
    fake.hello.then(q -> welcomed(welcome(1)));
    fake.hello.then(q -> welcomed(welcome(2), one.getAttemptId()));
    acknowledges();
    fake.logs.refuseOnce(notKnown());
    serveThrough(() -> kept(one).equals(WRITTEN));
    assertEquals(2, fake.hello.asked.size());
    assertEquals(Outcome.OUTCOME_SUCCEEDED, reports().get(0).getOutcome());
  }

  @Test
  void aRefusedTokenEndsTheWorker() {
    fake.hello.then(q -> welcomed(welcome(1)));
    given("seq 1 " + LINES);
    acknowledges();
    fake.logs.refuseOnce(Status.UNAUTHENTICATED.asRuntimeException());
    var e =
        assertThrows(CompletionException.class, () -> serveUntil(new WorkerOptions(), () -> false));
    assertEquals(ErrorKind.UNAUTHENTICATED, ((BuildRunnerException) e.getCause()).kind());
    assertEquals(0, reports().size());
  }

  @Test
  void whatIsShortTravelsInTheReport() {
    fake.hello.then(q -> welcomed(welcome(1)));
    given("echo out");
    acknowledges();
    serveUntilReported();
    String text =
        reports().get(0).getOutputList().stream()
            .map(OutputChunk::getData)
            .map(data -> data.toStringUtf8())
            .collect(Collectors.joining());
    assertEquals("out\n", text);
    assertEquals(0, fake.logs.streams());
  }
}
