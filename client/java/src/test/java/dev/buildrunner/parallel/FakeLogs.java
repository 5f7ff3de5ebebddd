package dev.buildrunner.parallel;

import com.google.protobuf.ByteString;
import dev.buildrunner.parallel.v1.AttemptOutput;
import dev.buildrunner.parallel.v1.LogServiceGrpc;
import dev.buildrunner.parallel.v1.OutputAcknowledgement;
import dev.buildrunner.parallel.v1.OutputChunk;
import dev.buildrunner.parallel.v1.WriteOutputRequest;
import dev.buildrunner.parallel.v1.WriteOutputResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntFunction;

/** Takes output as a coordinator does; how each message goes is the test's to say. */
final class FakeLogs extends LogServiceGrpc.LogServiceImplBase {
  /** What happens to a message. */
  enum Fate {
    KEPT,
    /** It is there, but its sender is not told: the stream breaks. */
    KEPT_UNTOLD,
    /** The stream breaks before it is there. */
    LOST,
    STALE
  }

  private static final class Kept {
    ByteString data = ByteString.EMPTY;
    long end;
    long dropped;
  }

  private final Map<String, Kept> attempts = new HashMap<>();
  private IntFunction<Fate> fates = number -> Fate.KEPT;
  private StatusRuntimeException refusal;
  private int messages;
  private int streams;
  private int largest;

  /** Asked with the number of each message, from 1. */
  synchronized void fates(IntFunction<Fate> told) {
    fates = told;
  }

  /** Ends the next stream with this, once. */
  synchronized void refuseOnce(StatusRuntimeException with) {
    refusal = with;
  }

  synchronized ByteString data(String attempt) {
    return attempts.getOrDefault(attempt, new Kept()).data;
  }

  synchronized long dropped(String attempt) {
    return attempts.getOrDefault(attempt, new Kept()).dropped;
  }

  synchronized long end(String attempt) {
    return attempts.getOrDefault(attempt, new Kept()).end;
  }

  synchronized int messages() {
    return messages;
  }

  synchronized int streams() {
    return streams;
  }

  /** Bytes of output in the largest message. */
  synchronized int largest() {
    return largest;
  }

  /** As if it had never come. */
  synchronized void forget(String attempt) {
    attempts.remove(attempt);
  }

  @Override
  public StreamObserver<WriteOutputRequest> writeOutput(StreamObserver<WriteOutputResponse> to) {
    synchronized (this) {
      streams++;
    }
    return new StreamObserver<>() {
      private boolean isOver;

      @Override
      public void onNext(WriteOutputRequest request) {
        if (isOver) {
          return;
        }
        try {
          to.onNext(take(request));
        } catch (StatusRuntimeException e) {
          isOver = true;
          to.onError(e);
        }
      }

      @Override
      public void onError(Throwable cause) {
        isOver = true;
      }

      @Override
      public void onCompleted() {
        to.onCompleted();
      }
    };
  }

  private synchronized WriteOutputResponse take(WriteOutputRequest request) {
    if (refusal != null) {
      StatusRuntimeException now = refusal;
      refusal = null;
      throw now;
    }
    Fate fate = fates.apply(++messages);
    if (fate == Fate.LOST) {
      throw Status.UNAVAILABLE.asRuntimeException();
    }
    WriteOutputResponse.Builder answer = WriteOutputResponse.newBuilder();
    int size = 0;
    for (AttemptOutput output : request.getOutputsList()) {
      OutputAcknowledgement.Builder ack =
          OutputAcknowledgement.newBuilder()
              .setAttemptId(output.getAttemptId())
              .setFence(output.getFence());
      if (fate == Fate.STALE) {
        answer.addAcknowledgements(ack.setStale(true));
        continue;
      }
      Kept kept = attempts.computeIfAbsent(output.getAttemptId(), id -> new Kept());
      for (OutputChunk chunk : output.getChunksList()) {
        append(kept, chunk);
        size += chunk.getData().size();
      }
      answer.addAcknowledgements(ack.setOffset(kept.end));
    }
    largest = Math.max(largest, size);
    if (fate == Fate.KEPT_UNTOLD) {
      throw Status.UNAVAILABLE.asRuntimeException();
    }
    return answer.build();
  }

  /** What is there already is passed over, and what leaves a gap that it does not tell of too. */
  private static void append(Kept kept, OutputChunk chunk) {
    long end = chunk.getOffset() + chunk.getData().size();
    if (end <= kept.end || chunk.getOffset() - chunk.getDroppedBytes() > kept.end) {
      return;
    }
    long from = Math.max(chunk.getOffset(), kept.end);
    kept.dropped += from - kept.end;
    kept.data = kept.data.concat(chunk.getData().substring((int) (from - chunk.getOffset())));
    kept.end = end;
  }
}
