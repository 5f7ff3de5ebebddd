package dev.buildrunner.parallel.examples;

import dev.buildrunner.parallel.Client;
import dev.buildrunner.parallel.Tasks;
import java.util.List;

/** The first program of the README. */
public class First {
  public static void main(String[] arguments) {
    try (Client client = Client.connect()) {
      String session = client.createSession("From Java").getSessionId();
      client.submit(
          session, List.of(Tasks.command("hello", "echo", "hello from a worker").build()));
      client.startSession(session);
      client.closeSession(session);
      client.waitSession(session);
      System.out.print(client.readOutput(session, "hello").stdout().toStringUtf8());
    }
  }
}
