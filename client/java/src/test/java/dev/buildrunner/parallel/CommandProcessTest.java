package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.TaskSpec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CommandProcessTest {
  @TempDir Path folder;
  private final OutputBook output = new OutputBook(1 << 20, 1 << 20);

  private CommandProcess start(List<String> argv) throws CommandProcess.NotStarted {
    // Every attempt's id is its own: by it the guardian knows what belongs to the command.
    String attempt = Calls.randomId();
    return CommandProcess.start(attempt, argv, environment -> {}, folder.toString(), this::take);
  }

  private void take(OutputChannel channel, ByteString data) {
    output.add(channel, data, System.nanoTime());
  }

  private CommandProcess.Exit run(String... argv) throws Exception {
    CommandProcess process = start(List.of(argv));
    while (!process.hasEnded()) {
      Thread.sleep(1);
    }
    return process.finish();
  }

  private CommandProcess.Exit shell(String line) throws Exception {
    return run("/bin/sh", "-c", line);
  }

  private String written() {
    StringBuilder all = new StringBuilder();
    output.all().forEach(chunk -> all.append(chunk.getData().toStringUtf8()));
    return all.toString();
  }

  @Test
  void anExitCodeIsNoSignal() throws Exception {
    assertEquals(0, shell("true").code());
    assertEquals(37, shell("exit 37").code());
    CommandProcess.Exit exit = shell("exit 137");
    assertEquals(137, exit.code());
    assertEquals(0, exit.signal());
  }

  @Test
  void aSignalIsNoExitCode() throws Exception {
    CommandProcess.Exit exit = shell("kill -KILL $$");
    assertEquals(-1, exit.code());
    assertEquals(9, exit.signal());
    assertEquals(15, shell("kill -TERM $$").signal());
  }

  @Test
  void noShellTouchesTheWords() throws Exception {
    run("printf", "%s|", "a b", "$HOME", "*", "", "\u00e4", "-n", "'\"\\");
    assertEquals("a b|$HOME|*||\u00e4|-n|'\"\\|", written());
  }

  @Test
  void readsNothingAndWritesToBothChannels() throws Exception {
    shell("cat; echo out; echo err >&2");
    assertTrue(written().contains("out\n") && written().contains("err\n"), written());
    assertEquals(8, output.totalBytes());
  }

  @Test
  void hasTheSignalsOfTheKeyboardAsTheyAre() throws Exception {
    assertEquals(2, shell("kill -INT $$; exit 0").signal());
  }

  @Test
  void aSignalGoesToTheWholeGroup() throws Exception {
    CommandProcess process =
        start(List.of("/bin/sh", "-c", "sleep 600 & echo $! > child; wait; wait"));
    Path child = folder.resolve("child");
    while (!Files.exists(child) || Files.readString(child).isBlank()) {
      Thread.sleep(1);
    }
    process.signal("TERM");
    while (!process.hasEnded()) {
      Thread.sleep(1);
    }
    assertEquals(15, process.finish().signal());
    assertFalse(isAlive(Files.readString(child)));
  }

  @Test
  void whatItLeavesBehindEndsWithIt() throws Exception {
    shell(
        "sleep 600 & echo $! > same;"
            + " setsid sh -c 'echo $$ > other; exec sleep 600' &"
            + " env -i setsid sh -c 'echo $$ > hidden; exec sleep 600' &"
            + " until [ -s other ] && [ -s hidden ]; do sleep 0.01; done");
    assertFalse(isAlive(Files.readString(folder.resolve("same"))));
    assertFalse(isAlive(Files.readString(folder.resolve("other"))), "one with another group");
    assertFalse(isAlive(Files.readString(folder.resolve("hidden"))), "one without our variables");
  }

  /**
   * A worker in Java that is a command itself: its guardians outlive it for as long as they must.
   */
  @Test
  void theGuardianOfACommandWithinIsNotKilledBeforeItsWorkIsDone() throws Exception {
    Files.writeString(folder.resolve("guardian.sh"), CommandProcess.SCRIPT);
    CommandProcess process =
        start(
            List.of(
                "/bin/sh",
                "-c",
                "mkfifo life; env -u BR_ATTEMPT_ID setsid sh guardian.sh within 123456789012345 --"
                    + " sh -c 'echo $$ > inner; exec sleep 600' < life > first &"
                    + " exec 3> life; until [ -s first ]; do sleep 0.01; done;"
                    + " echo \"group $(cat first)\" >&3; until [ -s inner ]; do sleep 0.01; done;"
                    + " grep resident /proc/self/limits > marked;"
                    + " grep resident /proc/$!/limits > guardian"));
    while (!process.hasEnded()) {
      Thread.sleep(1);
    }
    process.finish();
    assertNotEquals(
        Files.readString(folder.resolve("marked")), Files.readString(folder.resolve("guardian")));
    assertFalse(isAlive(Files.readString(folder.resolve("inner"))));
  }

  /** Ended, or (until somebody asks for its status) as good as; that may take a moment. */
  private static boolean isAlive(String pid) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
    while (isRunning(pid.strip())) {
      if (System.nanoTime() - end > 0) {
        return true;
      }
      Thread.sleep(10);
    }
    return false;
  }

  private static boolean isRunning(String pid) {
    try {
      return !Files.readString(Path.of("/proc/" + pid + "/stat")).contains(") Z ");
    } catch (IOException e) {
      return false;
    }
  }

  @Test
  void saysWhyItCannotStart() {
    assertTrue(refusal(List.of("no-such-program")).contains("not on the PATH"));
    assertTrue(refusal(List.of("./nothing")).contains("is not there"));
    assertTrue(refusal(List.of("/")).contains("cannot be run"));
    var e =
        assertThrows(
            CommandProcess.NotStarted.class,
            () -> CommandProcess.start("a", List.of("true"), env -> {}, "/nowhere", this::take));
    assertTrue(e.getMessage().contains("/nowhere"), e.getMessage());
  }

  private String refusal(List<String> argv) {
    var e = assertThrows(CommandProcess.NotStarted.class, () -> start(argv));
    assertFalse(e.isWorkersFault);
    return e.getMessage();
  }

  @Test
  void theEnvironmentIsWhatIsAllowedAndAsked() {
    Map<String, String> environment =
        new java.util.HashMap<>(
            Map.of("PATH", "/bin", "SECRET", "1", "LC_ALL", "C", "BR_TOKEN", "2", "A", "own"));
    TaskSpec spec =
        TaskSpec.newBuilder()
            .putPassedEnvironment("A", "passed")
            .putPassedEnvironment("B", "passed")
            .putEnvironment("B", "set")
            .putEnvironment("BR_TOKEN_FILE", "3")
            .putEnvironment("BR_TASK_ID", "forged")
            .build();
    TaskEnvironment.prepare(environment, spec, Map.of("BR_TASK_ID", "t1"));
    assertEquals(
        Map.of("PATH", "/bin", "LC_ALL", "C", "A", "passed", "B", "set", "BR_TASK_ID", "t1"),
        environment);
  }
}
