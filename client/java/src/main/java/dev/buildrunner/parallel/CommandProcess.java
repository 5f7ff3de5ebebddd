package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.Charset;
import java.nio.charset.CharsetEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * One command as a session and process group of its own, which cannot outlive its worker: a small
 * script, guardian.sh, stands between the two and kills all that belongs to the command when it has
 * ended, and when the worker is gone, however that happened.
 */
final class CommandProcess {
  /** It could not be started; the message says why. */
  static final class NotStarted extends Exception {
    private static final long serialVersionUID = 1L;
    final boolean isWorkersFault;

    NotStarted(String message, boolean isWorkersFault) {
      super(message);
      this.isWorkersFault = isWorkersFault;
    }
  }

  /**
   * How it ended: one of both is set.
   *
   * @param code when it ended by itself, else -1
   * @param signal when a signal ended it, else 0
   */
  record Exit(int code, int signal, long userMs, long systemMs) {}

  static final String SCRIPT = script();
  private static final String ENV_OPTION = envOption();
  private static final long LEAST_MARK = 1L << 48; // in KiB; see guardian.sh
  private static final long MS_PER_TICK = 10;
  private static final long LAST_WORDS_MS = 1_000;

  private final Process guardian;
  private final OutputStream lifeline;
  private final long pid;
  private final List<Thread> readers = new ArrayList<>();
  private int status; // as wait(2) has it; 0 when it is not known
  private long userTicks;
  private long systemTicks;

  /** Whether commands can be run on this system at all. */
  static boolean isSupported() {
    return Files.isReadable(Path.of("/proc/self/stat"));
  }

  /**
   * Starts a program in a directory, with nothing on its standard input. What it writes goes to
   * {@code output}, from threads of its own.
   *
   * @param prepare makes the worker's environment, which it gets, that of the command
   */
  static CommandProcess start(
      String attemptId,
      List<String> argv,
      Consumer<Map<String, String>> prepare,
      String directory,
      BiConsumer<OutputChannel, ByteString> output)
      throws NotStarted {
    List<String> words = new ArrayList<>(List.of("setsid", "/bin/sh", "-c", SCRIPT, "br-guardian"));
    words.add(attemptId);
    words.add(Long.toString(ThreadLocalRandom.current().nextLong(LEAST_MARK, LEAST_MARK * 8)));
    words.add(ENV_OPTION);
    words.addAll(argv);
    ProcessBuilder builder = new ProcessBuilder(words).directory(new File(directory));
    try {
      prepare.accept(builder.environment());
      // The guardian gives it to the command; whoever has it belongs to the command, and is killed.
      builder.environment().remove("BR_ATTEMPT_ID");
    } catch (IllegalArgumentException e) {
      throw new NotStarted("its environment cannot be set: " + e.getMessage(), false);
    }
    refuseUnfit(argv, builder.environment(), directory);
    try {
      return new CommandProcess(builder.start(), output);
    } catch (IOException e) {
      throw new NotStarted("no process can be made: " + e.getMessage(), true);
    }
  }

