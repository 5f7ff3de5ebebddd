package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Payload;

/** Work that a worker does itself. */
@FunctionalInterface
public interface Handler {
  /**
   * Returns the task's result; see {@link Tasks#json}. What it throws makes the task fail, with its
   * message as the error. Its thread is interrupted when the task is to end.
   */
  Payload handle(TaskContext task) throws Exception;
}
