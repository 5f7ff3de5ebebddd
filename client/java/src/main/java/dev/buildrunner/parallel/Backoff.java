package dev.buildrunner.parallel;

import java.util.concurrent.ThreadLocalRandom;

/** 50 ms, doubled with each step up to 2 s, each with jitter of half its length. */
final class Backoff {
  private static final long FIRST_MS = 50;
  private static final long LAST_MS = 2_000;

  private long stepMs = FIRST_MS;

  long nextMs() {
    long half = stepMs / 2;
    stepMs = Math.min(stepMs * 2, LAST_MS);
    return half + ThreadLocalRandom.current().nextLong(half + 1);
  }

  void reset() {
    stepMs = FIRST_MS;
  }

  /** Sleeps the next step. */
  void pause() {
    pause(nextMs());
  }

  static void pause(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException e) {
      throw interrupted();
    }
  }

  static BuildRunnerException interrupted() {
    Thread.currentThread().interrupt();
    return new BuildRunnerException(
        ErrorKind.INTERNAL, "", "the thread was interrupted while it waited for the coordinator");
  }
}
