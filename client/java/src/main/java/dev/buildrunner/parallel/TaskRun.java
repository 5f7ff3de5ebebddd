package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.HeldAttempt;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.Payload;
import dev.buildrunner.parallel.v1.ResourceUsage;
import dev.buildrunner.parallel.v1.TaskProgress;
import dev.buildrunner.parallel.v1.TaskReport;
import dev.buildrunner.parallel.v1.TaskSpec;
import dev.buildrunner.parallel.v1.TaskStarted;
import dev.buildrunner.parallel.v1.WorkingDirectory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** One attempt from its assignment to its report. */
final class TaskRun {
  /** What the run needs to know of its worker. */
  record Surroundings(
      String workerId, String address, int slot, long outputHeadBytes, long outputTailBytes) {}

  private static final long DEFAULT_GRACE_MS = 10_000;
  private static final int ERROR_BYTES = 4096;
  private static final int PROGRESS_BYTES = 256;
  private static final long RESULT_BYTES = 1 << 20;
  private static final long LONGEST_LOOK_MS = 20;

  private final Assignment assignment;
  private final Surroundings around;
  private final OutputBook output;

  private final Object lock = new Object(); // guards all below
  private final TaskReport.Builder report = TaskReport.newBuilder();
  private boolean over;
  private boolean disowned;
  private boolean killNow;
  private Outcome stopAs;
  private long stopGraceMs;
  private boolean asked; // SIGTERM was sent
  private long endsAt = Long.MAX_VALUE;
  private long killedAt = Long.MAX_VALUE;
  private TaskProgress progress;
  private Thread handlerThread;

  TaskRun(Assignment assignment, Surroundings around) {
    this.assignment = assignment;
    this.around = around;
    this.output = new OutputBook(around.outputHeadBytes(), around.outputTailBytes());
    report
        .setAttemptId(assignment.getAttemptId())
        .setFence(assignment.getFence())
        .setSlot(around.slot());
  }

  Assignment assignment() {
    return assignment;
  }

  int slot() {
    return around.slot();
  }

  boolean isHandler() {
    return assignment.getSpec().hasHandler();
  }

  OutputBook output() {
    return output;
  }

  // -------------------------------------------------------------------- what is told of it

  HeldAttempt held() {
    synchronized (lock) {
      return HeldAttempt.newBuilder()
          .setAttemptId(assignment.getAttemptId())
          .setFence(assignment.getFence())
          .setStarted(report.getStartedAtUs() > 0)
          .setEnded(over)
          .setPid(report.getPid())
          .setStartedAtUs(report.getStartedAtUs())
          .build();
    }
  }

  TaskStarted started() {
    synchronized (lock) {
      return TaskStarted.newBuilder()
          .setAttemptId(assignment.getAttemptId())
          .setFence(assignment.getFence())
          .setPid(report.getPid())
          .setStartedAtUs(report.getStartedAtUs())
          .setSlot(around.slot())
          .build();
    }
  }

  /** Once it is over; without output. */
  TaskReport report() {
    synchronized (lock) {
      return report.build();
    }
  }

  void setProgress(double percent, String message) {
    TaskProgress told =
        TaskProgress.newBuilder()
            .setAttemptId(assignment.getAttemptId())
            .setFence(assignment.getFence())
            .setPercent(Math.min(Math.max(percent, 0), 100))
            .setMessage(Text.oneLine(message, PROGRESS_BYTES))
            .build();
    synchronized (lock) {
      progress = told;
    }
  }

  /** The latest that has not been taken yet. */
  Optional<TaskProgress> takeProgress() {
    synchronized (lock) {
      Optional<TaskProgress> taken = Optional.ofNullable(progress);
      progress = null;
      return taken;
    }
  }

  boolean isStopping() {
    synchronized (lock) {
      return stopAs != null;
    }
  }

  boolean isDisowned() {
    synchronized (lock) {
      return disowned;
    }
  }

  boolean isOver() {
    synchronized (lock) {
      return over;
    }
  }

  // -------------------------------------------------------------------- orders

  /** It is not run at all. */
  void refuse(String why, boolean isWorkersFault) {
    synchronized (lock) {
      report.setError(Text.oneLine(why, ERROR_BYTES)).setWorkerFault(isWorkersFault);
    }
    endWith(Outcome.OUTCOME_NOT_STARTED);
  }

