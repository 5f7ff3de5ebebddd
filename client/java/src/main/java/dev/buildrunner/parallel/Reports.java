package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Acknowledgement;
import dev.buildrunner.parallel.v1.Disposition;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.ReportTasksRequest;
import dev.buildrunner.parallel.v1.ReportTasksResponse;
import dev.buildrunner.parallel.v1.TaskReport;
import dev.buildrunner.parallel.v1.WorkerServiceGrpc;
import java.util.function.Consumer;

/** What a worker tells of its tasks: that they have started, how far they are, how they ended. */
final class Reports {
  private final Registration registration;
  private final OutputSender sender;
  private final Consumer<String> log;

  Reports(Registration registration, OutputSender sender, Consumer<String> log) {
    this.registration = registration;
    this.sender = sender;
    this.log = log;
  }

  ReportTasksResponse send(ReportTasksRequest.Builder request) {
    return registration.asWorker(
        WorkerServiceGrpc.getReportTasksMethod(),
        id -> request.setWorkerId(id).build(),
        Calls.QUICK);
  }

  /** The same report, until it was taken or never will be. */
  void deliver(TaskRun run) throws InterruptedException {
    TaskReport.Builder report = run.report().toBuilder();
    boolean isInline = run.output().fitsInline();
    if (isInline) {
      report.addAllOutput(run.output().all());
    }
    Backoff backoff = new Backoff();
    while (!run.isDisowned()) {
      if (!isInline && !sender.bring(run)) {
        return;
      }
      try {
        ReportTasksResponse answer = send(ReportTasksRequest.newBuilder().addReports(report));
        if (answer.getAcknowledgementsCount() == 0) {
          return;
        }
        Acknowledgement ack = answer.getAcknowledgements(0);
        if (ack.getDisposition() != Disposition.DISPOSITION_OUTPUT_MISSING) {
          return;
        }
        run.output().missingFrom(ack.getOutputOffset());
        report.clearOutput();
        isInline = false;
        backoff.pause();
      } catch (BuildRunnerException e) {
        boolean isRefused = e.kind() == ErrorKind.INVALID || e.kind() == ErrorKind.LIMIT;
        if (!isRefused || report.getOutcome() == Outcome.OUTCOME_NOT_STARTED) {
          throw e;
        }
        // Something in it cannot be sent, such as a result of millions of bytes: then at least
        // that.
        log.accept("a report was refused: " + e.getMessage());
        String why = Text.oneLine("its report was refused: " + e.getMessage(), 4096);
        report =
            TaskReport.newBuilder()
                .setAttemptId(report.getAttemptId())
                .setFence(report.getFence())
                .setOutcome(Outcome.OUTCOME_NOT_STARTED)
                .setError(why);
      }
    }
  }
}
