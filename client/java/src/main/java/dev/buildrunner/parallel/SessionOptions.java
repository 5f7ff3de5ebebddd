package dev.buildrunner.parallel;

/**
 * How a session is made.
 *
 * @param metadataJson a JSON object of the caller's own, or empty
 * @param declaredTasks how many tasks will be submitted in all; the last of them seals the session.
 *     0: not known
 * @param maxParallel the most tasks that may run at once; 0: no limit
 * @param workers workers that serve this session alone, started by the machine's keeper
 */
public record SessionOptions(String metadataJson, int declaredTasks, int maxParallel, int workers) {
  public static final SessionOptions DEFAULT = new SessionOptions("", 0, 0, 0);

  public SessionOptions withMetadataJson(String json) {
    return new SessionOptions(json, declaredTasks, maxParallel, workers);
  }

  public SessionOptions withDeclaredTasks(int count) {
    return new SessionOptions(metadataJson, count, maxParallel, workers);
  }

  public SessionOptions withMaxParallel(int count) {
    return new SessionOptions(metadataJson, declaredTasks, count, workers);
  }

  public SessionOptions withWorkers(int count) {
    return new SessionOptions(metadataJson, declaredTasks, maxParallel, count);
  }
}
