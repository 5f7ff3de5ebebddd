package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import java.util.List;
import org.junit.jupiter.api.Test;

class OutputBookTest {
  private static final OutputChannel OUT = OutputChannel.OUTPUT_CHANNEL_STDOUT;
  private static final OutputChannel ERR = OutputChannel.OUTPUT_CHANNEL_STDERR;

  private static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  @Test
  void bothChannelsShareOneLineOfOffsets() {
    OutputBook book = new OutputBook(100, 100);
    book.add(OUT, bytes("one "));
    book.add(OUT, bytes("two"));
    book.add(ERR, bytes("three"));
    List<OutputChunk> chunks = book.chunks();
    assertEquals("one two", chunks.get(0).getData().toStringUtf8());
    assertEquals(7, chunks.get(1).getOffset());
    assertEquals(ERR, chunks.get(1).getChannel());
    assertEquals(12, book.totalBytes());
  }

  @Test
  void theMiddleFallsOutAndIsCounted() {
    OutputBook book = new OutputBook(4, 4);
    for (char letter = 'a'; letter <= 'z'; letter++) {
      // Pieces of a channel join, so the channels alternate.
      book.add(letter % 2 == 0 ? OUT : ERR, bytes(String.valueOf(letter)));
    }
    StringBuilder kept = new StringBuilder();
    long next = 0;
    for (OutputChunk chunk : book.chunks()) {
      assertEquals(next, chunk.getOffset() - chunk.getDroppedBytes());
      next = chunk.getOffset() + chunk.getData().size();
      kept.append(chunk.getData().toStringUtf8());
    }
    assertEquals("abcdwxyz", kept.toString());
    assertEquals(18, book.droppedBytes());
    assertEquals(26, book.totalBytes());
  }
}
