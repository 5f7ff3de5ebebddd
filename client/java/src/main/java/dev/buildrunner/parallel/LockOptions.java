package dev.buildrunner.parallel;

import java.time.Duration;
import java.util.Optional;

/**
 * How paths are asked for.
 *
 * @param waitFor zero tries once, a negative one waits without an end
 * @param lease set: the grant ends so long after its last renewal (1 s to 1 h); unset: the session
 *     itself holds
 */
public record LockOptions(Duration waitFor, Optional<Duration> lease) {
  public static final LockOptions DEFAULT = new LockOptions(Duration.ZERO, Optional.empty());

  public LockOptions withWait(Duration time) {
    return new LockOptions(time, lease);
  }

  public LockOptions withLease(Duration time) {
    return new LockOptions(waitFor, Optional.of(time));
  }
}
