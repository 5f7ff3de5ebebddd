package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Assignment;
import dev.buildrunner.parallel.v1.Cancellation;
import dev.buildrunner.parallel.v1.ClaimTasksRequest;
import dev.buildrunner.parallel.v1.ClaimTasksResponse;
import dev.buildrunner.parallel.v1.DrainWorkerRequest;
import dev.buildrunner.parallel.v1.Heartbeat;
import dev.buildrunner.parallel.v1.HeartbeatRequest;
import dev.buildrunner.parallel.v1.HeartbeatResponse;
import dev.buildrunner.parallel.v1.Outcome;
import dev.buildrunner.parallel.v1.ReportTasksRequest;
import dev.buildrunner.parallel.v1.TaskStarted;
import dev.buildrunner.parallel.v1.UnregisterRequest;
import dev.buildrunner.parallel.v1.WorkerServiceGrpc;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * A worker on the unary calls: it asks for tasks, runs commands and handlers, and reports how they
 * ended. What a task writes is sent while it runs.
 *
 * <p>Commands are process groups of their own that die with the worker, however it dies. Handlers
 * run in threads, which cannot be ended from outside: they are interrupted, and should heed that.
 * Not offered: audits of what a task changes, worktrees of its own.
 *
 * <p>Its threads: run() asks for tasks; one for each task; heartbeats; the clock (leases, timeouts
 * of handlers); the courier, who brings starts and progress; and the sender of output.
 */
public final class Worker {
  private static final long TICK_MS = 50;
  // Cancellations come with the answers to heartbeats, so they are asked for more often while
  // something runs.
  private static final long BUSY_INTERVAL_MS = 1_000;
  private static final long CLAIM_WAIT_MS = 1_000;
  private static final int EXIT_LEASE = 70;

  private final WorkerOptions options;
  private final Calls calls;
  private final Object lock = new Object(); // guards all below
  private final Registration registration;
  private final OutputSender sender;
  private final Reports reports;
  private final Map<String, TaskRun> runs = new HashMap<>();
  private final EndedAttempts ended = new EndedAttempts();
  private final BitSet slotsTaken = new BitSet();
  private final List<TaskStarted> starts = new ArrayList<>();
  private int usedSlots;
  private boolean draining;
  private boolean finished;
  private BuildRunnerException failure;

  /** A worker of this coordinator; nothing happens before {@link #run}. */
  public Worker(Target target, WorkerOptions options) {
    if (options.commands && !CommandProcess.isSupported()) {
      throw new BuildRunnerException(
          ErrorKind.UNSUPPORTED,
          "",
          "commands can be run on Linux only; give handlers, and commands(false)");
    }
    this.options = options;
    this.calls = new Calls(target);
    this.registration = new Registration(calls, options, this::allRuns, this::hasNoReasonToStay);
    this.sender = new OutputSender(calls, registration, this::allRuns, options.log);
    this.reports = new Reports(registration, sender, options.log);
  }

  /** Serves the coordinator that {@link Target#locate()} finds. */
  public static void serve(WorkerOptions options) {
    serve(Target.locate(), options);
  }

  /**
   * Runs a worker that drains on SIGTERM and SIGINT; the process exits with 0 then.
   *
   * @throws BuildRunnerException as {@link #run}
   */
  public static void serve(Target target, WorkerOptions options) {
    new Serving(new Worker(target, options)).run();
  }

  /** Takes nothing new; {@link #run} returns once nothing runs any more. From any thread. */
  public void drain() {
    synchronized (lock) {
      draining = true;
      lock.notifyAll();
    }
  }

  /**
   * Serves until {@link #drain} or until the coordinator wants it to leave; what runs is finished
   * and reported first. Coordinators that go away are waited for. Once only.
   *
   * @throws BuildRunnerException for what will not pass, such as a token that is refused
   */
  public void run() {
    try (calls) {
      if (!isMet()) {
        return;
      }
      List<Thread> threads =
          List.of(
              start("br-heartbeat", this::beat),
              start("br-clock", this::tick),
              start("br-courier", this::carry),
              start("br-sender", this::sendOutput));
      try {
        while (!isDraining()) {
          claim();
        }
      } catch (BuildRunnerException e) {
        if (!Registration.isPassing(e)) {
          fail(e);
          allRuns().forEach(run -> run.stop(Outcome.OUTCOME_LOST));
        }
      }
      leave(threads);
    } catch (InterruptedException e) {
      throw Backoff.interrupted();
    } finally {
      endAll();
    }
  }

  /** Whether a coordinator knows it; not when it is to leave before anybody answers. */
  private boolean isMet() {
    try {
      registration.begin();
      return true;
    } catch (BuildRunnerException e) {
      if (!Registration.isPassing(e)) {
        throw e;
      }
      options.log.accept("left before anybody answered: " + e.getMessage());
      return false;
    }
  }

  /** For one that is interrupted: nothing of it stays behind. */
  private void endAll() {
    for (TaskRun run : allRuns()) {
      run.disown();
      run.kill();
    }
    end();
  }

  private void end() {
    synchronized (lock) {
      finished = true;
      lock.notifyAll();
    }
    sender.close();
  }

