package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Hello;
import dev.buildrunner.parallel.v1.RegisterRequest;
import dev.buildrunner.parallel.v1.RegisterResponse;
import dev.buildrunner.parallel.v1.Welcome;
import dev.buildrunner.parallel.v1.WorkerKinds;
import dev.buildrunner.parallel.v1.WorkerServiceGrpc;
import io.grpc.MethodDescriptor;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.Supplier;

/** Who a worker is to its coordinator: its id, its lease, and being known again after a restart. */
final class Registration {
  /** What a heartbeat is sent with, and what its answer must find unchanged. */
  record Beat(String workerId, long sequence, int registrations, long sentMs) {}

  /** Counted from the sending of the last heartbeat that was answered; 0 means no limit. */
  record Lease(long fromMs, long stopAfterMs, long killAfterMs) {}

  private static final long SHORTEST_INTERVAL_MS = 50;
  private static final long HEAD_BYTES = 8 << 20;
  private static final long TAIL_BYTES = 2 << 20;

  private final Calls calls;
  private final WorkerOptions options;
  private final Supplier<List<TaskRun>> runs;
  private final BooleanSupplier isLeaving;
  private final Object oneAtATime = new Object();

  private final Object lock = new Object(); // guards all below; nothing else is locked within
  private Welcome welcome = Welcome.getDefaultInstance();
  private int registrations;
  private long leasedFrom;
  private long sequence;

  /**
   * @param runs what is held
   * @param isLeaving whether calls that nobody answers are given up
   */
  Registration(
      Calls calls, WorkerOptions options, Supplier<List<TaskRun>> runs, BooleanSupplier isLeaving) {
    this.calls = calls;
    this.options = options;
    this.runs = runs;
    this.isLeaving = isLeaving;
  }

  void begin() {
    again(0);
  }

  /**
   * Hello: at first, and again to a coordinator that was started anew, with all that is held.
   *
   * @param seen the number of the registration that was refused: who comes second finds it done
   */
  void again(int seen) {
    synchronized (oneAtATime) {
      Welcome known = welcome();
      if (registrations() != seen) {
        return;
      }
      Backoff backoff = new Backoff();
      for (; ; ) {
        long sent = BootClock.nowMs();
        List<TaskRun> held = runs.get();
        RegisterRequest request = RegisterRequest.newBuilder().setHello(hello(held)).build();
        RegisterResponse answer =
            patiently(WorkerServiceGrpc.getRegisterMethod(), request, Calls.QUICK);
        Welcome fresh = answer.getWelcome();
        boolean isSame = seen > 0 && fresh.getStoreId().equals(known.getStoreId());
        if (isSame && fresh.getEpoch() < known.getEpoch()) {
          options.log.accept(
              "a coordinator with an older state than before answers at "
                  + calls.target().address());
          backoff.pause();
          continue;
        }
        for (TaskRun run : held) {
          String id = run.assignment().getAttemptId();
          boolean isMine = answer.getAdoptedAttemptIdsList().contains(id);
          if (seen > 0 && (!isSame || (!isMine && !run.isOver()))) {
            run.disown();
          }
        }
        synchronized (lock) {
          welcome = fresh;
          leasedFrom = sent;
          sequence = 0;
          registrations++;
        }
        return;
      }
    }
  }

  private Hello hello(List<TaskRun> held) {
    Hello.Builder hello =
        Hello.newBuilder()
            .setHost(hostName())
            .setPid((int) ProcessHandle.current().pid())
            .setVersion(options.version)
            .setSlots(options.slots)
            .addAllLabels(options.labels)
            .setSessionId(options.sessionId)
            .setKinds(
                WorkerKinds.newBuilder()
                    .setCommands(options.commands)
                    .addAllHandlers(options.handlers.keySet()));
    synchronized (lock) {
      hello
          .setWorkerId(welcome.getWorkerId())
          .setStoreId(welcome.getStoreId())
          .setEpoch(welcome.getEpoch());
    }
    held.forEach(run -> hello.addHeld(run.held()));
    return hello.build();
  }

  private static String hostName() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      return System.getenv().getOrDefault("HOSTNAME", "");
    }
  }

  /** Nobody answered, or a coordinator that ends cut the call off: to be tried again. */
  static boolean isPassing(BuildRunnerException e) {
    boolean isInterrupt = Thread.currentThread().isInterrupted();
    boolean cutOff = e.kind() == ErrorKind.INTERNAL && e.reason().isEmpty();
    return !isInterrupt && (e.kind() == ErrorKind.UNAVAILABLE || cutOff);
  }

  /**
   * Sends the same call until somebody answers: the worker outlives coordinators. One that is to
   * leave, and has nothing to report, does not wait for that.
   */
  private <Q, R> R patiently(MethodDescriptor<Q, R> method, Q request, Duration deadline) {
    Backoff backoff = new Backoff();
    for (; ; ) {
      try {
        return calls.callOnce(method, request, deadline);
      } catch (BuildRunnerException e) {
        if (!isPassing(e) || calls.isClosed() || isLeaving.getAsBoolean()) {
          throw e;
        }
        backoff.pause();
        calls.again();
      }
    }
  }

  /** The same in this worker's name; who does not know it (any more) is told who it is. */
  <Q, R> R asWorker(
      MethodDescriptor<Q, R> method, Function<String, Q> requestOf, Duration deadline) {
    for (; ; ) {
      int seen = registrations();
      try {
        return patiently(method, requestOf.apply(workerId()), deadline);
      } catch (BuildRunnerException e) {
        if (!e.reason().equals("WORKER_NOT_FOUND")) {
          throw e;
        }
        again(seen);
      }
    }
  }

  // -------------------------------------------------------------------- what is known

  Beat nextBeat() {
    synchronized (lock) {
      return new Beat(welcome.getWorkerId(), ++sequence, registrations, BootClock.nowMs());
    }
  }

  /** This heartbeat was answered. */
  void renewed(Beat beat) {
    synchronized (lock) {
      if (beat.registrations() == registrations) {
        leasedFrom = beat.sentMs();
      }
    }
  }

  Lease lease() {
    synchronized (lock) {
      return new Lease(leasedFrom, welcome.getStopAfterMs(), welcome.getKillAfterMs());
    }
  }

  private Welcome welcome() {
    synchronized (lock) {
      return welcome;
    }
  }

  int registrations() {
    synchronized (lock) {
      return registrations;
    }
  }

  String workerId() {
    return welcome().getWorkerId();
  }

  long heartbeatIntervalMs() {
    return Math.max(welcome().getHeartbeatIntervalMs(), SHORTEST_INTERVAL_MS);
  }

  TaskRun.Surroundings surroundings(int slot) {
    Welcome told = welcome();
    return new TaskRun.Surroundings(
        told.getWorkerId(),
        calls.target().address(),
        slot,
        told.getOutputHeadBytes() > 0 ? told.getOutputHeadBytes() : HEAD_BYTES,
        told.getOutputTailBytes() > 0 ? told.getOutputTailBytes() : TAIL_BYTES);
  }
}