  /** The worker could not go on with it, for a reason that nobody has thought of. */
  void breakOff(Throwable cause) {
    output.finish();
    boolean hasBegun;
    synchronized (lock) {
      if (over) {
        return;
      }
      hasBegun = report.getStartedAtUs() > 0;
      report
          .setError(Text.oneLine("the worker could not go on with it: " + cause, ERROR_BYTES))
          .setWorkerFault(!hasBegun)
          .setOutputBytes(output.totalBytes())
          .setOutputDroppedBytes(output.droppedBytes());
    }
    endWith(hasBegun ? Outcome.OUTCOME_FAILED : Outcome.OUTCOME_NOT_STARTED);
  }

  /** Asks it to end, with SIGKILL for a command after the grace. The first reason is reported. */
  void stop(Outcome outcome, Optional<Long> graceMs) {
    TaskSpec spec = assignment.getSpec();
    synchronized (lock) {
      if (stopAs != null || over) {
        return;
      }
      stopAs = outcome;
      stopGraceMs = graceMs.orElse(spec.hasGraceMs() ? spec.getGraceMs() : DEFAULT_GRACE_MS);
      if (handlerThread != null) {
        handlerThread.interrupt();
      }
      lock.notifyAll();
    }
  }

  void stop(Outcome outcome) {
    stop(outcome, Optional.empty());
  }

  /** Ends a command now. */
  void kill() {
    synchronized (lock) {
      killNow = true;
      lock.notifyAll();
    }
  }

  /** Not this worker's any more: nothing will be reported. */
  void disown() {
    synchronized (lock) {
      disowned = true;
    }
    output.abandon();
    stop(Outcome.OUTCOME_REVOKED);
  }

  /** Looks at its timeout. */
  void tick(long nowMs) {
    synchronized (lock) {
      if (nowMs < endsAt || over) {
        return;
      }
      endsAt = Long.MAX_VALUE;
    }
    stop(Outcome.OUTCOME_TIMED_OUT);
  }

  // -------------------------------------------------------------------- running

  private void begin(long pid) {
    synchronized (lock) {
      report.setPid((int) pid).setStartedAtUs(microseconds());
      long timeoutMs = assignment.getSpec().getTimeoutMs();
      if (timeoutMs > 0) {
        endsAt = BootClock.nowMs() + timeoutMs;
      }
    }
  }

  private void endWith(Outcome outcome) {
    synchronized (lock) {
      // What succeeded all the same is reported as succeeded.
      boolean asTold = stopAs == null || outcome == Outcome.OUTCOME_SUCCEEDED;
      report.setOutcome(asTold ? outcome : stopAs).setEndedAtUs(microseconds());
      over = true;
    }
  }

  private static long microseconds() {
    return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
  }

  /** Runs a command to its end; {@code onStarted} is called once there is a process. */
  void runCommand(Runnable onStarted) throws InterruptedException {
    TaskSpec spec = assignment.getSpec();
    List<String> argv = spec.getCommand().getArgvList();
    if (!spec.getCommand().getShellLine().isEmpty()) {
      argv = List.of("/bin/sh", "-c", spec.getCommand().getShellLine());
    }
    if (isStopping()) {
      endWith(Outcome.OUTCOME_NOT_STARTED);
      return;
    }
    if (argv.isEmpty()) {
      refuse("this worker does not know this kind of command; use a newer one", false);
      return;
    }
    try (TaskFolder folder = new TaskFolder()) {
      CommandProcess process =
          CommandProcess.start(
              assignment.getAttemptId(),
              argv,
              environment -> TaskEnvironment.prepare(environment, spec, identity(folder)),
              directoryOf(spec.getDirectory()),
              (channel, data) -> output.add(channel, data, System.nanoTime()));
      begin(process.pid());
      onStarted.run();
      CommandProcess.Exit exit;
      try {
        follow(process);
      } finally {
        exit = process.finish();
      }
      take(exit, folder);
    } catch (CommandProcess.NotStarted e) {
      refuse(e.getMessage(), e.isWorkersFault);
    } catch (InvalidPathException e) {
      String why = "'" + e.getInput() + "' cannot be a path here: " + e.getReason();
      boolean isTasksFault = e.getInput().indexOf('\0') >= 0;
      refuse(isTasksFault ? why : why + "; start the worker in a UTF-8 locale", !isTasksFault);
    } catch (IOException e) {
      refuse("no folder can be made for the task's result: " + e.getMessage(), true);
    }
  }

