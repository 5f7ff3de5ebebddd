package dev.buildrunner.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import dev.buildrunner.parallel.v1.AcquireLocksResponse;
import dev.buildrunner.parallel.v1.CreateSessionResponse;
import dev.buildrunner.parallel.v1.LockConflict;
import dev.buildrunner.parallel.v1.ReleaseLocksResponse;
import dev.buildrunner.parallel.v1.RenewLeaseResponse;
import dev.buildrunner.parallel.v1.Session;
import dev.buildrunner.parallel.v1.WatchResponse;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ClientTest {
  private static final Duration LONG = Duration.ofMinutes(2);

  @TempDir Path folder;
  FakeCoordinator fake;
  Client client;

  @BeforeEach
  void begin() throws Exception {
    fake = new FakeCoordinator(folder);
    client = new Client(fake.target());
  }

  @AfterEach
  void end() throws Exception {
    client.close();
    fake.close();
  }

  private static StatusRuntimeException refusal(int code, String reason, LockConflict... clashes) {
    ErrorInfo info =
        ErrorInfo.newBuilder().setReason(reason).setDomain("parallel.buildrunner.dev").build();
    var status =
        com.google.rpc.Status.newBuilder()
            .setCode(code)
            .setMessage("as told")
            .addDetails(Any.pack(info));
    for (LockConflict clash : clashes) {
      status.addDetails(Any.pack(clash));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private static CreateSessionResponse session(String id) {
    return CreateSessionResponse.newBuilder()
        .setSession(Session.newBuilder().setSessionId(id))
        .build();
  }

  @Test
  void sendsTheTokenAndAClientId() {
    fake.create.then(request -> session("ab12"));
    assertEquals("ab12", client.createSession("one").getSessionId());
    Metadata sent = fake.headers.get(0);
    var token = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    var id = Metadata.Key.of("br-client-id", Metadata.ASCII_STRING_MARSHALLER);
    assertEquals("Bearer secret", sent.get(token));
    assertEquals(16, sent.get(id).length());
  }

  @Test
  void repeatsACallUnderOneRequestIdWhileNobodyAnswers() {
    fake.create.fails(Status.UNAVAILABLE).fails(Status.CANCELLED).then(q -> session("ab12"));
    client.createSession("one");
    assertEquals(3, fake.create.asked.size());
    assertEquals(1, fake.create.asked.stream().distinct().count());
    assertFalse(fake.create.asked.get(0).getRequestId().isEmpty());
  }

  @Test
  void doesNotRepeatWhatIsRefused() {
    fake.create.then(
        request -> {
          throw refusal(Status.Code.NOT_FOUND.value(), "WORKSPACE_NOT_FOUND");
        });
    var e = assertThrows(BuildRunnerException.class, () -> client.createSession("one"));
    assertEquals(ErrorKind.NOT_FOUND, e.kind());
    assertEquals("WORKSPACE_NOT_FOUND", e.reason());
    assertEquals("as told", e.getMessage());
    assertEquals(1, fake.create.asked.size());
  }

  @Test
  void aConflictHasEveryClash() {
    LockConflict one = LockConflict.newBuilder().setAskedPath("a").setHeldPath("a").build();
    LockConflict two = LockConflict.newBuilder().setAskedPath("b/c").setHeldPath("b/").build();
    fake.acquire.then(
        request -> {
          throw refusal(Status.Code.ABORTED.value(), "LOCK_CONFLICT", one, two);
        });
    var e =
        assertThrows(
            LockConflictException.class,
            () -> client.acquire("ab12", List.of(Tasks.path("a")), LockOptions.DEFAULT));
    assertEquals(ErrorKind.CONFLICT, e.kind());
    assertEquals(List.of(one, two), e.conflicts());
  }

  @Test
  void aWaitWithoutAnEndIsOne() {
    fake.acquire.then(q -> grant(0));
    Duration ever = Duration.ofSeconds(-5);
    client.acquire("ab12", List.of(Tasks.path("a")), LockOptions.DEFAULT.withWait(ever));
    assertEquals(-1, fake.acquire.asked.get(0).getWaitMs());
  }

  @Test
  void aHeldLockIsRenewedAndReleased() throws Exception {
    CompletableFuture<Void> renewedTwice = new CompletableFuture<>();
    fake.acquire.then(q -> grant(6_000));
    fake.renew.then(
        q -> {
          if (fake.renew.asked.size() >= 2) {
            renewedTwice.complete(null);
          }
          return RenewLeaseResponse.newBuilder().setLeaseMs(6_000).build();
        });
    fake.release.then(q -> ReleaseLocksResponse.getDefaultInstance());
    try (HeldLocks held =
        client.hold("ab12", List.of(Tasks.path("a")), Duration.ZERO, LONG, lost -> {})) {
      renewedTwice.get();
      assertEquals(7, held.fence());
    }
    assertEquals("g1", fake.release.asked.get(0).getGrantId());
  }

  @Test
  void aLostLockIsToldOnce() throws Exception {
    CompletableFuture<BuildRunnerException> told = new CompletableFuture<>();
    fake.acquire.then(q -> grant(6_000));
    fake.renew.then(
        q -> {
          throw refusal(Status.Code.ABORTED.value(), "STALE");
        });
    HeldLocks held =
        client.hold("ab12", List.of(Tasks.path("a")), Duration.ZERO, LONG, told::complete);
    assertEquals(ErrorKind.STALE, told.get().kind());
    assertTrue(held.isLost());
    assertThrows(BuildRunnerException.class, held::release);
    assertTrue(fake.release.asked.isEmpty());
  }

  private static AcquireLocksResponse grant(long leaseMs) {
    return AcquireLocksResponse.newBuilder()
        .setGrantId("g1")
        .setFence(7)
        .setLeaseMs(leaseMs)
        .build();
  }

  @Test
  void aWatchGoesOnBehindTheLastRevision() {
    fake.streams.add(
        List.of(
            WatchResponse.newBuilder().setReset(true).setSnapshot(true).setStoreId("s").build(),
            WatchResponse.newBuilder().setSnapshot(true).setRevision(5).setStoreId("s").build()));
    fake.streams.add(List.of(WatchResponse.newBuilder().setRevision(6).build()));
    try (Watch watch = client.watch(WatchOptions.DEFAULT.withSessions("ab12"))) {
      assertTrue(watch.next(LONG).orElseThrow().getReset());
      assertEquals(5, watch.next(LONG).orElseThrow().getRevision());
      assertEquals(6, watch.next(LONG).orElseThrow().getRevision());
      assertEquals(1, watch.reconnects());
    }
    assertFalse(fake.watched.get(0).hasSinceRevision());
    assertEquals(5, fake.watched.get(1).getSinceRevision());
    assertEquals("s", fake.watched.get(1).getStoreId());
  }

  @Test
  void aSnapshotThatBreaksOffIsBegunAnew() {
    fake.streams.add(List.of(WatchResponse.newBuilder().setReset(true).setSnapshot(true).build()));
    fake.streams.add(List.of(WatchResponse.newBuilder().setReset(true).setRevision(9).build()));
    try (Watch watch = client.watch(WatchOptions.DEFAULT.since(3, "s"))) {
      watch.next(LONG);
      assertEquals(9, watch.next(LONG).orElseThrow().getRevision());
    }
    assertEquals(3, fake.watched.get(0).getSinceRevision());
    assertFalse(fake.watched.get(1).hasSinceRevision());
  }
}
