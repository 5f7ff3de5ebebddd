package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import java.util.Arrays;

/**
 * Up to 64 KiB of output that follow on each other, and which channel wrote which part: four bytes
 * for each change of channel, however small the parts are.
 */
final class OutputBlock {
  static final int CAPACITY = 64 << 10;

  private static final int FIRST_BYTES = 256;

  private final long offset;
  private byte[] data;
  private int size;
  private int[] runs = new int[4]; // where each begins, doubled, plus one for standard error
  private int runCount;

  /** {@code expected}: so much is about to be added. */
  OutputBlock(long offset, int expected) {
    this.offset = offset;
    this.data = new byte[Math.min(Math.max(expected, FIRST_BYTES), CAPACITY)];
  }

  long offset() {
    return offset;
  }

  long end() {
    return offset + size;
  }

  boolean isFull() {
    return size == CAPACITY;
  }

  /** Takes so much of the bytes from an index to another as there is room for; returns how much. */
  int add(OutputChannel channel, ByteString from, int begin, int end) {
    int taken = Math.min(end - begin, CAPACITY - size);
    if (size + taken > data.length) {
      data = Arrays.copyOf(data, Math.min(Math.max(data.length * 2, size + taken), CAPACITY));
    }
    from.substring(begin, begin + taken).copyTo(data, size);
    int mark = channel == OutputChannel.OUTPUT_CHANNEL_STDERR ? 1 : 0;
    if (runCount == 0 || (runs[runCount - 1] & 1) != mark) {
      if (runCount == runs.length) {
        runs = Arrays.copyOf(runs, runCount * 2);
      }
      runs[runCount++] = size << 1 | mark;
    }
    size += taken;
    return taken;
  }

  /** What follows at an offset of this block: of one channel, and at most so many bytes. */
  OutputChunk.Builder piece(long from, int most) {
    int begin = Math.toIntExact(from - offset);
    int run = runAt(begin);
    int end = run + 1 < runCount ? runs[run + 1] >> 1 : size;
    boolean isError = (runs[run] & 1) == 1;
    return OutputChunk.newBuilder()
        .setOffset(from)
        .setChannel(
            isError ? OutputChannel.OUTPUT_CHANNEL_STDERR : OutputChannel.OUTPUT_CHANNEL_STDOUT)
        .setData(ByteString.copyFrom(data, begin, Math.min(end - begin, most)));
  }

  private int runAt(int position) {
    // The last one that begins there or before: none begins behind 2 * position + 1.
    int found = Arrays.binarySearch(runs, 0, runCount, position << 1 | 1);
    return found >= 0 ? found : -found - 2;
  }
}
