package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Acknowledgement;
import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.ClaimTasksResponse;
import dev.buildrunner.parallel.v1.Disposition;
import dev.buildrunner.parallel.v1.HeartbeatReply;
import dev.buildrunner.parallel.v1.HeartbeatRequest;
import dev.buildrunner.parallel.v1.HeartbeatResponse;
import dev.buildrunner.parallel.v1.RegisterResponse;
import dev.buildrunner.parallel.v1.ReportTasksRequest;
import dev.buildrunner.parallel.v1.ReportTasksResponse;
import dev.buildrunner.parallel.v1.TaskReport;
import dev.buildrunner.parallel.v1.TaskSpec;
import dev.buildrunner.parallel.v1.UnregisterResponse;
import dev.buildrunner.parallel.v1.Welcome;
import dev.buildrunner.parallel.v1.WorkingDirectory;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A worker at work on a coordinator whose answers the test has written. */
abstract class AtWork {
  @TempDir Path folder;
  volatile FakeCoordinator fake;

  @BeforeEach
  void begin() throws Exception {
    fake = new FakeCoordinator(folder, new FakeLogs(), AtWork::always);
  }

  @AfterEach
  void end() throws Exception {
    fake.close();
  }

  /** What is answered unless a test says otherwise. */
  static void always(FakeCoordinator fake) {
    fake.goodbye.then(q -> UnregisterResponse.getDefaultInstance());
    fake.heartbeat.then(q -> beat(q).build());
  }

  static Welcome.Builder welcome(long epoch) {
    return Welcome.newBuilder()
        .setWorkerId("w1")
        .setStoreId("store")
        .setEpoch(epoch)
        .setHeartbeatIntervalMs(50)
        .setStopAfterMs(600_000)
        .setKillAfterMs(700_000);
  }

  static RegisterResponse welcomed(Welcome.Builder welcome, String... adopted) {
    return RegisterResponse.newBuilder()
        .setWelcome(welcome)
        .addAllAdoptedAttemptIds(List.of(adopted))
        .build();
  }

  static HeartbeatResponse.Builder beat(HeartbeatRequest asked) {
    return HeartbeatResponse.newBuilder()
        .setReply(HeartbeatReply.newBuilder().setSequence(asked.getHeartbeat().getSequence()));
  }

  static Assignment assignment(String attempt, TaskSpec.Builder spec) {
    return Assignment.newBuilder()
        .setAttemptId(attempt + Calls.randomId())
        .setFence(7)
        .setSpec(spec.setDirectory(WorkingDirectory.newBuilder().setPath("/")))
        .build();
  }

  void gives(Assignment one) {
    fake.claim.then(q -> ClaimTasksResponse.newBuilder().addAssignments(one).build());
  }

  void givesNothingMore() {
    givesNothingMore(fake);
  }

  static void givesNothingMore(FakeCoordinator fake) {
    fake.claim.then(
        q -> {
          Backoff.pause(10);
          return ClaimTasksResponse.getDefaultInstance();
        });
  }

  void acknowledges() {
    acknowledges(fake);
  }

  static void acknowledges(FakeCoordinator fake) {
    fake.report.then(AtWork::accepted);
  }

  static ReportTasksResponse accepted(ReportTasksRequest asked) {
    var answer = ReportTasksResponse.newBuilder();
    for (TaskReport report : asked.getReportsList()) {
      answer.addAcknowledgements(
          Acknowledgement.newBuilder()
              .setAttemptId(report.getAttemptId())
              .setDisposition(Disposition.DISPOSITION_ACCEPTED));
    }
    return answer.build();
  }

  List<TaskReport> reports() {
    return fake.report.asked.stream()
        .map(ReportTasksRequest::getReportsList)
        .flatMap(List::stream)
        .toList();
  }

  void serveUntil(WorkerOptions options, BooleanSupplier isEnough) {
    Worker worker = new Worker(fake.target(), options.log(line -> {}));
    CompletableFuture<Void> over = CompletableFuture.runAsync(worker::run);
    while (!isEnough.getAsBoolean() && !over.isDone()) {
      Backoff.pause(5);
    }
    worker.drain();
    over.join();
  }

  void serveUntilReported() {
    serveUntil(new WorkerOptions(), () -> !reports().isEmpty());
  }

  static void write(Path file) {
    try {
      Files.writeString(file, "");
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  static StatusRuntimeException notKnown() {
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
}
