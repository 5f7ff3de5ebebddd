package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DiscoveryTest {
  @TempDir Path temporary;
  Path root;

  @BeforeEach
  void aRepository() throws IOException {
    root = temporary.toRealPath().resolve("repository");
    Files.createDirectories(root.resolve(".git"));
    Files.createDirectories(root.resolve("src/deep"));
  }

  private void aCoordinator(Path state, String address, String token) throws IOException {
    Files.createDirectories(state);
    Files.writeString(
        state.resolve("coordinator.json"),
        "{\"schema_version\": 9, \"address\": \"" + address + "\", \"new\": [1]}");
    Files.writeString(state.resolve("token"), token + "\n");
  }

  private static Target locate(Path from, Map<String, String> environment) {
    return new Discovery(environment, from).locate("", "");
  }

  @Test
  void findsTheWorkspacesOwnFromAnyFolder() throws IOException {
    aCoordinator(root.resolve(".buildrunner"), "unix:/x.sock", "secret");
    Target found = locate(root.resolve("src/deep"), Map.of());
    assertEquals(new Target("unix:/x.sock", "secret"), found);
  }

  @Test
  void allWorktreesShareTheMainOnes() throws IOException {
    aCoordinator(root.resolve(".buildrunner"), "unix:/x.sock", "secret");
    Path git = Files.createDirectories(root.resolve(".git/worktrees/other"));
    Files.writeString(git.resolve("commondir"), "../..\n");
    Path other = Files.createDirectories(temporary.resolve("other"));
    Files.writeString(other.resolve(".git"), "gitdir: " + git + "\n");
    assertEquals("unix:/x.sock", locate(other, Map.of()).address());
  }

  @Test
  void theEnvironmentGoesFirst() throws IOException {
    aCoordinator(root.resolve(".buildrunner"), "unix:/x.sock", "secret");
    Path elsewhere = temporary.resolve("elsewhere");
    aCoordinator(elsewhere, "127.0.0.1:7001", "other");
    assertEquals(
        new Target("127.0.0.1:7001", "other"),
        locate(root, Map.of("BR_STATE_DIR", elsewhere.toString())));
    Path file = Files.writeString(temporary.resolve("token"), "from a file\n");
    assertEquals(
        new Target("localhost:7002", "from a file"),
        locate(root, Map.of("BR_COORDINATOR", "localhost:7002", "BR_TOKEN_FILE", file.toString())));
  }

  @Test
  void aStrangerDoesNotGetTheToken() throws IOException {
    aCoordinator(root.resolve(".buildrunner"), "127.0.0.1:7001", "secret");
    assertEquals("secret", locate(root, Map.of("BR_COORDINATOR", "127.0.0.1:7001")).token());
    assertEquals("", locate(root, Map.of("BR_COORDINATOR", "127.0.0.1:7002")).token());
  }

  @Test
  void saysWhatToDoWhereNoneWasStarted() {
    var e = assertThrows(BuildRunnerException.class, () -> locate(root, Map.of()));
    assertEquals(ErrorKind.UNAVAILABLE, e.kind());
    assertTrue(e.getMessage().contains("br parallel start"), e.getMessage());
  }

  @Test
  void refusesWhatIsNoAddressOrNoToken() {
    for (String text : new String[] {"nowhere", "host:0", "host:99999", ":1", "host:port"}) {
      var e =
          assertThrows(
              BuildRunnerException.class, () -> locate(root, Map.of("BR_COORDINATOR", text)));
      assertEquals(ErrorKind.INVALID, e.kind(), text);
    }
    Map<String, String> missing = Map.of("BR_COORDINATOR", "h:1", "BR_TOKEN_FILE", "/nowhere");
    var e = assertThrows(BuildRunnerException.class, () -> locate(root, missing));
    assertEquals(ErrorKind.UNAUTHENTICATED, e.kind());
  }

  @Test
  void aTargetDoesNotShowItsToken() {
    assertEquals("h:1", new Target("h:1", "secret").toString());
  }
}
