package dev.buildrunner.parallel;

import java.time.Duration;
import java.util.Optional;

/**
 * What the client throws. The message is for people: it says what was wrong and what to do next.
 */
public class BuildRunnerException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorKind kind;
  private final String reason;
  private final Duration retryAfter;

  public BuildRunnerException(ErrorKind kind, String reason, String message) {
    this(kind, reason, message, null, null);
  }

  BuildRunnerException(
      ErrorKind kind, String reason, String message, Duration retryAfter, Throwable cause) {
    super(message, cause);
    this.kind = kind;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }

  public ErrorKind kind() {
    return kind;
  }

  /** UPPER_SNAKE, such as {@code SESSION_NOT_FOUND}; empty where the coordinator gave none. */
  public String reason() {
    return reason;
  }

  /** How long to wait before trying again makes sense, where the coordinator said so. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }
}
