package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.AttemptOutput;
import dev.buildrunner.parallel.v1.LogServiceGrpc;
import dev.buildrunner.parallel.v1.OutputAcknowledgement;
import dev.buildrunner.parallel.v1.OutputChunk;
import dev.buildrunner.parallel.v1.WriteOutputRequest;
import dev.buildrunner.parallel.v1.WriteOutputResponse;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Brings the output of an attempt that has ended, from where it is durable already. */
final class OutputDelivery {
  private static final long DEADLINE_S = 120;

  private final Calls calls;
  private final Registration registration;
  private final TaskRun run;
  private volatile long durable;

  OutputDelivery(Calls calls, Registration registration, TaskRun run) {
    this.calls = calls;
    this.registration = registration;
    this.run = run;
  }

  /** The coordinator has what is before this offset, and no more. */
  void from(long offset) {
    durable = offset;
  }

  /** Sends until all of it is durable; false when nobody wants it any more. */
  boolean send() throws InterruptedException {
    Backoff backoff = new Backoff();
    List<OutputChunk> chunks = run.output().chunks();
    long total = run.output().totalBytes();
    while (durable < total && !run.isDisowned()) {
      int seen = registration.registrations();
      Stream stream = new Stream(chunks);
      Status status = stream.run();
      if (stream.isStale) {
        return false;
      }
      if (status.getCode() == Status.Code.NOT_FOUND) {
        registration.again(seen);
      } else if (status.getCode() == Status.Code.UNAUTHENTICATED) {
        throw calls.thrown(status, new Metadata());
      }
      if (durable < total) {
        Thread.sleep(backoff.nextMs());
        calls.again();
      }
    }
    return !run.isDisowned();
  }

  /** One call: writes as fast as the coordinator takes it. */
  private final class Stream
      implements ClientResponseObserver<WriteOutputRequest, WriteOutputResponse> {
    private final Iterator<OutputChunk> rest;
    private final CompletableFuture<Status> end = new CompletableFuture<>();
    private ClientCallStreamObserver<WriteOutputRequest> out;
    private volatile boolean isStale;

    Stream(List<OutputChunk> chunks) {
      this.rest =
          chunks.stream()
              .filter(chunk -> chunk.getOffset() + chunk.getData().size() > durable)
              .iterator();
    }

    Status run() throws InterruptedException {
      CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(DEADLINE_S, TimeUnit.SECONDS);
      ClientCall<WriteOutputRequest, WriteOutputResponse> call =
          calls.channel().newCall(LogServiceGrpc.getWriteOutputMethod(), options);
      ClientCalls.asyncBidiStreamingCall(call, this);
      return end.join();
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<WriteOutputRequest> stream) {
      out = stream;
      stream.setOnReadyHandler(this::write);
    }

    private void write() {
      while (out.isReady() && rest.hasNext()) {
        AttemptOutput output =
            AttemptOutput.newBuilder()
                .setAttemptId(run.assignment().getAttemptId())
                .setFence(run.assignment().getFence())
                .addChunks(rest.next())
                .build();
        out.onNext(
            WriteOutputRequest.newBuilder()
                .setWorkerId(registration.workerId())
                .addOutputs(output)
                .build());
        if (!rest.hasNext()) {
          out.onCompleted();
        }
      }
    }

    @Override
    public void onNext(WriteOutputResponse answer) {
      for (OutputAcknowledgement ack : answer.getAcknowledgementsList()) {
        isStale |= ack.getStale();
        durable = Math.max(durable, ack.getOffset());
      }
    }

    @Override
    public void onError(Throwable cause) {
      end.complete(Status.fromThrowable(cause));
    }

    @Override
    public void onCompleted() {
      end.complete(Status.OK);
    }
  }
}
