package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.LockConflict;
import java.util.List;

/** Paths are taken, or (reason DEADLOCK) waiting for them would close a circle. */
public final class LockConflictException extends BuildRunnerException {
  private static final long serialVersionUID = 1L;

  private final transient List<LockConflict> conflicts;

  LockConflictException(
      String reason, String message, List<LockConflict> conflicts, Throwable cause) {
    super(ErrorKind.CONFLICT, reason, message, null, cause);
    this.conflicts = List.copyOf(conflicts);
  }

  /** One for each clash: which path was asked for, which is held, by whom, for how long. */
  public List<LockConflict> conflicts() {
    return conflicts;
  }
}
