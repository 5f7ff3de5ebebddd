package dev.buildrunner.parallel.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.buildrunner.parallel.BuildRunnerException;
import dev.buildrunner.parallel.ErrorKind;
import dev.buildrunner.parallel.Watch;
import dev.buildrunner.parallel.v1.Change;
import dev.buildrunner.parallel.v1.TaskSummary;
import dev.buildrunner.parallel.v1.WatchResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/** A watch in the background, with what it has seen. */
final class Following {
  private static final Duration LOOK = Duration.ofMillis(500);

  private final Watch watch;
  private final Map<String, String> known = new HashMap<>();
  private JsonArray changes = new JsonArray();
  private int resets;
  private int compactions;
  private boolean isClosed;
  private boolean hasBegun;
  private RuntimeException failure;

  Following(Watch watch) {
    this.watch = watch;
    Thread thread = new Thread(this::follow, "following");
    thread.setDaemon(true);
    thread.start();
  }

  private void follow() {
    try (watch) {
      while (!isClosed()) {
        watch.next(LOOK).ifPresent(this::take);
      }
    } catch (BuildRunnerException e) {
      synchronized (this) {
        failure = e;
        notifyAll();
      }
    }
  }

  private synchronized void take(WatchResponse message) {
    if (message.getReset()) {
      resets++;
      known.clear();
    }
    if (message.getCompacted()) {
      compactions++;
    }
    for (Change change : message.getChangesList()) {
      if (change.hasTask()) {
        TaskSummary task = change.getTask();
        String status = Words.of(task.getStatus());
        known.put(task.getTaskId(), status);
        if (!message.getSnapshot()) {
          JsonArray entry = new JsonArray();
          entry.add(task.getRevision());
          entry.add(task.getTaskId());
          entry.add(status);
          changes.add(entry);
        }
      }
    }
    hasBegun |= message.getRevision() > 0;
    notifyAll();
  }

  /** Until it follows: what happens from now on is a change. */
  synchronized void awaitBegin(Duration timeout) throws InterruptedException {
    long end = System.nanoTime() + timeout.toNanos();
    while (!hasBegun && failure == null && System.nanoTime() < end) {
      wait(10);
    }
    if (failure != null) {
      throw failure;
    }
  }

  synchronized JsonObject until(String task, String status, Duration timeout)
      throws InterruptedException {
    long end = System.nanoTime() + timeout.toNanos();
    while (!status.equals(known.get(task))) {
      if (failure != null) {
        throw failure;
      }
      long leftMs = (end - System.nanoTime()) / 1_000_000;
      if (leftMs <= 0) {
        throw new BuildRunnerException(
            ErrorKind.TIMEOUT, "", "task " + task + " was not seen " + status);
      }
      wait(leftMs);
    }
    JsonObject answer = new JsonObject();
    answer.addProperty("revision", watch.revision());
    answer.addProperty("resets", resets);
    answer.addProperty("compactions", compactions);
    answer.addProperty("reconnects", watch.reconnects());
    answer.add("changes", changes);
    changes = new JsonArray();
    return answer;
  }

  private synchronized boolean isClosed() {
    return isClosed;
  }

  synchronized void close() {
    isClosed = true;
  }
}
