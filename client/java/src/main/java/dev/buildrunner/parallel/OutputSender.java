package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.AttemptOutput;
import dev.buildrunner.parallel.v1.LogServiceGrpc;
import dev.buildrunner.parallel.v1.OutputAcknowledgement;
import dev.buildrunner.parallel.v1.OutputChunk;
import dev.buildrunner.parallel.v1.WriteOutputRequest;
import dev.buildrunner.parallel.v1.WriteOutputResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Brings the output of all runs, while they run and behind their end, on one stream: it is opened
 * when there is something to send, and after a break goes on from what is durable.
 */
final class OutputSender {
  private static final long LOOK_MS = 50;
  private static final long ANSWER_NS = TimeUnit.SECONDS.toNanos(30);
  private static final int MESSAGE_BYTES = 256 << 10;
  private static final int LEAST_ROOM = 1 << 10;

  private final Calls calls;
  private final Registration registration;
  private final Supplier<List<TaskRun>> runs;
  private final Consumer<String> log;
  private int turn; // of the sending thread alone

  private final Object lock = new Object(); // guards all below, and the state of the stream
  private boolean woken;
  private boolean closed;

  OutputSender(
      Calls calls, Registration registration, Supplier<List<TaskRun>> runs, Consumer<String> log) {
    this.calls = calls;
    this.registration = registration;
    this.runs = runs;
    this.log = log;
  }

  /** Waits until all output of a run that is over is durable; false when it never will be. */
  boolean bring(TaskRun run) throws InterruptedException {
    synchronized (lock) {
      wake();
      while (!closed && !run.isDisowned() && !run.output().isDurable()) {
        lock.wait(LOOK_MS); // being disowned wakes nobody
      }
      return !run.isDisowned() && run.output().isDurable();
    }
  }

  /** Nothing more is sent, and nobody waits any more. */
  void close() {
    synchronized (lock) {
      closed = true;
      lock.notifyAll();
    }
  }

  /**
   * Sends until it is closed.
   *
   * @throws BuildRunnerException for what will not pass, such as a token that is refused
   */
  void run() throws InterruptedException {
    Backoff backoff = new Backoff();
    try {
      for (; ; ) {
        WriteOutputRequest first = next();
        if (first != null) {
          int seen = registration.registrations();
          Stream stream = new Stream();
          Throwable end = stream.send(first);
          runs.get().forEach(run -> run.output().rewind());
          if (stream.isAnswered()) {
            backoff.reset();
          }
          recover(end, seen);
        }
        boolean isIdle = first == null;
        if (!waitFor(isIdle ? LOOK_MS : backoff.nextMs(), isIdle)) {
          return;
        }
      }
    } finally {
      close();
    }
  }

  private void recover(Throwable end, int seen) {
    BuildRunnerException e =
        calls.thrown(Status.fromThrowable(end), Status.trailersFromThrowable(end));
    if (e.reason().equals("WORKER_NOT_FOUND")) {
      registration.again(seen);
    } else if (e.kind() == ErrorKind.UNAUTHENTICATED) {
      throw e;
    } else if (!Registration.isPassing(e)) {
      log.accept("output was not taken: " + e.getMessage());
    }
    calls.again();
  }

  /** So much of what is due as fits into a message; null when nothing is. All have their turns. */
  private WriteOutputRequest next() {
    List<TaskRun> all = new ArrayList<>(runs.get());
    Collections.rotate(all, turn++);
    WriteOutputRequest.Builder request = WriteOutputRequest.newBuilder();
    int room = MESSAGE_BYTES;
    for (TaskRun run : all) {
      List<OutputChunk> pieces =
          room < LEAST_ROOM ? List.of() : run.output().take(room, System.nanoTime());
      if (!pieces.isEmpty()) {
        request.addOutputs(
            AttemptOutput.newBuilder()
                .setAttemptId(run.assignment().getAttemptId())
                .setFence(run.assignment().getFence())
                .addAllChunks(pieces));
        for (OutputChunk piece : pieces) {
          room -= piece.getData().size() + OutputBook.PIECE_COST;
        }
      }
    }
    boolean isEmpty = request.getOutputsCount() == 0;
    return isEmpty ? null : request.setWorkerId(registration.workerId()).build();
  }

