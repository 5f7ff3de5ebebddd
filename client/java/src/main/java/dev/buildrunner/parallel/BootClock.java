package dev.buildrunner.parallel;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** A clock that runs while the machine sleeps, as leases do; elsewhere than on Linux it stops. */
final class BootClock {
  private static final Path UPTIME = Path.of("/proc/uptime");
  private static final boolean HAS_UPTIME = Files.isReadable(UPTIME);

  private BootClock() {}

  /** Milliseconds since some moment in the past, in steps of 10. */
  static long nowMs() {
    if (HAS_UPTIME) {
      try {
        String text = new String(Files.readAllBytes(UPTIME), StandardCharsets.US_ASCII);
        return (long) (Double.parseDouble(text.substring(0, text.indexOf(' '))) * 1000);
      } catch (IOException e) {
        // /proc has gone while we run: nothing that reads from it works any more.
        throw new java.io.UncheckedIOException(e);
      }
    }
    return System.nanoTime() / 1_000_000;
  }
}
