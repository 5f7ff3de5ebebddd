package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.EventServiceGrpc;
import dev.buildrunner.parallel.v1.WatchRequest;
import dev.buildrunner.parallel.v1.WatchResponse;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Follows what changes. A watch reads only when it is asked to, so a slow reader costs no memory:
 * the coordinator closes a stream that is not read, and the watch goes on behind the last message
 * that was handed out. For one thread at a time.
 */
public final class Watch implements AutoCloseable {
  private final Calls calls;
  private final WatchOptions options;
  private final Backoff backoff = new Backoff();
  private long revision;
  private boolean known;
  private String storeId;
  private int reconnects;
  private long retryAt = System.nanoTime();
  private BlockingClientCall<WatchRequest, WatchResponse> stream;

  Watch(Calls calls, WatchOptions options) {
    this.calls = calls;
    this.options = options;
    this.revision = options.sinceRevision().orElse(0);
    this.known = options.sinceRevision().isPresent();
    this.storeId = options.storeId();
  }

  /**
   * The next message; empty when none comes in time. After {@code reset} forget everything seen
   * before; an entity in a change replaces what was known of it. A stream that breaks is resumed,
   * without an end, with nothing left out.
   *
   * @throws BuildRunnerException for what will not pass, such as a session that is not there
   */
  public Optional<WatchResponse> next(Duration timeout) {
    long end = System.nanoTime() + timeout.toNanos();
    try {
      for (; ; ) {
        if (stream == null && !open(end)) {
          return Optional.empty();
        }
        WatchResponse message = read(end);
        if (message != null) {
          took(message);
          return Optional.of(message);
        }
        if (stream != null) {
          return Optional.empty();
        }
      }
    } catch (InterruptedException e) {
      throw Backoff.interrupted();
    }
  }

  /** Begins a stream once it is time to; false when that is not before {@code end}. */
  private boolean open(long end) throws InterruptedException {
    long now = System.nanoTime();
    TimeUnit.NANOSECONDS.sleep(Math.min(retryAt, end) - now);
    if (retryAt - end > 0) {
      return false;
    }
    WatchRequest.Builder request =
        WatchRequest.newBuilder()
            .addAllSessionIds(options.sessionIds())
            .setEndedTasks(options.endedTasks());
    if (known) {
      request.setSinceRevision(revision).setStoreId(storeId);
    }
    calls.again();
    stream =
        ClientCalls.blockingV2ServerStreamingCall(
            calls.channel(),
            EventServiceGrpc.getWatchMethod(),
            CallOptions.DEFAULT,
            request.build());
    return true;
  }

  /** A message; null when the time is up, or (without a stream then) when it has broken. */
  private WatchResponse read(long end) throws InterruptedException {
    try {
      long left = Math.max(end - System.nanoTime(), 0);
      WatchResponse message = stream.read(left, TimeUnit.NANOSECONDS);
      if (message == null) {
        broken();
      }
      return message;
    } catch (TimeoutException e) {
      return null;
    } catch (StatusException e) {
      stream = null;
      if (!mayResume(e.getStatus(), e.getTrailers())) {
        throw calls.thrown(e.getStatus(), e.getTrailers());
      }
      broken();
      return null;
    }
  }

  private void broken() {
    stream = null;
    reconnects++;
    retryAt = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(backoff.nextMs());
  }

  private void took(WatchResponse message) {
    // All but the last message of a snapshot have no revision: one that breaks off is begun anew.
    if (message.getRevision() > 0) {
      revision = message.getRevision();
      known = true;
    } else if (message.getReset()) {
      known = false;
    }
    if (!message.getStoreId().isEmpty()) {
      storeId = message.getStoreId();
    }
    backoff.reset();
  }

  /** Passes by itself: the coordinator went away, or this stream was read too slowly. */
  private static boolean mayResume(Status status, Metadata trailers) {
    return switch (status.getCode()) {
      case UNAVAILABLE, CANCELLED, UNKNOWN -> true;
      case RESOURCE_EXHAUSTED -> Errors.reasonOf(status, trailers).equals("WATCHER_TOO_SLOW");
      case INTERNAL -> Errors.reasonOf(status, trailers).isEmpty(); // a connection that was cut
      default -> false;
    };
  }

  /** Behind the last message handed out; with the store's id another watch can go on here. */
  public long revision() {
    return revision;
  }

  public String storeId() {
    return storeId;
  }

  /** How often the stream broke and was taken up again. */
  public int reconnects() {
    return reconnects;
  }

  @Override
  public void close() {
    if (stream != null) {
      stream.cancel("the watch was closed", null);
      stream = null;
    }
  }
}