  private void wake() {
    woken = true;
    lock.notifyAll();
  }

  /** False once it was closed. */
  private boolean waitFor(long ms, boolean untilWoken) throws InterruptedException {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    synchronized (lock) {
      long left = end - System.nanoTime();
      while (!closed && left > 0 && !(untilWoken && woken)) {
        TimeUnit.NANOSECONDS.timedWait(lock, left);
        left = end - System.nanoTime();
      }
      woken = false;
      return !closed;
    }
  }

  private void acknowledged(OutputAcknowledgement ack) {
    for (TaskRun run : runs.get()) {
      boolean isMeant =
          run.assignment().getAttemptId().equals(ack.getAttemptId())
              && run.assignment().getFence() == ack.getFence();
      if (isMeant && ack.getStale()) {
        run.disown();
      } else if (isMeant) {
        run.output().acknowledge(ack.getOffset());
      }
    }
  }

  /** One call. Its messages are answered in order; of those under way gRPC bounds the number. */
  private final class Stream
      implements ClientResponseObserver<WriteOutputRequest, WriteOutputResponse> {
    private ClientCallStreamObserver<WriteOutputRequest> out;
    private long sent;
    private long answers;
    private long waitsSinceNs; // for the next answer
    private Throwable end;

    Stream() {
      ClientCall<WriteOutputRequest, WriteOutputResponse> call =
          calls.channel().newCall(LogServiceGrpc.getWriteOutputMethod(), CallOptions.DEFAULT);
      ClientCalls.asyncBidiStreamingCall(call, this);
    }

    /** Sends this and all that comes due until it ends; returns how it did. */
    Throwable send(WriteOutputRequest first) throws InterruptedException {
      WriteOutputRequest message = first;
      while (waitUntilReady()) {
        if (message != null) {
          synchronized (lock) {
            waitsSinceNs = sent == answers ? System.nanoTime() : waitsSinceNs;
            sent++;
          }
          out.onNext(message);
        }
        message = next();
        if (message == null && !waitFor(LOOK_MS, true)) {
          break;
        }
      }
      synchronized (lock) {
        if (end == null) {
          out.cancel("the worker ends, or nobody has answered for too long", null);
          end = Status.UNAVAILABLE.asRuntimeException();
        }
        return end;
      }
    }

    boolean isAnswered() {
      synchronized (lock) {
        return answers > 0;
      }
    }

    /** False when nothing more can be sent on it. */
    private boolean waitUntilReady() throws InterruptedException {
      synchronized (lock) {
        while (!closed && end == null && !isOverdue() && !out.isReady()) {
          lock.wait(LOOK_MS);
        }
        return !closed && end == null && !isOverdue();
      }
    }

    private boolean isOverdue() {
      return sent > answers && System.nanoTime() - waitsSinceNs > ANSWER_NS;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<WriteOutputRequest> stream) {
      out = stream;
      stream.setOnReadyHandler(this::changed);
    }

    private void changed() {
      synchronized (lock) {
        wake();
      }
    }

    @Override
    public void onNext(WriteOutputResponse answer) {
      answer.getAcknowledgementsList().forEach(OutputSender.this::acknowledged);
      synchronized (lock) {
        answers++;
        waitsSinceNs = System.nanoTime();
        wake();
      }
    }

    @Override
    public void onError(Throwable cause) {
      synchronized (lock) {
        end = end == null ? cause : end;
        wake();
      }
    }

    @Override
    public void onCompleted() {
      onError(Status.UNAVAILABLE.asRuntimeException());
    }
  }
}