  private static String directoryOf(WorkingDirectory directory) {
    Path root = Path.of(directory.getWorktree()).toAbsolutePath();
    return root.resolve(directory.getPath()).toString();
  }

  private Map<String, String> identity(TaskFolder folder) {
    return Map.ofEntries(
        Map.entry("BR_SESSION_ID", assignment.getSessionId()),
        Map.entry("BR_SESSION_NAME", assignment.getSessionName()),
        Map.entry("BR_TASK_ID", assignment.getSpec().getTaskId()),
        Map.entry("BR_ATTEMPT", Integer.toString(assignment.getNumber())),
        Map.entry("BR_ATTEMPT_ID", assignment.getAttemptId()),
        Map.entry("BR_FENCE", Long.toString(assignment.getFence())),
        Map.entry("BR_WORKER_ID", around.workerId()),
        Map.entry("BR_SLOT", Integer.toString(around.slot())),
        Map.entry("BR_COORDINATOR", around.address()),
        Map.entry("BR_RESULT_FILE", folder.file("result").toString()),
        Map.entry("BR_ERROR_FILE", folder.file("error").toString()));
  }

  /** Waits for a command's end, and stops it when it is time to. */
  private void follow(CommandProcess process) throws InterruptedException {
    for (long look = 1; !process.hasEnded(); look = Math.min(look * 2, LONGEST_LOOK_MS)) {
      long now = BootClock.nowMs();
      tick(now);
      synchronized (lock) {
        if (stopAs != null && !asked) {
          asked = true;
          killedAt = now + stopGraceMs;
          process.signal("TERM");
        }
        if (killNow || now >= killedAt) {
          killNow = false;
          killedAt = Long.MAX_VALUE;
          process.signal("KILL");
        }
        lock.wait(look);
      }
    }
  }

  private void take(CommandProcess.Exit exit, TaskFolder folder) {
    ResourceUsage usage =
        ResourceUsage.newBuilder()
            .setUserCpuUs(exit.userMs() * 1000)
            .setSystemCpuUs(exit.systemMs() * 1000)
            .build();
    output.finish();
    synchronized (lock) {
      if (exit.code() >= 0) {
        report.setExitCode(exit.code());
      }
      report
          .setSignal(exit.signal())
          .setUsage(usage)
          .setOutputBytes(output.totalBytes())
          .setOutputDroppedBytes(output.droppedBytes());
      folder
          .read("result", RESULT_BYTES)
          .ifPresent(
              data -> report.setResult(Payload.newBuilder().setData(ByteString.copyFrom(data))));
      folder
          .read("error", RESULT_BYTES)
          .map(data -> Text.lastLine(new String(data, StandardCharsets.UTF_8)))
          .ifPresent(line -> report.setError(Text.oneLine(line, ERROR_BYTES)));
    }
    endWith(exit.code() == 0 ? Outcome.OUTCOME_SUCCEEDED : Outcome.OUTCOME_FAILED);
  }

  /** Runs a handler in this thread. */
  void runHandler(Handler handler, Runnable onStarted) {
    synchronized (lock) {
      if (stopAs == null) {
        handlerThread = Thread.currentThread();
      }
    }
    if (isStopping()) {
      endWith(Outcome.OUTCOME_NOT_STARTED);
      return;
    }
    begin(0);
    onStarted.run();
    String error = "";
    Payload result = null;
    try {
      result = handler.handle(new TaskContext(this));
    } catch (Throwable e) {
      boolean hasWords = e.getMessage() != null && !e.getMessage().isBlank();
      error = hasWords && !(e instanceof VirtualMachineError) ? e.getMessage() : e.toString();
    }
    boolean cutShort;
    synchronized (lock) {
      handlerThread = null;
      Thread.interrupted(); // Of a stop that came at the last moment.
      // A handler that came back because it was told to has not done its work.
      cutShort = stopAs != null;
      report.setError(Text.oneLine(error, ERROR_BYTES));
      if (result != null) {
        report.setResult(result);
      }
    }
    boolean isFine = error.isEmpty() && !cutShort;
    endWith(isFine ? Outcome.OUTCOME_SUCCEEDED : Outcome.OUTCOME_FAILED);
  }
}
