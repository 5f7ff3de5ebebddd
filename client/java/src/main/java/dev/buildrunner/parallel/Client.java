package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.AcquireLocksRequest;
import dev.buildrunner.parallel.v1.AcquireLocksResponse;
import dev.buildrunner.parallel.v1.CancelSessionRequest;
import dev.buildrunner.parallel.v1.CancelTaskRequest;
import dev.buildrunner.parallel.v1.Change;
import dev.buildrunner.parallel.v1.CloseSessionRequest;
import dev.buildrunner.parallel.v1.CoordinatorServiceGrpc;
import dev.buildrunner.parallel.v1.CreateSessionRequest;
import dev.buildrunner.parallel.v1.EntityKind;
import dev.buildrunner.parallel.v1.GetInfoRequest;
import dev.buildrunner.parallel.v1.GetInfoResponse;
import dev.buildrunner.parallel.v1.GetSessionRequest;
import dev.buildrunner.parallel.v1.GetTaskRequest;
import dev.buildrunner.parallel.v1.ListSessionsRequest;
import dev.buildrunner.parallel.v1.ListSessionsResponse;
import dev.buildrunner.parallel.v1.ListTasksRequest;
import dev.buildrunner.parallel.v1.ListTasksResponse;
import dev.buildrunner.parallel.v1.LockServiceGrpc;
import dev.buildrunner.parallel.v1.LogServiceGrpc;
import dev.buildrunner.parallel.v1.OutputChannel;
import dev.buildrunner.parallel.v1.OutputChunk;
import dev.buildrunner.parallel.v1.PathLock;
import dev.buildrunner.parallel.v1.PathRequest;
import dev.buildrunner.parallel.v1.PauseSessionRequest;
import dev.buildrunner.parallel.v1.ReadOutputRequest;
import dev.buildrunner.parallel.v1.ReadOutputResponse;
import dev.buildrunner.parallel.v1.ReleaseLocksRequest;
import dev.buildrunner.parallel.v1.RenewLeaseRequest;
import dev.buildrunner.parallel.v1.ResumeSessionRequest;
import dev.buildrunner.parallel.v1.RetryTasksRequest;
import dev.buildrunner.parallel.v1.Session;
import dev.buildrunner.parallel.v1.SessionServiceGrpc;
import dev.buildrunner.parallel.v1.SessionStatus;
import dev.buildrunner.parallel.v1.StartSessionRequest;
import dev.buildrunner.parallel.v1.SubmitTasksRequest;
import dev.buildrunner.parallel.v1.Task;
import dev.buildrunner.parallel.v1.TaskServiceGrpc;
import dev.buildrunner.parallel.v1.TaskSpec;
import dev.buildrunner.parallel.v1.TaskSummary;
import io.grpc.CallOptions;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * A client of the coordinator. Its methods block, may be called from several threads, and throw
 * {@link BuildRunnerException}. Records are the messages of the protocol.
 *
 * <p>Each call has a deadline of 15 s, within which it is sent again while the coordinator cannot
 * be reached; what changes something carries a request id that stays the same meanwhile, so that it
 * takes effect once.
 */
public final class Client implements AutoCloseable {
  private static final int PAGE = 1000;
  private static final Duration FOR_EVER = Duration.ofDays(365);

  private final Calls calls;

  /** A client of this coordinator; the connection is made with the first call. */
  public Client(Target target) {
    this.calls = new Calls(target);
  }

  /** A client of the coordinator that {@link Target#locate()} finds. */
  public static Client connect() {
    return new Client(Target.locate());
  }

  @Override
  public void close() {
    calls.close();
  }

  /** What the coordinator is: version, store, epoch, capabilities. */
  public GetInfoResponse info() {
    return calls.call(
        CoordinatorServiceGrpc.getGetInfoMethod(), GetInfoRequest.getDefaultInstance());
  }

  // ---------------------------------------------------------------- sessions

