package dev.buildrunner.parallel;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** What a worker is and does; each setter returns the same object. */
public final class WorkerOptions {
  int slots = 1;
  final List<String> labels = new ArrayList<>();
  String sessionId = "";
  boolean commands = true;
  final Map<String, Handler> handlers = new LinkedHashMap<>();
  String version = "java 0.1.0";
  Consumer<String> log = line -> System.err.println("worker: " + line);

  /** Tasks of one slot that run at a time; 1 unless told otherwise. */
  public WorkerOptions slots(int count) {
    if (count < 1) {
      throw new BuildRunnerException(
          ErrorKind.INVALID, "INVALID", "a worker needs at least one slot, and " + count + " came");
    }
    this.slots = count;
    return this;
  }

  /** Tasks may ask for workers that carry this label. */
  public WorkerOptions label(String label) {
    labels.add(label);
    return this;
  }

  /** Serves this session alone and leaves at its end. */
  public WorkerOptions session(String id) {
    this.sessionId = id;
    return this;
  }

  /** Whether it runs commands (on Linux only); it does unless told otherwise. */
  public WorkerOptions commands(boolean runs) {
    this.commands = runs;
    return this;
  }

  /** Runs tasks of this handler. */
  public WorkerOptions handler(String name, Handler handler) {
    handlers.put(name, handler);
    return this;
  }

  /** Told to the coordinator; for people. */
  public WorkerOptions version(String text) {
    this.version = text;
    return this;
  }

  /** Takes a line for people about what goes wrong on the way, instead of standard error. */
  public WorkerOptions log(Consumer<String> to) {
    this.log = to;
    return this;
  }
}
