package dev.buildrunner.parallel.conformance;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.buildrunner.parallel.BuildRunnerException;
import dev.buildrunner.parallel.TaskContext;
import dev.buildrunner.parallel.Tasks;
import dev.buildrunner.parallel.Worker;
import dev.buildrunner.parallel.WorkerOptions;
import dev.buildrunner.parallel.v1.Payload;

/** The worker under test of tests/conformance: commands and the handlers named there. */
public final class ConformanceWorker {
  private ConformanceWorker() {}

  public static void main(String[] arguments) {
    try {
      Worker.serve(optionsFrom(arguments));
    } catch (BuildRunnerException | IllegalArgumentException e) {
      System.err.println("worker: " + e.getMessage());
      System.exit(1);
    }
  }

  private static WorkerOptions optionsFrom(String[] arguments) {
    WorkerOptions options = new WorkerOptions();
    for (int i = 0; i + 1 < arguments.length; i += 2) {
      String value = arguments[i + 1];
      switch (arguments[i]) {
        case "--slots" -> options.slots(Integer.parseInt(value));
        case "--label" -> options.label(value);
        case "--session" -> options.session(value);
        default ->
            throw new IllegalArgumentException(
                "there is no option " + arguments[i] + "; known are --slots, --label, --session");
      }
    }
    return options
        .handler("conformance.echo", task -> task.assignment().getSpec().getHandler().getPayload())
        .handler("conformance.busy", ConformanceWorker::busy)
        .handler("conformance.wait", ConformanceWorker::await)
        .handler("conformance.progress", ConformanceWorker::progress)
        .handler("conformance.fail", ConformanceWorker::fail);
  }

  private static JsonObject payload(TaskContext task) {
    return JsonParser.parseString(task.payload().toStringUtf8()).getAsJsonObject();
  }

  private static Payload result(String name, long value) {
    JsonObject result = new JsonObject();
    result.addProperty(name, value);
    return Tasks.json(result.toString());
  }

  private static Payload busy(TaskContext task) {
    long ms = payload(task).get("ms").getAsLong();
    long end = System.nanoTime() + ms * 1_000_000;
    long sum = 0;
    while (System.nanoTime() < end) {
      sum += end;
    }
    return sum == 0 && ms > 0 ? null : result("ms", ms);
  }

  private static Payload await(TaskContext task) throws InterruptedException {
    long ms = payload(task).get("ms").getAsLong();
    Thread.sleep(ms);
    return result("ms", ms);
  }

  private static Payload progress(TaskContext task) throws InterruptedException {
    int steps = payload(task).get("steps").getAsInt();
    for (int step = 1; step <= steps; step++) {
      task.progress(100.0 * step / steps, "step " + step);
      Thread.sleep(50);
    }
    return result("steps", steps);
  }

  private static Payload fail(TaskContext task) {
    throw new IllegalStateException(payload(task).get("message").getAsString());
  }
}
