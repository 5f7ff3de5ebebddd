package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.Assignment;

/** What a handler is told, and can tell. */
public final class TaskContext {
  private final TaskRun run;

  TaskContext(TaskRun run) {
    this.run = run;
  }

  /** Session, task, attempt, fence, and the whole specification. */
  public Assignment assignment() {
    return run.assignment();
  }

  public ByteString payload() {
    return run.assignment().getSpec().getHandler().getPayload().getData();
  }

  /** 0 to 100, and at most 256 bytes; the latest is sent, soon and without waiting for it. */
  public void progress(double percent, String message) {
    run.setProgress(percent, message);
  }

  /**
   * It was cancelled, its time is up, or the worker has lost its lease: return soon. The result
   * does not count then.
   */
  public boolean isCancelled() {
    return run.isStopping();
  }
}
