package dev.buildrunner.parallel;

import java.util.Locale;

/** What sort of error it is; decide by this or by the reason, never by the text. */
public enum ErrorKind {
  /** Malformed, or refers to something impossible. */
  INVALID,
  /** No such session, task, worker or lock (any more). */
  NOT_FOUND,
  /** Paths are held by somebody else: see {@link LockConflictException}. */
  CONFLICT,
  /** Not in this state. */
  WRONG_STATE,
  /** Too large, too many, too fast. */
  LIMIT,
  /** Not, or no more, the holder. */
  STALE,
  /** The token is missing or unknown. */
  UNAUTHENTICATED,
  /** No coordinator answers. */
  UNAVAILABLE,
  /** This coordinator does not serve the call. */
  UNSUPPORTED,
  /** A wait of the caller's own ran out. */
  TIMEOUT,
  /** A fault of the coordinator's, or one that is not known here. */
  INTERNAL;

  /** In lower case, such as {@code not_found}. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
