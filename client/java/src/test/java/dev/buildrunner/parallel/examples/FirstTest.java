package dev.buildrunner.parallel.examples;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class FirstTest {
  /** It is compiled with the tests; so what the README shows compiles too. */
  @Test
  void theReadmeShowsTheProgramThatIsCompiledHere() throws Exception {
    String readme = Files.readString(Path.of("README.md"));
    String source =
        Files.readString(Path.of("src/test/java/dev/buildrunner/parallel/examples/First.java"));
    String shown = source.substring(source.indexOf("public class"));
    assertTrue(readme.contains("```java\nimport dev.buildrunner.parallel.Client;\n"), "imports");
    assertTrue(readme.contains(shown + "```"), "the program");
  }
}
