package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The output of one attempt on its way to the coordinator: by offset, in the order read, and never
 * more of it than must be kept.
 *
 * <p>The beginning is sent whole. Behind it only the newest bytes are held: while the attempt runs
 * they are sent at a bounded rate, and some are left out; at its end all that is held follows. What
 * is left out is always older than the end that must be kept. What is durable is let go.
 *
 * <p>Times are those of System.nanoTime(). For any thread.
 */
final class OutputBook {
  /** So much of it may travel in the report. */
  static final long INLINE_BYTES = 32 << 10;

  /** Small output of what runs waits so long: if the task ends soon it travels in the report. */
  static final long STREAM_AFTER_NS = TimeUnit.MILLISECONDS.toNanos(200);

  /** What a piece takes in a message besides its data, at the most. */
  static final int PIECE_COST = 32;

  private static final long LEAST_LIVE_RATE = 64 << 10;
  private static final long LIVE_BURST_NS = TimeUnit.MILLISECONDS.toNanos(250);

  private final long headBytes;
  private final long tailBytes;
  private final Deque<OutputBlock> head = new ArrayDeque<>();
  private final Deque<OutputBlock> tail = new ArrayDeque<>();
  private long total;
  private long next; // all before it was sent, or left out
  private long durable;
  private boolean streamed;
  private boolean finished;
  private boolean abandoned;
  private long firstUnsentNs;
  private long liveFromNs;

  OutputBook(long headBytes, long tailBytes) {
    this.headBytes = headBytes;
    this.tailBytes = tailBytes;
  }

  // -------------------------------------------------------------------- in

  /** Takes what was read next; nothing once it was finished or abandoned. */
  synchronized void add(OutputChannel channel, ByteString data, long nowNs) {
    if (finished || abandoned) {
      return;
    }
    if (next >= total) {
      firstUnsentNs = nowNs;
    }
    for (int at = 0; at < data.size(); ) {
      long room = total < headBytes ? headBytes - total : Long.MAX_VALUE;
      int end = at + (int) Math.min(room, data.size() - at);
      Deque<OutputBlock> to = total < headBytes ? head : tail;
      if (to.isEmpty() || to.getLast().isFull()) {
        to.addLast(new OutputBlock(total, end - at));
      }
      int taken = to.getLast().add(channel, data, at, end);
      at += taken;
      total += taken;
    }
    while (tail.size() > 1 && total - tail.getFirst().end() >= tailBytes) {
      tail.removeFirst();
    }
  }

  /** The attempt is over: nothing more is taken, and the rest may be sent as fast as it can be. */
  synchronized void finish() {
    finished = true;
  }

  /** Nobody wants it: all of it is let go, and nothing more is taken. */
  synchronized void abandon() {
    abandoned = true;
    head.clear();
    tail.clear();
  }

  // -------------------------------------------------------------------- out

  /** Whether {@link #take} would give something. */
  synchronized boolean isDue(long nowNs) {
    if (abandoned || next >= total) {
      return false;
    }
    if (finished) {
      return !fitsInline();
    }
    if (next >= headBytes) {
      return liveFromNs == 0 || nowNs - liveFromNs >= 0;
    }
    return streamed || total > INLINE_BYTES || nowNs - firstUnsentNs >= STREAM_AFTER_NS;
  }

  /** The next pieces, when they are due: about so many bytes, but one piece at least. */
  synchronized List<OutputChunk> take(int mostBytes, long nowNs) {
    if (!isDue(nowNs)) {
      return List.of();
    }
    streamed = true;
    List<OutputChunk> taken = pieces(next, mostBytes);
    long live = 0;
    for (OutputChunk piece : taken) {
      next = piece.getOffset() + piece.getData().size();
      live += piece.getOffset() >= headBytes ? piece.getData().size() : 0;
    }
    if (live > 0) {
      ration(live, nowNs);
    }
    return taken;
  }

  /** Behind the beginning at most the whole end that is kept is sent in a second. */
  private void ration(long bytes, long nowNs) {
    double rate = Math.max(tailBytes, LEAST_LIVE_RATE);
    long earliest = nowNs - LIVE_BURST_NS;
    boolean isBehind = liveFromNs == 0 || liveFromNs - earliest < 0;
    liveFromNs = (isBehind ? earliest : liveFromNs) + (long) (bytes / rate * 1e9);
  }

  /** What is held from a position on; while the attempt runs beginning and end are not mixed. */
  private List<OutputChunk> pieces(long position, int mostBytes) {
    List<OutputChunk> made = new ArrayList<>();
    boolean isBeginning = position < headBytes && !finished;
    int room = mostBytes;
    for (Deque<OutputBlock> blocks : isBeginning ? List.of(head) : List.of(head, tail)) {
      for (OutputBlock block : blocks) {
        while (room > 0 && position < block.end()) {
          long from = Math.max(position, block.offset());
          OutputChunk.Builder piece = block.piece(from, Math.max(room - PIECE_COST, 1));
          made.add(piece.setDroppedBytes(from - position).build());
          room -= piece.getData().size() + PIECE_COST;
          position = from + piece.getData().size();
        }
      }
    }
    if (finished && room > 0 && position < total) {
      // Only when the coordinator has less than it had acknowledged.
      made.add(
          OutputChunk.newBuilder()
              .setOffset(total)
              .setChannel(OutputChannel.OUTPUT_CHANNEL_STDOUT)
              .setDroppedBytes(total - position)
              .build());
    }
    return made;
  }

  /** All of what fits into a report. */
  synchronized List<OutputChunk> all() {
    return pieces(0, Integer.MAX_VALUE);
  }

  // -------------------------------------------------------------------- acknowledged

  /** What is before this offset is durable. */
  synchronized void acknowledge(long offset) {
    durable = Math.max(durable, Math.min(offset, total));
    next = Math.max(next, durable);
    for (Deque<OutputBlock> blocks : List.of(head, tail)) {
      while (!blocks.isEmpty() && blocks.getFirst().end() <= durable) {
        blocks.removeFirst();
      }
    }
  }

  /** The stream is gone: what is not durable is sent again. */
  synchronized void rewind() {
    next = durable;
  }

  /** Of a report that came too soon: the coordinator has what is before this offset, no more. */
  synchronized void missingFrom(long offset) {
    streamed = true;
    durable = Math.min(Math.max(offset, 0), total);
    next = durable;
  }

  synchronized boolean isDurable() {
    return durable >= total;
  }

  /** Whether the whole output may travel in the report; for good once the attempt is over. */
  synchronized boolean fitsInline() {
    return !streamed && total <= INLINE_BYTES;
  }

  /** Offset behind the last byte. */
  synchronized long totalBytes() {
    return total;
  }

  /** What of it is not kept. */
  synchronized long droppedBytes() {
    return Math.max(Math.max(total - headBytes, 0) - tailBytes, 0);
  }

  /** What is held here still. */
  synchronized long heldBytes() {
    long held = 0;
    for (Deque<OutputBlock> blocks : List.of(head, tail)) {
      for (OutputBlock block : blocks) {
        held += block.end() - block.offset();
      }
    }
    return held;
  }
}