  private void leave(List<Thread> threads) throws InterruptedException {
    if (!hasFailed()) {
      tellOfDraining();
    }
    synchronized (lock) {
      while (!runs.isEmpty()) {
        lock.wait();
      }
    }
    end();
    for (Thread thread : threads) {
      thread.join();
    }
    if (failure != null) {
      throw failure;
    }
    UnregisterRequest goodbye =
        UnregisterRequest.newBuilder()
            .setWorkerId(registration.workerId())
            .setReason("drained")
            .build();
    try {
      calls.call(WorkerServiceGrpc.getUnregisterMethod(), goodbye);
    } catch (BuildRunnerException e) {
      options.log.accept("left without a goodbye: " + e.getMessage());
    }
  }

  /** So that what has not been claimed goes to others, and people see why nothing comes here. */
  private void tellOfDraining() {
    DrainWorkerRequest.Builder request =
        DrainWorkerRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setReason("the worker was told to");
    try {
      registration.asWorker(
          WorkerServiceGrpc.getDrainWorkerMethod(),
          id -> request.setWorkerId(id).build(),
          Calls.QUICK);
    } catch (BuildRunnerException e) {
      options.log.accept("draining without a word: " + e.getMessage());
    }
  }

  // -------------------------------------------------------------------- heartbeats

  private void beat() {
    long pauseMs = 0;
    while (pauseFor(pauseMs)) {
      long began = System.nanoTime();
      try {
        beatOnce();
      } catch (BuildRunnerException e) {
        fail(e);
        return;
      }
      long told = registration.heartbeatIntervalMs();
      long interval = allRuns().isEmpty() ? told : Math.min(told, BUSY_INTERVAL_MS);
      pauseMs = interval - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    }
  }

  private void beatOnce() {
    Registration.Beat beat = registration.nextBeat();
    Heartbeat.Builder heartbeat = Heartbeat.newBuilder().setSequence(beat.sequence());
    allRuns().forEach(run -> heartbeat.addHeld(run.held()));
    HeartbeatRequest request =
        HeartbeatRequest.newBuilder().setWorkerId(beat.workerId()).setHeartbeat(heartbeat).build();
    try {
      HeartbeatResponse answer =
          calls.callOnce(WorkerServiceGrpc.getHeartbeatMethod(), request, Duration.ofSeconds(5));
      if (answer.getReply().getSequence() == beat.sequence()) {
        registration.renewed(beat);
        obey(answer);
      }
    } catch (BuildRunnerException e) {
      if (e.reason().equals("WORKER_NOT_FOUND")) {
        registration.again(beat.registrations());
      } else if (!Registration.isPassing(e)) {
        throw e;
      } else {
        calls.again();
      }
    }
  }

  private void obey(HeartbeatResponse answer) {
    if (answer.getDraining()) {
      drain();
    }
    for (Cancellation order : answer.getCancellationsList()) {
      TaskRun run = find(order.getAttemptId());
      if (run != null && run.assignment().getFence() == order.getFence()) {
        Outcome outcome = order.getOutcome();
        boolean isKnown = outcome != Outcome.OUTCOME_UNSPECIFIED && outcome != Outcome.UNRECOGNIZED;
        Optional<Long> grace =
            order.hasGraceMs() ? Optional.of(order.getGraceMs()) : Optional.empty();
        run.stop(isKnown ? outcome : Outcome.OUTCOME_CANCELLED, grace);
      }
    }
    for (String id : answer.getReply().getUnknownAttemptIdsList()) {
      // One whose end is on its way is told by the answer to its report.
      TaskRun run = find(id);
      if (run != null && !run.isOver()) {
        run.disown();
      }
    }
  }

  // -------------------------------------------------------------------- clock

  private void tick() {
    while (pauseFor(TICK_MS)) {
      long now = BootClock.nowMs();
      Registration.Lease lease = registration.lease();
      long age = now - lease.fromMs();
      for (TaskRun run : allRuns()) {
        run.tick(now);
        if (lease.stopAfterMs() > 0 && age >= lease.stopAfterMs()) {
          run.stop(Outcome.OUTCOME_LOST);
        }
        if (lease.killAfterMs() > 0 && age >= lease.killAfterMs() && !run.isOver()) {
          killForLease(run);
        }
      }
    }
  }

  /** Others may be given this task any moment. A handler that goes on takes the worker with it. */
  private void killForLease(TaskRun run) {
    if (run.isHandler()) {
      options.log.accept(
          "no coordinator for too long, and handler "
              + run.assignment().getSpec().getHandler().getName()
              + " does not stop: ending the worker");
      Runtime.getRuntime().halt(EXIT_LEASE);
    }
    run.kill();
  }

  // -------------------------------------------------------------------- courier

  private void carry() {
    while (pauseFor(TICK_MS)) {
      ReportTasksRequest.Builder request = ReportTasksRequest.newBuilder();
      synchronized (lock) {
        request.addAllStarted(starts);
        starts.clear();
      }
      for (TaskRun run : allRuns()) {
        run.takeProgress().ifPresent(request::addProgress);
      }
      if (request.getStartedCount() + request.getProgressCount() > 0) {
        try {
          reports.send(request);
        } catch (BuildRunnerException e) {
          options.log.accept("progress was not taken: " + e.getMessage());
        }
      }
    }
  }

