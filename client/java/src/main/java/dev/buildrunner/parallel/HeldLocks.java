package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.AcquireLocksResponse;
import dev.buildrunner.parallel.v1.LockServiceGrpc;
import dev.buildrunner.parallel.v1.ReleaseLocksRequest;
import dev.buildrunner.parallel.v1.RenewLeaseRequest;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Paths that are held until this is closed, and as long as the lease could be renewed. */
public final class HeldLocks implements AutoCloseable {
  private final Calls calls;
  private final AcquireLocksResponse grant;
  private final String sessionId;
  private final Consumer<BuildRunnerException> onLost;
  private final Object lock = new Object();
  private final Thread renewer;
  private boolean ended;
  private BuildRunnerException lost;

  /** {@code grantedAt}: by System.nanoTime(), the earliest moment that the lease may count from. */
  HeldLocks(
      Calls calls,
      AcquireLocksResponse grant,
      String sessionId,
      long grantedAt,
      Consumer<BuildRunnerException> onLost) {
    this.calls = calls;
    this.grant = grant;
    this.sessionId = sessionId;
    this.onLost = onLost;
    // What was held already is another grant's to renew and to release.
    if (grant.getAlreadyHeld() || grant.getLeaseMs() <= 0) {
      renewer = null;
      return;
    }
    renewer = new Thread(() -> keep(grantedAt), "br-lease-" + grant.getGrantId());
    renewer.setDaemon(true);
    renewer.start();
  }

  public String grantId() {
    return grant.getGrantId();
  }

  /** Hand it to whatever you change, if that can refuse an older one. */
  public long fence() {
    return grant.getFence();
  }

  /** True once somebody else may hold the paths: stop changing them. */
  public boolean isLost() {
    synchronized (lock) {
      return lost != null;
    }
  }

  /** Renews every third of the lease, which counts from the sending of the last one answered. */
  private void keep(long grantedAt) {
    long lease = TimeUnit.MILLISECONDS.toNanos(grant.getLeaseMs());
    long sent = grantedAt;
    long pause = lease / 3;
    while (pauseFor(Math.min(pause, sent + lease - System.nanoTime()))) {
      long asked = System.nanoTime();
      try {
        long left = Math.min(lease / 3, sent + lease - asked);
        RenewLeaseRequest request =
            RenewLeaseRequest.newBuilder().setGrantId(grantId()).setFence(fence()).build();
        calls.call(LockServiceGrpc.getRenewLeaseMethod(), request, Duration.ofNanos(left));
        sent = asked;
        pause = lease / 3;
      } catch (BuildRunnerException e) {
        boolean isOver = System.nanoTime() - sent >= lease;
        if (isOver || !isPassing(e)) {
          lose(e);
          return;
        }
        pause = lease / 20;
      }
    }
  }

  private static boolean isPassing(BuildRunnerException e) {
    boolean cutOff = e.kind() == ErrorKind.INTERNAL && e.reason().isEmpty();
    return e.kind() == ErrorKind.UNAVAILABLE || cutOff;
  }

  private void lose(BuildRunnerException cause) {
    synchronized (lock) {
      if (ended) {
        return;
      }
      lost = cause;
    }
    onLost.accept(cause);
  }

  /** False once this was closed. */
  private boolean pauseFor(long nanos) {
    long end = System.nanoTime() + nanos;
    synchronized (lock) {
      for (long left = nanos; !ended && left > 0; left = end - System.nanoTime()) {
        try {
          TimeUnit.NANOSECONDS.timedWait(lock, left);
        } catch (InterruptedException e) {
          return false;
        }
      }
      return !ended;
    }
  }

  /**
   * Gives the paths back.
   *
   * @throws BuildRunnerException when they were lost before, or nobody answers
   */
  public void release() {
    synchronized (lock) {
      if (ended) {
        return;
      }
      ended = true;
      lock.notifyAll();
      if (lost != null) {
        throw lost;
      }
    }
    if (grant.getAlreadyHeld()) {
      return;
    }
    ReleaseLocksRequest request =
        ReleaseLocksRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .setGrantId(grantId())
            .setFence(fence())
            .build();
    calls.call(LockServiceGrpc.getReleaseLocksMethod(), request);
  }

  /** As {@link #release}, but silent: what was lost is gone, and a lease ends by itself. */
  @Override
  public void close() {
    try {
      release();
    } catch (BuildRunnerException e) {
      // isLost() and onLost tell of it.
    }
  }
}
