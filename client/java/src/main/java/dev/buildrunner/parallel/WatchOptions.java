package dev.buildrunner.parallel;

import java.util.List;
import java.util.OptionalLong;

/**
 * What to follow.
 *
 * @param sessionIds only what belongs to these; empty: everything, but then tasks only as they
 *     change
 * @param endedTasks whether tasks that are over belong to the snapshot too
 * @param sinceRevision go on behind this revision, from an earlier watch
 * @param storeId of the store that the revision belongs to
 */
public record WatchOptions(
    List<String> sessionIds, boolean endedTasks, OptionalLong sinceRevision, String storeId) {
  public static final WatchOptions DEFAULT =
      new WatchOptions(List.of(), false, OptionalLong.empty(), "");

  public WatchOptions {
    sessionIds = List.copyOf(sessionIds);
  }

  public WatchOptions withSessions(String... ids) {
    return new WatchOptions(List.of(ids), endedTasks, sinceRevision, storeId);
  }

  public WatchOptions withEndedTasks() {
    return new WatchOptions(sessionIds, true, sinceRevision, storeId);
  }

  /** Goes on where a watch stopped that had this revision and store. */
  public WatchOptions since(long revision, String store) {
    return new WatchOptions(sessionIds, endedTasks, OptionalLong.of(revision), store);
  }
}