  public Session createSession(String name) {
    return createSession(name, SessionOptions.DEFAULT);
  }

  public Session createSession(String name, SessionOptions options) {
    CreateSessionRequest request =
        CreateSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setName(name)
            .setMetadataJson(options.metadataJson())
            .setDeclaredTasks(options.declaredTasks())
            .setMaxParallel(options.maxParallel())
            .setWantedWorkers(options.workers())
            .build();
    return calls.call(SessionServiceGrpc.getCreateSessionMethod(), request).getSession();
  }

  public Session getSession(String sessionId) {
    GetSessionRequest request = GetSessionRequest.newBuilder().setSessionId(sessionId).build();
    return calls.call(SessionServiceGrpc.getGetSessionMethod(), request).getSession();
  }

  /** All of them, newest first. */
  public List<Session> listSessions() {
    List<Session> all = new ArrayList<>();
    ListSessionsRequest.Builder request = ListSessionsRequest.newBuilder().setPageSize(PAGE);
    do {
      ListSessionsResponse page =
          calls.call(SessionServiceGrpc.getListSessionsMethod(), request.build());
      all.addAll(page.getSessionsList());
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return all;
  }

  public Session startSession(String sessionId) {
    StartSessionRequest request =
        StartSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .build();
    return calls.call(SessionServiceGrpc.getStartSessionMethod(), request).getSession();
  }

  /** Nothing new starts; what runs may finish. */
  public Session pauseSession(String sessionId) {
    return pauseSession(sessionId, false);
  }

  /** With {@code now} what runs is stopped too, and queued again at no cost. */
  public Session pauseSession(String sessionId, boolean now) {
    PauseSessionRequest request =
        PauseSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .setNow(now)
            .build();
    return calls.call(SessionServiceGrpc.getPauseSessionMethod(), request).getSession();
  }

  public Session resumeSession(String sessionId) {
    ResumeSessionRequest request =
        ResumeSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .build();
    return calls.call(SessionServiceGrpc.getResumeSessionMethod(), request).getSession();
  }

  public Session cancelSession(String sessionId, String reason) {
    CancelSessionRequest request =
        CancelSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .setReason(reason)
            .build();
    return calls.call(SessionServiceGrpc.getCancelSessionMethod(), request).getSession();
  }

  /** No task will be added any more, so that it ends with its last one. */
  public Session closeSession(String sessionId) {
    CloseSessionRequest request =
        CloseSessionRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .build();
    return calls.call(SessionServiceGrpc.getCloseSessionMethod(), request).getSession();
  }

  /** Waits until it is over, however long that takes. */
  public Session waitSession(String sessionId) {
    return waitSession(sessionId, FOR_EVER);
  }

  /**
   * Waits until it is over.
   *
   * @throws BuildRunnerException TIMEOUT when that takes longer; the session goes on then
   */
  public Session waitSession(String sessionId, Duration timeout) {
    // The id may be a prefix, or "last", which must not come to mean another one.
    String id = getSession(sessionId).getSessionId();
    long end = System.nanoTime() + timeout.toNanos();
    try (Watch watch = watch(WatchOptions.DEFAULT.withSessions(id))) {
      for (; ; ) {
        var message = watch.next(Duration.ofNanos(Math.max(end - System.nanoTime(), 0)));
        if (message.isPresent()) {
          for (Change change : message.get().getChangesList()) {
            if (change.hasSession() && isOver(change.getSession(), id)) {
              return change.getSession();
            }
            refuseRemoved(change, id);
          }
        } else if (System.nanoTime() - end >= 0) {
          throw new BuildRunnerException(
              ErrorKind.TIMEOUT, "", "session " + id + " is not over yet; it goes on");
        }
      }
    }
  }

  private static boolean isOver(Session session, String id) {
    SessionStatus status = session.getStatus();
    return session.getSessionId().equals(id)
        && (status == SessionStatus.SESSION_STATUS_COMPLETED
            || status == SessionStatus.SESSION_STATUS_FAILED
            || status == SessionStatus.SESSION_STATUS_CANCELLED);
  }

  private static void refuseRemoved(Change change, String id) {
    boolean isGone =
        change.hasRemoved()
            && change.getRemoved().getKind() == EntityKind.ENTITY_KIND_SESSION
            && change.getRemoved().getId().equals(id);
    if (isGone) {
      throw new BuildRunnerException(
          ErrorKind.NOT_FOUND,
          "SESSION_NOT_FOUND",
          "session " + id + " was deleted meanwhile; `br parallel list` shows those that are kept");
    }
  }

  // ------------------------------------------------------------------- tasks

  /** Adds up to 1,000 tasks, all or none. */
  public List<TaskSummary> submit(String sessionId, List<TaskSpec> tasks) {
    return submit(sessionId, tasks, Calls.randomId());
  }

  /** With a request id of one's own, to submit the same tasks once from several places. */
  public List<TaskSummary> submit(String sessionId, List<TaskSpec> tasks, String requestId) {
    SubmitTasksRequest request =
        SubmitTasksRequest.newBuilder()
            .setRequestId(requestId)
            .setSessionId(sessionId)
            .addAllTasks(tasks)
            .build();
    return calls.call(TaskServiceGrpc.getSubmitTasksMethod(), request).getTasksList();
  }

  /** A task with its attempts. */
  public Task getTask(String sessionId, String taskId) {
    GetTaskRequest request =
        GetTaskRequest.newBuilder().setSessionId(sessionId).setTaskId(taskId).build();
    return calls.call(TaskServiceGrpc.getGetTaskMethod(), request).getTask();
  }

  /** All of them, in order of submission. */
  public List<TaskSummary> listTasks(String sessionId) {
    List<TaskSummary> all = new ArrayList<>();
    ListTasksRequest.Builder request =
        ListTasksRequest.newBuilder().setSessionId(sessionId).setPageSize(PAGE);
    do {
      ListTasksResponse page = calls.call(TaskServiceGrpc.getListTasksMethod(), request.build());
      all.addAll(page.getTasksList());
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    return all;
  }

  public TaskSummary cancelTask(String sessionId, String taskId, String reason) {
    CancelTaskRequest request =
        CancelTaskRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .setTaskId(taskId)
            .setReason(reason)
            .build();
    return calls.call(TaskServiceGrpc.getCancelTaskMethod(), request).getTask();
  }

  /** Runs what failed again; an empty list means all that failed. Returns how many that are. */
  public int retryTasks(String sessionId, List<String> taskIds) {
    RetryTasksRequest request =
        RetryTasksRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .addAllTaskIds(taskIds)
            .build();
    return calls.call(TaskServiceGrpc.getRetryTasksMethod(), request).getTaskCount();
  }

  /** What the last attempt has written so far. */
  public TaskOutput readOutput(String sessionId, String taskId) {
    ReadOutputRequest.Builder request =
        ReadOutputRequest.newBuilder().setSessionId(sessionId).setTaskId(taskId);
    ByteString.Output stdout = ByteString.newOutput();
    ByteString.Output stderr = ByteString.newOutput();
    long dropped = 0;
    Backoff backoff = new Backoff();
    for (int tries = 1; ; tries++) {
      try {
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS);
        Iterator<ReadOutputResponse> pieces =
            ClientCalls.blockingServerStreamingCall(
                calls.channel(), LogServiceGrpc.getReadOutputMethod(), options, request.build());
        while (pieces.hasNext()) {
          ReadOutputResponse piece = pieces.next();
          OutputChunk chunk = piece.getChunk();
          boolean isError = chunk.getChannel() == OutputChannel.OUTPUT_CHANNEL_STDERR;
          ByteString.Output to = isError ? stderr : stdout;
          byte[] bytes = chunk.getData().toByteArray();
          to.write(bytes, 0, bytes.length);
          dropped += chunk.getDroppedBytes();
          request.setAttempt(piece.getAttempt());
          request.setOffset(chunk.getOffset() + chunk.getData().size());
        }
        return new TaskOutput(stdout.toByteString(), stderr.toByteString(), dropped);
      } catch (StatusRuntimeException e) {
        if (!Calls.isPassing(e.getStatus(), e.getTrailers()) || tries == 8) {
          throw calls.thrown(e);
        }
        backoff.pause();
        calls.again();
      }
    }
  }

  // ------------------------------------------------------------------- locks

  /**
   * Takes all the paths or none. A wait outlives a restart of the coordinator.
   *
   * @throws LockConflictException with every clash
   */
  public AcquireLocksResponse acquire(
      String sessionId, List<PathRequest> paths, LockOptions options) {
    AcquireLocksRequest.Builder request =
        AcquireLocksRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .addAllPaths(paths)
            .setWaitMs(options.waitFor().isNegative() ? -1 : options.waitFor().toMillis());
    options.lease().ifPresent(lease -> request.setLeaseMs(lease.toMillis()));
    // The call stays open while it waits; whoever has to ask again, with the same id, finds its
    // place in the queue.
    Duration timeout =
        options.waitFor().isNegative() ? FOR_EVER : options.waitFor().plus(Calls.QUICK);
    return calls.call(LockServiceGrpc.getAcquireLocksMethod(), request.build(), timeout);
  }

  /**
   * Extends a grant with a lease; returns how long it is.
   *
   * @throws BuildRunnerException STALE when somebody else may hold its paths
   */
  public Duration renew(String grantId, long fence) {
    RenewLeaseRequest request =
        RenewLeaseRequest.newBuilder().setGrantId(grantId).setFence(fence).build();
    var answer = calls.call(LockServiceGrpc.getRenewLeaseMethod(), request);
    return Duration.ofMillis(answer.getLeaseMs());
  }

  /** Gives back what the session itself holds; an empty list means all of it. */
  public List<PathLock> release(String sessionId, List<PathRequest> paths) {
    return releaseGrant(sessionId, "", 0, paths);
  }

  /** Gives back what a grant holds; an empty list means all of it. */
  public List<PathLock> releaseGrant(
      String sessionId, String grantId, long fence, List<PathRequest> paths) {
    ReleaseLocksRequest request =
        ReleaseLocksRequest.newBuilder()
            .setRequestId(Calls.randomId())
            .setSessionId(sessionId)
            .setGrantId(grantId)
            .setFence(fence)
            .addAllPaths(paths)
            .build();
    return calls.call(LockServiceGrpc.getReleaseLocksMethod(), request).getReleasedList();
  }

  /** Holds paths for 30 s at a time, without being told when they are lost. */
  public HeldLocks hold(String sessionId, List<PathRequest> paths, Duration wait) {
    return hold(sessionId, paths, wait, Duration.ofSeconds(30), lost -> {});
  }

  /**
   * Acquires with a lease that is renewed until the result is closed, which releases.
   *
   * @param onLost called from another thread, once, when the paths are not held any more
   */
  public HeldLocks hold(
      String sessionId,
      List<PathRequest> paths,
      Duration wait,
      Duration lease,
      Consumer<BuildRunnerException> onLost) {
    LockOptions options = new LockOptions(wait, Optional.of(lease));
    long asked = System.nanoTime();
    AcquireLocksResponse grant = acquire(sessionId, paths, options);
    // The lease began when the wait was over, at this moment at the earliest.
    long granted = asked + TimeUnit.MILLISECONDS.toNanos(grant.getWaitedMs());
    return new HeldLocks(calls, grant, sessionId, granted, onLost);
  }

  // ------------------------------------------------------------------- watch

  public Watch watch(WatchOptions options) {
    return new Watch(calls, options);
  }
}