  private CommandProcess(Process guardian, BiConsumer<OutputChannel, ByteString> output)
      throws IOException {
    this.guardian = guardian;
    this.lifeline = guardian.getOutputStream();
    String line = firstLine(guardian.getInputStream());
    if (!line.matches("[0-9]{1,18}")) {
      lifeline.close();
      String told = new String(guardian.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
      throw new IOException(told.isBlank() ? "the guardian ended" : told.strip());
    }
    this.pid = Long.parseLong(line);
    tell("group " + pid);
    read(OutputChannel.OUTPUT_CHANNEL_STDOUT, guardian.getInputStream(), output);
    read(OutputChannel.OUTPUT_CHANNEL_STDERR, guardian.getErrorStream(), output);
  }

  private static String firstLine(InputStream in) throws IOException {
    StringBuilder line = new StringBuilder();
    for (int next = in.read(); next >= 0 && next != '\n'; next = in.read()) {
      line.append((char) next);
    }
    return line.toString();
  }

  private void read(
      OutputChannel channel, InputStream in, BiConsumer<OutputChannel, ByteString> output) {
    Runnable work =
        () -> {
          byte[] buffer = new byte[64 << 10];
          try {
            for (int size = in.read(buffer); size >= 0; size = in.read(buffer)) {
              output.accept(channel, ByteString.copyFrom(buffer, 0, size));
            }
          } catch (IOException e) {
            // Closed by finish(): somebody out of reach has kept it open.
          }
        };
    Thread thread = new Thread(work, "br-output-" + pid);
    thread.setDaemon(true);
    thread.start();
    readers.add(thread);
  }

  long pid() {
    return pid;
  }

  /** Sends a signal, such as "TERM", to all processes of the group. */
  void signal(String name) {
    tell(name);
  }

  private void tell(String line) {
    try {
      lifeline.write((line + "\n").getBytes(StandardCharsets.US_ASCII));
      lifeline.flush();
    } catch (IOException e) {
      // Somebody has killed the guardian; then at least the command itself.
      ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    }
  }

  /** Whether the command has ended; what it has started may still be there. */
  boolean hasEnded() {
    if (!guardian.isAlive()) {
      return true;
    }
    try {
      String stat =
          Files.readString(Path.of("/proc/" + pid + "/stat"), StandardCharsets.ISO_8859_1);
      // Behind the name, which may contain anything: state, ...; see proc(5).
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
      if (!fields[0].equals("Z")) {
        return false;
      }
      userTicks = Long.parseLong(fields[11]) + Long.parseLong(fields[13]);
      systemTicks = Long.parseLong(fields[12]) + Long.parseLong(fields[14]);
      status = Integer.parseInt(fields[49].strip());
      return true;
    } catch (IOException e) {
      return true; // A shell that asks for the status of its jobs at once; it will tell.
    }
  }

  /** Kills what is left of it, and takes the rest of its output. */
  Exit finish() throws InterruptedException {
    try {
      lifeline.close();
    } catch (IOException e) {
      // It is gone.
    }
    guardian.waitFor();
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LAST_WORDS_MS);
    for (Thread reader : readers) {
      reader.join(Math.max(TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime()), 1));
    }
    guardian.destroyForcibly(); // Closes the pipes.
    int signal = status & 0x7f;
    int code = status >> 8;
    if (status == 0) {
      // It succeeded, or its status is not for us to see: then as shells tell it.
      int told = guardian.exitValue();
      signal = told > 128 && told <= 128 + 64 ? told - 128 : 0;
      code = told;
    }
    return new Exit(
        signal == 0 ? code : -1, signal, userTicks * MS_PER_TICK, systemTicks * MS_PER_TICK);
  }

  // ----------------------------------------------------------------- before the start

  private static void refuseUnfit(
      List<String> argv, Map<String, String> environment, String directory) throws NotStarted {
    if (!Files.isDirectory(Path.of(directory))) {
      throw new NotStarted("directory '" + directory + "' cannot be entered", false);
    }
    CharsetEncoder encoder = Charset.defaultCharset().newEncoder();
    List<String> all = new ArrayList<>(argv);
    all.addAll(environment.values());
    all.add(directory);
    for (String text : all) {
      if (!encoder.canEncode(text)) {
        String how = "; start it in a UTF-8 locale or with java -Dfile.encoding=UTF-8";
        throw new NotStarted(
            "the worker cannot pass '" + text + "' in its charset " + encoder.charset() + how,
            true);
      }
      if (text.indexOf('\0') >= 0) {
        throw new NotStarted("a word of it has a NUL character in it", false);
      }
    }
    findProgram(argv.get(0), environment.getOrDefault("PATH", ""), Path.of(directory));
  }

  /** Whether the program is where it would be looked for. */
  private static void findProgram(String name, String path, Path directory) throws NotStarted {
    if (name.contains("/")) {
      Path program = directory.resolve(name);
      if (!Files.isRegularFile(program) || !Files.isExecutable(program)) {
        String why = Files.exists(program) ? "cannot be run" : "is not there";
        throw new NotStarted("program '" + name + "' " + why, false);
      }
      return;
    }
    for (String place : (path.isEmpty() ? "/usr/local/bin:/usr/bin:/bin" : path).split(":", -1)) {
      Path program = directory.resolve(place).resolve(name);
      if (!name.isEmpty() && Files.isRegularFile(program) && Files.isExecutable(program)) {
        return;
      }
    }
    throw new NotStarted("program '" + name + "' is not on the PATH", false);
  }

  private static String script() {
    try (InputStream in = CommandProcess.class.getResourceAsStream("guardian.sh")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static String envOption() {
    String wanted = "--default-signal=INT,QUIT";
    try {
      Process probe =
          new ProcessBuilder("env", wanted, "true")
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start();
      return probe.waitFor() == 0 ? wanted : "--";
    } catch (IOException e) {
      return "--";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "--";
    }
  }
}
