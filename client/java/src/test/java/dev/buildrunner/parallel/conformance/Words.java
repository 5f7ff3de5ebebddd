package dev.buildrunner.parallel.conformance;

import dev.buildrunner.parallel.v1.SessionStatus;
import dev.buildrunner.parallel.v1.TaskStatus;
import java.util.Locale;

/** States as the contract writes them. */
final class Words {
  private Words() {}

  static String of(SessionStatus status) {
    return word(status.name(), "SESSION_STATUS_");
  }

  static String of(TaskStatus status) {
    return word(status.name(), "TASK_STATUS_");
  }

  private static String word(String name, String prefix) {
    boolean isKnown = name.startsWith(prefix);
    return isKnown ? name.substring(prefix.length()).toLowerCase(Locale.ROOT) : "unspecified";
  }
}
