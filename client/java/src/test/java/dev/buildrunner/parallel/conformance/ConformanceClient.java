package dev.buildrunner.parallel.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import dev.buildrunner.parallel.BuildRunnerException;
import dev.buildrunner.parallel.Client;
import dev.buildrunner.parallel.ErrorKind;
import dev.buildrunner.parallel.LockConflictException;
import dev.buildrunner.parallel.LockOptions;
import dev.buildrunner.parallel.SessionOptions;
import dev.buildrunner.parallel.TaskOutput;
import dev.buildrunner.parallel.Tasks;
import dev.buildrunner.parallel.WatchOptions;
import dev.buildrunner.parallel.v1.AcquireLocksResponse;
import dev.buildrunner.parallel.v1.Attempt;
import dev.buildrunner.parallel.v1.GetInfoResponse;
import dev.buildrunner.parallel.v1.LockConflict;
import dev.buildrunner.parallel.v1.PathLock;
import dev.buildrunner.parallel.v1.PathRequest;
import dev.buildrunner.parallel.v1.RetryPolicy;
import dev.buildrunner.parallel.v1.Session;
import dev.buildrunner.parallel.v1.Task;
import dev.buildrunner.parallel.v1.TaskSpec;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The client under test of tests/conformance: a JSON object a line in, an answer a line out. */
public final class ConformanceClient {
  private final Map<Integer, Following> watches = new HashMap<>();
  private Client client;
  private int lastWatch;

  private ConformanceClient() {}

