package dev.buildrunner.parallel;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Finds the coordinator as the command line does. */
final class Discovery {
  private static final String STATE_DIRECTORY = ".buildrunner";
  private static final Pattern HOST_AND_PORT = Pattern.compile("(.+):([0-9]{1,5})");

  private final Map<String, String> environment;
  private final Path from;

  /** {@code from}: the directory that the caller is in. */
  Discovery(Map<String, String> environment, Path from) {
    this.environment = environment;
    this.from = from.toAbsolutePath().normalize();
  }

  Target locate(String coordinator, String token) {
    Optional<String> given = givenToken(token);
    String asked = coordinator.isBlank() ? variable("BR_COORDINATOR") : coordinator.strip();
    if (!asked.isEmpty()) {
      String address = normalised(asked);
      return new Target(address, given.orElseGet(() -> tokenBeside(address)));
    }
    Target own =
        saidBy(state())
            .orElseThrow(
                () ->
                    new BuildRunnerException(
                        ErrorKind.UNAVAILABLE,
                        "",
                        "no coordinator has been started in "
                            + root()
                            + "; `br parallel start` or `br parallel serve` does"));
    return new Target(own.address(), given.orElse(own.token()));
  }

  /** Where the local coordinator keeps its state. */
  Path state() {
    String told = variable("BR_STATE_DIR");
    return told.isEmpty() ? root().resolve(STATE_DIRECTORY) : from.resolve(told);
  }

  /** The root that all worktrees of the repository share. */
  Path root() {
    Path start = real(from);
    Path worktree = nearest(start, ".git").or(() -> nearest(start, STATE_DIRECTORY)).orElse(start);
    return mainWorktree(worktree);
  }

  private static Path mainWorktree(Path worktree) {
    Path dotGit = worktree.resolve(".git");
    if (!Files.isRegularFile(dotGit)) {
      return worktree;
    }
    Optional<Path> common =
        linked(dotGit, "gitdir:")
            .flatMap(git -> linked(git.resolve("commondir"), ""))
            .filter(Files::isDirectory);
    if (common.isEmpty()) {
      return worktree;
    }
    return common.get().endsWith(".git") ? common.get().getParent() : common.get();
  }

  /** The path that {@code file} names, relative to where it is. */
  private static Optional<Path> linked(Path file, String prefix) {
    return readLine(file)
        .filter(text -> text.startsWith(prefix))
        .map(text -> real(file.resolveSibling(text.substring(prefix.length()).strip())));
  }

  private static Path real(Path path) {
    try {
      return path.toRealPath();
    } catch (IOException e) {
      return path.toAbsolutePath().normalize();
    }
  }

  private static Optional<Path> nearest(Path start, String name) {
    for (Path folder = start; folder != null; folder = folder.getParent()) {
      if (Files.exists(folder.resolve(name))) {
        return Optional.of(folder);
      }
    }
    return Optional.empty();
  }

  private String normalised(String text) {
    if (text.startsWith("/")) {
      return "unix:" + text;
    }
    if (text.startsWith("unix:")) {
      String path = text.substring(5).replaceFirst("^//+", "/");
      try {
        return "unix:" + from.resolve(path).normalize();
      } catch (InvalidPathException e) {
        throw noAddress(text);
      }
    }
    Matcher match = HOST_AND_PORT.matcher(text);
    if (match.matches()) {
      int port = Integer.parseInt(match.group(2));
      if (port > 0 && port < 65536) {
        return text;
      }
    }
    throw noAddress(text);
  }

  private static BuildRunnerException noAddress(String text) {
    return new BuildRunnerException(
        ErrorKind.INVALID,
        "INVALID",
        "'" + text + "' is no coordinator address; give unix:PATH or HOST:PORT");
  }

  private static Optional<Target> saidBy(Path state) {
    Optional<String> text = readLine(state.resolve("coordinator.json"));
    if (text.isEmpty()) {
      return Optional.empty();
    }
    try {
      JsonElement address = JsonParser.parseString(text.get()).getAsJsonObject().get("address");
      if (address == null || !address.isJsonPrimitive() || address.getAsString().isEmpty()) {
        return Optional.empty();
      }
      String token = readLine(state.resolve("token")).orElse("");
      return Optional.of(new Target(address.getAsString(), token));
    } catch (JsonParseException | IllegalStateException e) {
      return Optional.empty();
    }
  }

  /** The local coordinator's token when the address is its own; a stranger never gets one. */
  private String tokenBeside(String address) {
    Optional<Target> own = saidBy(state()).filter(target -> target.address().equals(address));
    if (own.isEmpty() && address.startsWith("unix:")) {
      Path folder = Path.of(address.substring(5)).getParent();
      own = saidBy(folder).filter(target -> target.address().equals(address));
    }
    return own.map(Target::token).orElse("");
  }

  private Optional<String> givenToken(String token) {
    if (!token.isEmpty()) {
      return Optional.of(token);
    }
    if (!variable("BR_TOKEN").isEmpty()) {
      return Optional.of(variable("BR_TOKEN"));
    }
    String file = variable("BR_TOKEN_FILE");
    if (file.isEmpty()) {
      return Optional.empty();
    }
    Optional<String> read = readLine(from.resolve(file)).filter(text -> !text.isEmpty());
    if (read.isEmpty()) {
      throw new BuildRunnerException(
          ErrorKind.UNAUTHENTICATED,
          "",
          "no token can be read from " + file + "; check the path and its permissions");
    }
    return read;
  }

  private String variable(String name) {
    return environment.getOrDefault(name, "").strip();
  }

  private static Optional<String> readLine(Path file) {
    try {
      return Optional.of(new String(Files.readAllBytes(file), StandardCharsets.UTF_8).strip());
    } catch (IOException e) {
      return Optional.empty();
    }
  }
}
