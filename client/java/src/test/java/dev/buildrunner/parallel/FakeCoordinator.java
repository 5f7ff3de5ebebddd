package dev.buildrunner.parallel;

import dev.buildrunner.parallel.v1.*;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.MultiThreadIoEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollIoHandler;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;

/** A coordinator that a test plays: it answers as it is told, on a unix socket. */
final class FakeCoordinator implements AutoCloseable {
  /** The answers to one call, in order; the last one goes on. What was asked is kept. */
  static final class Script<Q, R> {
    private final Deque<Function<Q, R>> answers = new ArrayDeque<>();
    final List<Q> asked = new CopyOnWriteArrayList<>();

    synchronized Script<Q, R> then(Function<Q, R> answer) {
      answers.addLast(answer);
      return this;
    }

    Script<Q, R> fails(Status status) {
      return then(
          request -> {
            throw status.asRuntimeException();
          });
    }

    synchronized void clear() {
      answers.clear();
    }

    private synchronized Function<Q, R> next() {
      return answers.size() > 1 ? answers.removeFirst() : answers.getFirst();
    }

    private void answer(Q request, StreamObserver<R> to) {
      // Nobody waits any more on a machine that is slow enough: then it counts as never asked.
      if (((ServerCallStreamObserver<R>) to).isCancelled()) {
        return;
      }
      asked.add(request);
      try {
        to.onNext(next().apply(request));
        to.onCompleted();
      } catch (RuntimeException e) {
        to.onError(e);
      }
    }
  }

  final Script<CreateSessionRequest, CreateSessionResponse> create = new Script<>();
  final Script<AcquireLocksRequest, AcquireLocksResponse> acquire = new Script<>();
  final Script<RenewLeaseRequest, RenewLeaseResponse> renew = new Script<>();
  final Script<ReleaseLocksRequest, ReleaseLocksResponse> release = new Script<>();
  final Script<RegisterRequest, RegisterResponse> hello = new Script<>();
  final Script<HeartbeatRequest, HeartbeatResponse> heartbeat = new Script<>();
  final Script<ClaimTasksRequest, ClaimTasksResponse> claim = new Script<>();
  final Script<ReportTasksRequest, ReportTasksResponse> report = new Script<>();
  final Script<UnregisterRequest, UnregisterResponse> goodbye = new Script<>();

  final FakeLogs logs;

  /** Each stream sends the messages of one entry, then ends with UNAVAILABLE. */
  final List<List<WatchResponse>> streams = new ArrayList<>();

  final List<WatchRequest> watched = new CopyOnWriteArrayList<>();
  final List<Metadata> headers = new CopyOnWriteArrayList<>();

  private final EventLoopGroup loop =
      new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
  private final Server server;
  private final Target target;

  FakeCoordinator(Path folder) throws IOException {
    this(folder, new FakeLogs(), fake -> {});
  }

  /** One with output that came in before; what it answers is told before it is asked. */
  FakeCoordinator(Path folder, FakeLogs logs, Consumer<FakeCoordinator> script) throws IOException {
    this.logs = logs;
    script.accept(this);
    Files.deleteIfExists(folder.resolve("br.sock")); // of one before it
    target = new Target("unix:" + folder.resolve("br.sock"), "secret");
    server =
        NettyServerBuilder.forAddress(new DomainSocketAddress(folder.resolve("br.sock").toFile()))
            .channelType(EpollServerDomainSocketChannel.class)
            .bossEventLoopGroup(loop)
            .workerEventLoopGroup(loop)
            .intercept(new Keeper())
            .addService(new Sessions())
            .addService(new Locks())
            .addService(new Events())
            .addService(new Workers())
            .addService(logs)
            .build()
            .start();
  }

  Target target() {
    return target;
  }

  @Override
  public void close() {
    try {
      server.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
  }

  private final class Keeper implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata metadata, ServerCallHandler<Q, R> next) {
      headers.add(metadata);
      return next.startCall(call, metadata);
    }
  }

  private final class Sessions extends SessionServiceGrpc.SessionServiceImplBase {
    @Override
    public void createSession(CreateSessionRequest q, StreamObserver<CreateSessionResponse> a) {
      create.answer(q, a);
    }
  }

  private final class Locks extends LockServiceGrpc.LockServiceImplBase {
    @Override
    public void acquireLocks(AcquireLocksRequest q, StreamObserver<AcquireLocksResponse> a) {
      acquire.answer(q, a);
    }

    @Override
    public void renewLease(RenewLeaseRequest q, StreamObserver<RenewLeaseResponse> a) {
      renew.answer(q, a);
    }

    @Override
    public void releaseLocks(ReleaseLocksRequest q, StreamObserver<ReleaseLocksResponse> a) {
      release.answer(q, a);
    }
  }

  private final class Events extends EventServiceGrpc.EventServiceImplBase {
    @Override
    public void watch(WatchRequest request, StreamObserver<WatchResponse> to) {
      int number = Math.min(watched.size(), streams.size() - 1);
      watched.add(request);
      streams.get(number).forEach(to::onNext);
      to.onError(Status.UNAVAILABLE.asRuntimeException());
    }
  }

  private final class Workers extends WorkerServiceGrpc.WorkerServiceImplBase {
    @Override
    public void register(RegisterRequest q, StreamObserver<RegisterResponse> a) {
      hello.answer(q, a);
    }

    @Override
    public void heartbeat(HeartbeatRequest q, StreamObserver<HeartbeatResponse> a) {
      heartbeat.answer(q, a);
    }

    @Override
    public void claimTasks(ClaimTasksRequest q, StreamObserver<ClaimTasksResponse> a) {
      claim.answer(q, a);
    }

    @Override
    public void reportTasks(ReportTasksRequest q, StreamObserver<ReportTasksResponse> a) {
      report.answer(q, a);
    }

    @Override
    public void drainWorker(DrainWorkerRequest q, StreamObserver<DrainWorkerResponse> a) {
      a.onNext(DrainWorkerResponse.getDefaultInstance());
      a.onCompleted();
    }

    @Override
    public void unregister(UnregisterRequest q, StreamObserver<UnregisterResponse> a) {
      goodbye.answer(q, a);
    }
  }
}