  public static void main(String[] arguments) throws IOException {
    ConformanceClient program = new ConformanceClient();
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject answer = program.answer(line);
      out.print(answer + "\n");
      out.flush();
    }
    System.exit(0);
  }

  private JsonObject answer(String line) {
    JsonObject answer = new JsonObject();
    answer.add("id", JsonNull.INSTANCE);
    try {
      JsonObject asked = JsonParser.parseString(line).getAsJsonObject();
      if (asked.has("id")) {
        answer.add("id", asked.get("id"));
      }
      answer.add("ok", perform(asked));
    } catch (BuildRunnerException e) {
      answer.add("error", errorOf(e));
    } catch (JsonParseException
        | IllegalStateException
        | UnsupportedOperationException
        | NumberFormatException
        | NullPointerException e) {
      answer.add("error", errorOf(invalid("not understood: " + e.getMessage())));
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
    return answer;
  }

  private static BuildRunnerException invalid(String message) {
    return new BuildRunnerException(ErrorKind.INVALID, "", message);
  }

  /** Made with the first question, so that what is wrong with it is an answer. */
  private Client client() {
    if (client == null) {
      client = Client.connect();
    }
    return client;
  }

  private JsonObject perform(JsonObject asked) throws InterruptedException {
    String session = text(asked, "session_id", "");
    return switch (text(asked, "op", "")) {
      case "info" -> info(client().info());
      case "create_session" -> createSession(asked);
      case "start_session" -> status(client().startSession(session));
      case "pause_session" -> status(client().pauseSession(session));
      case "resume_session" -> status(client().resumeSession(session));
      case "cancel_session" -> status(client().cancelSession(session, ""));
      case "close_session" -> status(client().closeSession(session));
      case "submit" -> submit(asked, session);
      case "get_task" -> task(client().getTask(session, asked.get("task_id").getAsString()));
      case "cancel_task" -> {
        var task = client().cancelTask(session, asked.get("task_id").getAsString(), "");
        yield object("status", Words.of(task.getStatus()));
      }
      case "wait_session" -> waitSession(asked, session);
      case "lock" -> lock(asked, session);
      case "renew" -> renew(asked);
      case "unlock" -> unlock(asked, session);
      case "logs" -> logs(client().readOutput(session, asked.get("task_id").getAsString()));
      case "watch" -> watch(asked, session);
      case "watch_until" -> watchUntil(asked);
      case "watch_close" -> watchClose(asked);
      default -> throw invalid("there is no op " + text(asked, "op", ""));
    };
  }

  // ---------------------------------------------------------------- sessions and tasks

  private JsonObject info(GetInfoResponse told) {
    JsonObject answer = object("version", told.getVersion());
    answer.addProperty("store_id", told.getStoreId());
    answer.addProperty("epoch", told.getEpoch());
    answer.add("capabilities", array(told.getCapabilitiesList()));
    return answer;
  }

  private JsonObject createSession(JsonObject asked) {
    SessionOptions options = SessionOptions.DEFAULT;
    if (isSet(asked, "metadata")) {
      options = options.withMetadataJson(asked.get("metadata").toString());
    }
    Session session = client().createSession(asked.get("name").getAsString(), options);
    return object("session_id", session.getSessionId());
  }

  private static JsonObject status(Session session) {
    return object("status", Words.of(session.getStatus()));
  }

  private JsonObject submit(JsonObject asked, String session) {
    List<TaskSpec> tasks = new ArrayList<>();
    for (JsonElement given : asked.getAsJsonArray("tasks")) {
      tasks.add(spec(given.getAsJsonObject()));
    }
    var taken =
        isSet(asked, "request_id")
            ? client().submit(session, tasks, asked.get("request_id").getAsString())
            : client().submit(session, tasks);
    JsonObject answer = new JsonObject();
    answer.add("task_ids", array(taken.stream().map(task -> task.getTaskId()).toList()));
    return answer;
  }

  private static TaskSpec spec(JsonObject given) {
    String id = given.get("task_id").getAsString();
    TaskSpec.Builder spec;
    if (given.has("argv")) {
      spec = Tasks.command(id, texts(given, "argv").toArray(String[]::new));
    } else if (given.has("run")) {
      spec = Tasks.shell(id, given.get("run").getAsString());
    } else {
      String handler = given.get("handler").getAsString();
      spec = Tasks.handler(id, handler, Tasks.json(text(given, "payload", "")));
    }
    spec.addAllNeeds(texts(given, "needs")).addAllLabels(texts(given, "labels"));
    if (isSet(given, "files")) {
      for (JsonElement file : given.getAsJsonArray("files")) {
        JsonObject one = file.getAsJsonObject();
        spec.addFiles(path(one.get("path").getAsString(), isTrue(one, "shared")));
      }
    }
    if (isSet(given, "timeout_s")) {
      spec.setTimeoutMs(seconds(given, "timeout_s").toMillis());
    }
    if (isSet(given, "grace_s")) {
      spec.setGraceMs(seconds(given, "grace_s").toMillis());
    }
    if (isSet(given, "retries")) {
      spec.setRetry(RetryPolicy.newBuilder().setMaxRetries(given.get("retries").getAsInt()));
    }
    if (isSet(given, "priority")) {
      spec.setPriority(given.get("priority").getAsInt());
    }
    return spec.build();
  }

  private static JsonObject task(Task task) {
    JsonObject answer = object("status", Words.of(task.getSummary().getStatus()));
    answer.addProperty("attempts", task.getAttemptsCount());
    answer.add("exit_code", JsonNull.INSTANCE);
    answer.addProperty("error", task.getSummary().getError());
    answer.addProperty("result", "");
    if (task.getAttemptsCount() > 0) {
      Attempt last = task.getAttempts(task.getAttemptsCount() - 1);
      if (last.hasExitCode()) {
        answer.addProperty("exit_code", last.getExitCode());
      }
      answer.addProperty("result", last.getResult().getData().toStringUtf8());
    }
    return answer;
  }

  private JsonObject waitSession(JsonObject asked, String session) {
    Session ended = client().waitSession(session, seconds(asked, "timeout_s"));
    JsonObject answer = status(ended);
    answer.addProperty("succeeded", ended.getCounts().getSucceeded());
    answer.addProperty("failed", ended.getCounts().getFailed());
    return answer;
  }

  private static JsonObject logs(TaskOutput output) {
    JsonObject answer = object("stdout", output.stdout().toStringUtf8());
    answer.addProperty("stderr", output.stderr().toStringUtf8());
    return answer;
  }

  // ---------------------------------------------------------------- locks

  private JsonObject lock(JsonObject asked, String session) {
    LockOptions options = LockOptions.DEFAULT;
    if (isSet(asked, "wait_s")) {
      options = options.withWait(seconds(asked, "wait_s"));
    }
    if (isSet(asked, "lease_s")) {
      options = options.withLease(seconds(asked, "lease_s"));
    }
    AcquireLocksResponse grant = client().acquire(session, paths(asked), options);
    JsonObject answer = object("grant_id", grant.getGrantId());
    answer.addProperty("fence", grant.getFence());
    answer.add("paths", names(grant.getLocksList()));
    return answer;
  }

  private JsonObject renew(JsonObject asked) {
    Duration lease =
        client().renew(asked.get("grant_id").getAsString(), asked.get("fence").getAsLong());
    JsonObject answer = new JsonObject();
    answer.addProperty("lease_s", lease.toMillis() / 1000.0);
    return answer;
  }

  private JsonObject unlock(JsonObject asked, String session) {
    String grant = text(asked, "grant_id", "");
    long fence = isSet(asked, "fence") ? asked.get("fence").getAsLong() : 0;
    JsonObject answer = new JsonObject();
    answer.add("paths", names(client().releaseGrant(session, grant, fence, paths(asked))));
    return answer;
  }

  private static List<PathRequest> paths(JsonObject asked) {
    boolean isShared = isTrue(asked, "shared");
    return texts(asked, "paths").stream().map(text -> path(text, isShared)).toList();
  }

  private static PathRequest path(String text, boolean isShared) {
    return isShared ? Tasks.sharedPath(text) : Tasks.path(text);
  }

  private static JsonArray names(List<PathLock> locks) {
    return array(locks.stream().map(PathLock::getPath).toList());
  }

  // ---------------------------------------------------------------- watches

  private JsonObject watch(JsonObject asked, String session) throws InterruptedException {
    WatchOptions options = WatchOptions.DEFAULT.withSessions(session).withEndedTasks();
    if (isSet(asked, "since")) {
      options = options.since(asked.get("since").getAsLong(), text(asked, "store_id", ""));
    }
    Following following = new Following(client().watch(options));
    if (!isSet(asked, "since")) {
      following.awaitBegin(Duration.ofSeconds(30));
    }
    watches.put(++lastWatch, following);
    JsonObject answer = new JsonObject();
    answer.addProperty("watch", lastWatch);
    return answer;
  }

  private JsonObject watchUntil(JsonObject asked) throws InterruptedException {
    String task = asked.get("task_id").getAsString();
    String status = asked.get("status").getAsString();
    return following(asked).until(task, status, seconds(asked, "timeout_s"));
  }

  private JsonObject watchClose(JsonObject asked) {
    following(asked).close();
    watches.remove(asked.get("watch").getAsInt());
    return new JsonObject();
  }

  private Following following(JsonObject asked) {
    Following found = watches.get(asked.get("watch").getAsInt());
    if (found == null) {
      throw new BuildRunnerException(ErrorKind.NOT_FOUND, "", "there is no such watch");
    }
    return found;
  }

  // ---------------------------------------------------------------- JSON

  private static JsonObject errorOf(BuildRunnerException e) {
    JsonObject error = object("kind", e.kind().toString());
    error.addProperty("reason", e.reason());
    error.addProperty("message", e.getMessage());
    if (e instanceof LockConflictException conflict) {
      JsonArray clashes = new JsonArray();
      for (LockConflict clash : conflict.conflicts()) {
        JsonObject told = object("path", clash.getAskedPath());
        told.addProperty("held_path", clash.getHeldPath());
        told.addProperty("session_id", clash.getHolder().getSessionId());
        told.addProperty("session_name", clash.getHolder().getSessionName());
        clashes.add(told);
      }
      error.add("conflicts", clashes);
    }
    return error;
  }

  private static JsonObject object(String name, String value) {
    JsonObject object = new JsonObject();
    object.addProperty(name, value);
    return object;
  }

  private static JsonArray array(List<String> texts) {
    JsonArray array = new JsonArray();
    texts.forEach(array::add);
    return array;
  }

  private static boolean isSet(JsonObject from, String name) {
    return from.has(name) && !from.get(name).isJsonNull();
  }

  private static boolean isTrue(JsonObject from, String name) {
    return isSet(from, name) && from.get(name).getAsBoolean();
  }

  private static String text(JsonObject from, String name, String otherwise) {
    return isSet(from, name) ? from.get(name).getAsString() : otherwise;
  }

  private static Duration seconds(JsonObject from, String name) {
    return Duration.ofMillis((long) (from.get(name).getAsDouble() * 1000));
  }

  private static List<String> texts(JsonObject from, String name) {
    List<String> texts = new ArrayList<>();
    if (isSet(from, name)) {
      from.getAsJsonArray(name).forEach(word -> texts.add(word.getAsString()));
    }
    return texts;
  }
}
