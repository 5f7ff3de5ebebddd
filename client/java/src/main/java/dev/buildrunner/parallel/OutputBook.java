package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Output in the order read: so much of its beginning, so much of its end, and how much is missing
 * between.
 */
final class OutputBook {
  private static final int CHUNK_BYTES = 64 << 10;

  private final long headBytes;
  private final long tailBytes;
  private final Deque<OutputChunk> head = new ArrayDeque<>();
  private final Deque<OutputChunk> tail = new ArrayDeque<>();
  private long total;
  private long dropped;
  private long tailSize;

  OutputBook(long headBytes, long tailBytes) {
    this.headBytes = headBytes;
    this.tailBytes = tailBytes;
  }

  synchronized void add(OutputChannel channel, ByteString data) {
    int room = (int) Math.min(Math.max(headBytes - total, 0), data.size());
    if (room > 0) {
      append(head, channel, data.substring(0, room));
    }
    for (int at = room; at < data.size(); ) {
      ByteString piece = data.substring(at, Math.min(at + CHUNK_BYTES, data.size()));
      append(tail, channel, piece);
      tailSize += piece.size();
      at += piece.size();
    }
    // The oldest of the tail goes, whole pieces, while what is left is as much as must be kept.
    while (tail.size() > 1 && tailSize - tail.getFirst().getData().size() >= tailBytes) {
      int size = tail.removeFirst().getData().size();
      tailSize -= size;
      dropped += size;
    }
  }

  private void append(Deque<OutputChunk> to, OutputChannel channel, ByteString data) {
    OutputChunk last = to.peekLast();
    boolean joins =
        last != null
            && last.getChannel() == channel
            && last.getData().size() + data.size() <= CHUNK_BYTES;
    if (joins) {
      to.removeLast();
      to.addLast(last.toBuilder().setData(last.getData().concat(data)).build());
    } else {
      to.addLast(
          OutputChunk.newBuilder().setOffset(total).setChannel(channel).setData(data).build());
    }
    total += data.size();
  }

  /** All that is kept, in order; the first piece behind what is missing says how much that is. */
  synchronized List<OutputChunk> chunks() {
    List<OutputChunk> all = new ArrayList<>(head);
    all.addAll(tail);
    if (dropped > 0) {
      int first = head.size();
      all.set(first, all.get(first).toBuilder().setDroppedBytes(dropped).build());
    }
    return all;
  }

  /** Offset behind the last byte. */
  synchronized long totalBytes() {
    return total;
  }

  synchronized long droppedBytes() {
    return dropped;
  }
}
