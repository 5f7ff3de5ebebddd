package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class TextTest {
  @Test
  void oneLineOfSoManyBytes() {
    assertEquals("a b", Text.oneLine("a\nb", 10));
    assertEquals("\u00e4", Text.oneLine("\u00e4\u00e4", 3));
    assertEquals("\uFFFD!", Text.oneLine("\uD83D!", 10));
    assertEquals("", Text.oneLine("\uD83D\uDE00", 3));
  }

  @Test
  void theLastLineThatSaysSomething() {
    assertEquals("last", Text.lastLine("first\r\n last \n\n"));
    assertEquals("", Text.lastLine(" \n"));
  }
}
