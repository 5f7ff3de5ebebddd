package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.Assignment;
import java.util.HashSet;
import java.util.Set;
import java.util.TreeMap;

/** Attempts that are over here and whose assignment may come once more. Not for several threads. */
final class EndedAttempts {
  private static final int REMEMBERED = 1_000;

  private final Set<String> ids = new HashSet<>();
  private final TreeMap<Long, String> byFence = new TreeMap<>();

  boolean has(String attemptId) {
    return ids.contains(attemptId);
  }

  /** Fences grow: the lowest is of the attempt that is least likely to be heard of again. */
  void add(Assignment assignment) {
    ids.add(assignment.getAttemptId());
    byFence.put(assignment.getFence(), assignment.getAttemptId());
    if (byFence.size() > REMEMBERED) {
      ids.remove(byFence.pollFirstEntry().getValue());
    }
  }
}