  private void sendOutput() {
    try {
      sender.run();
    } catch (BuildRunnerException e) {
      fail(e);
    } catch (InterruptedException e) {
      fail(Backoff.interrupted());
    }
  }

  // -------------------------------------------------------------------- tasks

  private void claim() throws InterruptedException {
    ClaimTasksRequest.Builder request = ClaimTasksRequest.newBuilder().setWaitMs(CLAIM_WAIT_MS);
    synchronized (lock) {
      while (!draining && usedSlots >= options.slots) {
        lock.wait();
      }
      if (draining) {
        return;
      }
      request.setMaxTasks(options.slots - usedSlots);
    }
    ClaimTasksResponse answer =
        registration.asWorker(
            WorkerServiceGrpc.getClaimTasksMethod(),
            id -> request.setWorkerId(id).build(),
            Calls.QUICK.plusMillis(CLAIM_WAIT_MS));
    if (answer.getDraining()) {
      drain();
    }
    for (Assignment assignment : answer.getAssignmentsList()) {
      take(assignment);
    }
  }

  private void take(Assignment assignment) throws InterruptedException {
    int slots = Math.min(Math.max(assignment.getSpec().getSlots(), 1), options.slots);
    synchronized (lock) {
      // It may come twice; the second is void.
      String id = assignment.getAttemptId();
      if (runs.containsKey(id) || ended.has(id)) {
        return;
      }
      int slot = slotsTaken.nextClearBit(0);
      TaskRun run = new TaskRun(assignment, registration.surroundings(slot));
      runs.put(id, run);
      // One of several slots waits until there are enough of them, unless it is to stop; it is held
      // meanwhile.
      while (usedSlots > 0 && usedSlots + slots > options.slots && !run.isStopping()) {
        lock.wait(TICK_MS); // being told to stop wakes nobody
      }
      usedSlots += slots;
      slotsTaken.set(slot);
      start("br-task-" + assignment.getSpec().getTaskId(), () -> perform(run, slots));
    }
  }

  private void perform(TaskRun run, int slots) {
    Runnable onStarted =
        () -> {
          synchronized (lock) {
            starts.add(run.started());
          }
        };
    try {
      try {
        execute(run, onStarted);
      } catch (RuntimeException | Error e) {
        run.breakOff(e);
      }
      free(run, slots);
      reports.deliver(run);
    } catch (BuildRunnerException e) {
      fail(e);
    } catch (InterruptedException e) {
      fail(Backoff.interrupted());
    }
    synchronized (lock) {
      runs.remove(run.assignment().getAttemptId());
      ended.add(run.assignment());
      lock.notifyAll();
    }
  }

  private void execute(TaskRun run, Runnable onStarted) throws InterruptedException {
    Handler handler = options.handlers.get(run.assignment().getSpec().getHandler().getName());
    if (run.isHandler() && handler != null) {
      run.runHandler(handler, onStarted);
    } else if (run.assignment().getSpec().hasCommand() && options.commands) {
      run.runCommand(onStarted);
    } else if (run.isHandler()) {
      String name = run.assignment().getSpec().getHandler().getName();
      run.refuse("this worker has no handler " + name, false);
    } else {
      run.refuse("this worker does not run this kind of work; use another one", false);
    }
  }

  /** The slot is free for the next task while the report is still on its way. */
  private void free(TaskRun run, int slots) {
    synchronized (lock) {
      usedSlots -= slots;
      slotsTaken.clear(run.slot());
      lock.notifyAll();
    }
  }

  // -------------------------------------------------------------------- common

  private TaskRun find(String attemptId) {
    synchronized (lock) {
      return runs.get(attemptId);
    }
  }

  private List<TaskRun> allRuns() {
    synchronized (lock) {
      return List.copyOf(runs.values());
    }
  }

  private boolean isDraining() {
    synchronized (lock) {
      return draining;
    }
  }

  /** It is to leave, and has nothing to report: it waits for no coordinator. */
  private boolean hasNoReasonToStay() {
    synchronized (lock) {
      return draining && runs.isEmpty();
    }
  }

  private boolean hasFailed() {
    synchronized (lock) {
      return failure != null;
    }
  }

  /** False when the worker has come to its end. */
  private boolean pauseFor(long ms) {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    synchronized (lock) {
      for (long left = end - System.nanoTime(); !finished && left > 0; ) {
        try {
          TimeUnit.NANOSECONDS.timedWait(lock, left);
        } catch (InterruptedException e) {
          return false;
        }
        left = end - System.nanoTime();
      }
      return !finished;
    }
  }

  /** What will not pass ends the worker; run() throws the first of it. */
  private void fail(BuildRunnerException e) {
    synchronized (lock) {
      if (failure == null) {
        failure = e;
      }
      draining = true;
      lock.notifyAll();
    }
  }

  private static Thread start(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
    return thread;
  }
}
