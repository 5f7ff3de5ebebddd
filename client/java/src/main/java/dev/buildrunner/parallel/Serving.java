package dev.buildrunner.parallel;

import java.util.concurrent.CountDownLatch;

/**
 * A worker that drains on SIGTERM and SIGINT. The JVM ends when its shutdown hooks have: so the
 * hook waits for the worker, and sets the exit code, which would tell of the signal otherwise.
 */
final class Serving {
  private static final int EXIT_FAILED = 1;

  private final Worker worker;
  private final CountDownLatch over = new CountDownLatch(1);
  private volatile BuildRunnerException failure;

  Serving(Worker worker) {
    this.worker = worker;
  }

  void run() {
    Thread hook = new Thread(this::drainAndHalt, "br-drain");
    Runtime.getRuntime().addShutdownHook(hook);
    try {
      worker.run();
    } catch (BuildRunnerException e) {
      failure = e;
      throw e;
    } finally {
      over.countDown();
      try {
        Runtime.getRuntime().removeShutdownHook(hook);
      } catch (IllegalStateException e) {
        waitForTheEnd();
      }
    }
  }

  private void drainAndHalt() {
    worker.drain();
    try {
      over.await();
    } catch (InterruptedException e) {
      // Nobody interrupts a hook but the JVM, which ends then.
    }
    if (failure != null) {
      System.err.println("worker: " + failure.getMessage());
    }
    Runtime.getRuntime().halt(failure == null ? 0 : EXIT_FAILED);
  }

  /** The hook has it in hand. */
  private static void waitForTheEnd() {
    try {
      new CountDownLatch(1).await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
