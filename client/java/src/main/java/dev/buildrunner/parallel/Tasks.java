package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.CommandWork;
import dev.buildrunner.parallel.v1.HandlerWork;
import dev.buildrunner.parallel.v1.LockKind;
import dev.buildrunner.parallel.v1.LockMode;
import dev.buildrunner.parallel.v1.PathRequest;
import dev.buildrunner.parallel.v1.Payload;
import dev.buildrunner.parallel.v1.TaskSpec;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Tasks to submit, and paths to lock; what else they need is set on the builders. */
public final class Tasks {
  private Tasks() {}

  /** A program with its arguments; no shell comes near them. */
  public static TaskSpec.Builder command(String taskId, String... argv) {
    CommandWork work = CommandWork.newBuilder().addAllArgv(List.of(argv)).build();
    return TaskSpec.newBuilder().setTaskId(taskId).setCommand(work);
  }

  /** One line for {@code /bin/sh -c}. */
  public static TaskSpec.Builder shell(String taskId, String line) {
    CommandWork work = CommandWork.newBuilder().setShellLine(line).build();
    return TaskSpec.newBuilder().setTaskId(taskId).setCommand(work);
  }

  /** A function that workers have under this name. */
  public static TaskSpec.Builder handler(String taskId, String name, Payload payload) {
    HandlerWork work = HandlerWork.newBuilder().setName(name).setPayload(payload).build();
    return TaskSpec.newBuilder().setTaskId(taskId).setHandler(work);
  }

  /** A payload, or a handler's result, of JSON text. */
  public static Payload json(String text) {
    return Payload.newBuilder()
        .setData(ByteString.copyFrom(text, StandardCharsets.UTF_8))
        .setContentType("application/json")
        .build();
  }

  /** A path for oneself: "src/" is a directory with all below it, "res:name" a name. */
  public static PathRequest path(String text) {
    return path(text, LockMode.LOCK_MODE_EXCLUSIVE);
  }

  /** A path that others may hold SHARED too. */
  public static PathRequest sharedPath(String text) {
    return path(text, LockMode.LOCK_MODE_SHARED);
  }

  private static PathRequest path(String text, LockMode mode) {
    return PathRequest.newBuilder()
        .setPath(text)
        .setMode(mode)
        .setKind(LockKind.LOCK_KIND_AUTO)
        .build();
  }
}
