package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.TaskSpec;
import java.util.Map;
import java.util.Set;

/** The environment of a command. */
final class TaskEnvironment {
  private static final Set<String> ALLOWED =
      Set.of("PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CI");

  private TaskEnvironment() {}

  /**
   * Makes the worker's own environment that of a command, in place: leaves what is allowed, adds
   * what its specification passes and sets, and who it is.
   */
  static void prepare(Map<String, String> environment, TaskSpec spec, Map<String, String> who) {
    environment.keySet().removeIf(name -> !isAllowed(name));
    environment.putAll(spec.getPassedEnvironmentMap());
    environment.putAll(spec.getEnvironmentMap());
    environment.remove("BR_TOKEN");
    environment.remove("BR_TOKEN_FILE");
    environment.putAll(who);
  }

  private static boolean isAllowed(String name) {
    return ALLOWED.contains(name)
        || name.startsWith("LC_")
        || name.startsWith("XDG_")
        || name.endsWith("_PROXY")
        || name.endsWith("_proxy");
  }
}
