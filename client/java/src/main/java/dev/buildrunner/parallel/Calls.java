package dev.buildrunner.parallel;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.MultiThreadIoEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.Epoll;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollIoHandler;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The channel to a coordinator, and calls on it: token, client id and deadline with each. */
final class Calls implements AutoCloseable {
  static final Duration QUICK = Duration.ofSeconds(15);

  private static final int MESSAGE_BYTES = 4 << 20;
  private static final List<String> LOCAL = List.of("127.", "localhost:", "[::1]:");

  // gRPC sets an option of TCP on every socket, and Netty warns of it on unix sockets. Kept here,
  // since the level goes with the logger.
  private static final Logger CHATTY = Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap");

  static {
    CHATTY.setLevel(Level.SEVERE);
  }

  private final Target target;
  private final EventLoopGroup loop;
  private final ManagedChannel managed;
  private final Channel channel;

  Calls(Target target) {
    this.target = target;
    boolean isUnix = target.address().startsWith("unix:");
    if (isUnix && !Epoll.isAvailable()) {
      throw new BuildRunnerException(
          ErrorKind.UNSUPPORTED,
          "",
          "unix sockets need Linux on x86-64 or ARM64; have the coordinator listen on TCP too"
              + " (br parallel serve --listen) and set BR_COORDINATOR to that address");
    }
    this.loop =
        isUnix
            ? new MultiThreadIoEventLoopGroup(
                1, new DefaultThreadFactory("br-channel", true), EpollIoHandler.newFactory())
            : null;
    this.managed = open(target.address(), loop);
    Metadata headers = new Metadata();
    if (!target.token().isEmpty()) {
      put(headers, "authorization", "Bearer " + target.token());
    }
    put(headers, "br-client-id", randomId());
    this.channel =
        ClientInterceptors.intercept(managed, MetadataUtils.newAttachHeadersInterceptor(headers));
  }

  private static void put(Metadata headers, String name, String value) {
    headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
  }

  private static ManagedChannel open(String address, EventLoopGroup loop) {
    NettyChannelBuilder builder;
    if (loop != null) {
      builder =
          NettyChannelBuilder.forAddress(new DomainSocketAddress(address.substring(5)))
              .channelType(EpollDomainSocketChannel.class)
              .eventLoopGroup(loop)
              .overrideAuthority("localhost");
    } else {
      builder = NettyChannelBuilder.forTarget(address);
    }
    if (loop != null || LOCAL.stream().anyMatch(address::startsWith)) {
      builder.proxyDetector(ignored -> null);
    }
    return builder
        .usePlaintext()
        .keepAliveTime(20, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .keepAliveWithoutCalls(true)
        // A page of a thousand tasks with long errors is more than we would ever send.
        .maxInboundMessageSize(16 * MESSAGE_BYTES)
        // Repeating is decided here, where it is known what may be repeated.
        .disableRetry()
        .build();
  }

  /** A random id of 16 hex digits: for request ids and client ids. */
  static String randomId() {
    return String.format("%016x", ThreadLocalRandom.current().nextLong());
  }

  Target target() {
    return target;
  }

  Channel channel() {
    return channel;
  }

  /** Nobody will be reached through it any more. */
  boolean isClosed() {
    return managed.isShutdown();
  }

  /** One call, repeated for 15 s in all while the coordinator cannot be reached. */
  <Q, R> R call(MethodDescriptor<Q, R> method, Q request) {
    return call(method, request, QUICK);
  }

  /** The same for {@code timeout} in all; each delivery has the rest of it as its deadline. */
  <Q, R> R call(MethodDescriptor<Q, R> method, Q request, Duration timeout) {
    long end = System.nanoTime() + timeout.toNanos();
    Backoff backoff = new Backoff();
    for (; ; ) {
      try {
        return send(method, request, end - System.nanoTime());
      } catch (StatusRuntimeException e) {
        long pauseMs = backoff.nextMs();
        boolean inTime = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(pauseMs) < end;
        if (!isPassing(e.getStatus(), e.getTrailers()) || !inTime) {
          throw thrown(e);
        }
        Backoff.pause(pauseMs);
        again();
      }
    }
  }

  /** One delivery. */
  <Q, R> R callOnce(MethodDescriptor<Q, R> method, Q request, Duration timeout) {
    try {
      return send(method, request, timeout.toNanos());
    } catch (StatusRuntimeException e) {
      throw thrown(e);
    }
  }

  private <Q, R> R send(MethodDescriptor<Q, R> method, Q request, long nanos) {
    CallOptions options =
        CallOptions.DEFAULT.withDeadlineAfter(Math.max(nanos, 1_000_000), TimeUnit.NANOSECONDS);
    return ClientCalls.blockingUnaryCall(channel, method, options, request);
  }

  /** Connects at once the next time: how long to wait between attempts is decided by callers. */
  void again() {
    managed.resetConnectBackoff();
  }

  BuildRunnerException thrown(StatusRuntimeException e) {
    if (Thread.currentThread().isInterrupted()
        && e.getStatus().getCode() == Status.Code.CANCELLED) {
      return Backoff.interrupted();
    }
    return Errors.from(e.getStatus(), e.getTrailers(), target.address(), e);
  }

  BuildRunnerException thrown(Status status, Metadata trailers) {
    return Errors.from(status, trailers, target.address(), null);
  }

  /** Nobody answered, or one who is about to stop: the same call may be sent again. */
  static boolean isPassing(Status status, Metadata trailers) {
    return Errors.isUnavailable(status) && !Errors.reasonOf(status, trailers).equals("DRAINING");
  }

  @Override
  public void close() {
    managed.shutdownNow();
    if (loop != null) {
      loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
  }
}
