package dev.buildrunner.parallel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/** A folder for the files of one task, which goes with it. */
final class TaskFolder implements AutoCloseable {
  private final Path path = Files.createTempDirectory("br-task-");

  TaskFolder() throws IOException {}

  Path file(String name) {
    return path.resolve(name);
  }

  /** What the task has written there; nothing if it is empty, or more than {@code most} bytes. */
  Optional<byte[]> read(String name, long most) {
    try {
      if (!Files.isRegularFile(file(name)) || Files.size(file(name)) > most) {
        return Optional.empty();
      }
      return Optional.of(Files.readAllBytes(file(name))).filter(data -> data.length > 0);
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  @Override
  public void close() {
    remove(path);
  }

  private static void remove(Path path) {
    try {
      if (Files.isDirectory(path, java.nio.file.LinkOption.NOFOLLOW_LINKS)) {
        try (Stream<Path> children = Files.list(path)) {
          children.forEach(TaskFolder::remove);
        }
      }
      Files.deleteIfExists(path);
    } catch (IOException e) {
      // Made unwritable by the task itself: it is below the system's folder for such things.
    }
  }
}
