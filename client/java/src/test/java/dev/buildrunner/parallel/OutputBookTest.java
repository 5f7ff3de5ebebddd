package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class OutputBookTest {
  private static final OutputChannel OUT = OutputChannel.OUTPUT_CHANNEL_STDOUT;
  private static final OutputChannel ERR = OutputChannel.OUTPUT_CHANNEL_STDERR;
  private static final int ALL = 1 << 30;
  private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

  private static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private static List<String> shown(List<OutputChunk> chunks) {
    return chunks.stream()
        .map(
            one ->
                one.getOffset()
                    + (one.getChannel() == ERR ? " err " : " out ")
                    + one.getData().toStringUtf8()
                    + (one.getDroppedBytes() > 0 ? " -" + one.getDroppedBytes() : ""))
        .toList();
  }

  /** A book over which so much was written, a byte at a time, to both channels in turn. */
  private static OutputBook alphabet(long head, long tail) {
    OutputBook book = new OutputBook(head, tail);
    for (char letter = 'a'; letter <= 'z'; letter++) {
      book.add(letter % 2 == 0 ? OUT : ERR, bytes(String.valueOf(letter)), 0);
    }
    return book;
  }

  @Test
  void bothChannelsShareOneLineOfOffsets() {
    OutputBook book = new OutputBook(100, 100);
    book.add(OUT, bytes("one "), 0);
    book.add(OUT, bytes("two"), 0);
    book.add(ERR, bytes("three"), 0);
    book.finish();
    assertEquals(List.of("0 out one two", "7 err three"), shown(book.all()));
    assertEquals(12, book.totalBytes());
  }

  @Test
  void eachByteMayBeOfAnotherChannel() {
    OutputBook book = alphabet(100, 100);
    book.finish();
    List<String> shown = shown(book.all());
    assertEquals(26, shown.size());
    assertEquals(List.of("0 err a", "1 out b", "2 err c"), shown.subList(0, 3));
    assertEquals("25 out z", shown.get(25));
  }

  @Test
  void theMiddleFallsOutAndIsCounted() {
    OutputBook book = new OutputBook(100_000, 70_000);
    ByteString written = ByteString.EMPTY;
    for (int number = 0; number < 100; number++) {
      ByteString piece = bytes(("" + number % 10).repeat(10_007));
      book.add(number % 3 == 0 ? ERR : OUT, piece, 0);
      written = written.concat(piece);
    }
    book.finish();
    ByteString kept = ByteString.EMPTY;
    long next = 0;
    long dropped = 0;
    for (List<OutputChunk> some = book.take(5_000, 0);
        !some.isEmpty();
        some = book.take(5_000, 0)) {
      for (OutputChunk chunk : some) {
        assertEquals(next, chunk.getOffset() - chunk.getDroppedBytes());
        next = chunk.getOffset() + chunk.getData().size();
        dropped += chunk.getDroppedBytes();
        kept = kept.concat(chunk.getData());
      }
    }
    assertEquals(written.size(), next);
    assertEquals(written.size(), kept.size() + dropped);
    assertTrue(dropped > 0 && kept.size() < 100_000 + 70_000 + 2 * (64 << 10), "" + dropped);
    assertTrue(kept.startsWith(written.substring(0, 100_000)));
    assertTrue(kept.endsWith(written.substring(written.size() - 70_000)));
    assertEquals(written.size() - 170_000, book.droppedBytes());
  }

  @Test
  void nothingIsHeldBeyondWhatMustBeKept() {
    OutputBook book = new OutputBook(1 << 20, 1 << 20);
    ByteString piece = bytes("x".repeat(64 << 10));
    for (int number = 0; number < 1_000; number++) {
      book.add(OUT, piece, 0);
      assertTrue(book.heldBytes() <= (2 << 20) + (64 << 10), "" + book.heldBytes());
    }
  }

  @Test
  void whatIsDurableIsLetGo() {
    OutputBook book = new OutputBook(1 << 20, 1 << 20);
    book.add(OUT, bytes("x".repeat(100_000)), 0);
    assertEquals(100_000, sizeOf(book.take(ALL, 0)));
    assertEquals(100_000, book.heldBytes());
    book.acknowledge(64 << 10);
    assertEquals(100_000 - (64 << 10), book.heldBytes());
    book.add(ERR, bytes("more"), 0);
    book.acknowledge(100_000);
    assertFalse(book.isDurable());
    assertEquals(List.of("100000 err more"), shown(book.take(ALL, 0)));
    book.acknowledge(100_004);
    assertTrue(book.isDurable());
    assertEquals(0, book.heldBytes());
  }

  private static int sizeOf(List<OutputChunk> chunks) {
    return chunks.stream().mapToInt(one -> one.getData().size()).sum();
  }

  @Test
  void behindABreakItGoesOnFromWhatIsDurable() {
    OutputBook book = new OutputBook(100, 100);
    book.add(OUT, bytes("abcdef"), 0);
    assertEquals(List.of("0 out abc"), shown(book.take(3 + OutputBook.PIECE_COST, SECOND)));
    assertEquals(List.of("3 out def"), shown(book.take(ALL, SECOND)));
    assertEquals(List.of(), book.take(ALL, SECOND));
    book.acknowledge(2);
    book.rewind();
    assertEquals(List.of("2 out cdef"), shown(book.take(ALL, SECOND)));
  }

  @Test
  void smallOutputWaitsAWhileForTheReport() {
    OutputBook book = new OutputBook(100_000, 100_000);
    book.add(OUT, bytes("a"), SECOND);
    assertFalse(book.isDue(SECOND));
    assertFalse(book.isDue(SECOND + OutputBook.STREAM_AFTER_NS - 1));
    assertTrue(book.isDue(SECOND + OutputBook.STREAM_AFTER_NS));
    book.finish();
    assertTrue(book.fitsInline());
    assertFalse(book.isDue(9 * SECOND));
  }

  @Test
  void whatWasStreamedOnceNeverTravelsInTheReport() {
    OutputBook book = new OutputBook(100_000, 100_000);
    book.add(OUT, bytes("a"), 0);
    book.take(ALL, SECOND);
    book.add(OUT, bytes("b"), SECOND);
    assertTrue(book.isDue(SECOND));
    book.finish();
    assertFalse(book.fitsInline());
    assertEquals(List.of("1 out b"), shown(book.take(ALL, SECOND)));
  }

  @Test
  void largeOutputDoesNotWait() {
    OutputBook book = new OutputBook(100_000, 100_000);
    book.add(OUT, bytes("x".repeat(33_000)), 0);
    assertTrue(book.isDue(0));
    book.finish();
    assertFalse(book.fitsInline());
    assertTrue(book.isDue(0));
  }

  @Test
  void behindTheBeginningASecondTakesNoMoreThanTheEndThatIsKept() {
    long tail = 128 << 10;
    OutputBook book = new OutputBook(10, tail);
    ByteString piece = bytes("x".repeat(4 << 10));
    long sent = 0;
    for (long now = SECOND; now < 11 * SECOND; now += SECOND / 1_000) {
      book.add(OUT, piece, now);
      sent += sizeOf(book.take(16 << 10, now));
    }
    assertTrue(sent <= tail * 10.5, "too much: " + sent);
    assertTrue(sent >= tail * 9.5, "too little: " + sent);
    book.finish();
    assertTrue(book.isDue(11 * SECOND));
    book.take(ALL, 11 * SECOND);
    book.acknowledge(book.totalBytes());
    assertTrue(book.isDurable());
  }

  @Test
  void whatACoordinatorHasLostIsToldAsMissing() {
    OutputBook book = new OutputBook(100, 100);
    book.add(OUT, bytes("abc"), 0);
    book.take(ALL, SECOND);
    book.acknowledge(3);
    book.finish();
    book.missingFrom(1);
    assertFalse(book.isDurable());
    assertEquals(List.of("3 out  -2"), shown(book.take(ALL, SECOND)));
  }

  @Test
  void whatNobodyWantsTakesNoMemory() {
    OutputBook book = alphabet(10, 10);
    book.abandon();
    book.add(OUT, bytes("more"), 0);
    assertEquals(0, book.heldBytes());
    assertFalse(book.isDue(SECOND));
  }

  @Test
  void whatComesBehindTheEndDoesNotCount() {
    OutputBook book = alphabet(100, 100);
    book.finish();
    book.add(OUT, bytes("more"), 0);
    assertEquals(26, book.totalBytes());
  }
}
