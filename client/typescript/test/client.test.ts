import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { LockService } from "../src/gen/buildrunner_parallel/v1/lock_service_pb.js";
import { SessionService } from "../src/gen/buildrunner_parallel/v1/session_service_pb.js";
import { TaskService } from "../src/gen/buildrunner_parallel/v1/task_service_pb.js";
import {
  AuthenticationError,
  Client,
  InternalError,
  InvalidRequestError,
  LimitError,
  LockConflictError,
  NotFoundError,
  StaleError,
  UnavailableError,
  UnsupportedError,
  WrongStateError,
} from "../src/index.js";
import { FakeCoordinator, refusal, TOKEN } from "./fake-coordinator.js";

function connect(
  coordinator: FakeCoordinator,
  options: { patienceMs?: number; token?: string } = {},
): Promise<Client> {
  return Client.connect({ coordinator: coordinator.address, ...options });
}

test("a call carries the token found beside the socket and one client id for all calls", async () => {
  await using coordinator = await FakeCoordinator.start();
  await using client = await connect(coordinator);
  assert.equal((await client.info()).epoch, 7n);
  const ids = coordinator.headers.map((headers) => headers.get("br-client-id"));
  assert.equal(ids.length, 2);
  assert.equal(new Set(ids).size, 1);
  assert.equal(coordinator.headers[0]?.get("authorization"), `Bearer ${TOKEN}`);
});

test("every unary call has a deadline", async () => {
  await using coordinator = await FakeCoordinator.start();
  await using client = await connect(coordinator);
  await client.info({ timeoutMs: 4_000 });
  for (const headers of coordinator.headers) assert.match(headers.get("grpc-timeout") ?? "", /^\d+m$/);
});

test("a refused token is an error of its own", async () => {
  await using coordinator = await FakeCoordinator.start();
  await assert.rejects(connect(coordinator, { token: "wrong" }), AuthenticationError);
});

test("refusals become errors by their reason, and by their code without one", async () => {
  const cases: [ConnectError, new (...args: never[]) => Error, string][] = [
    [refusal(Code.NotFound, "SESSION_NOT_FOUND", "no"), NotFoundError, "not_found"],
    [refusal(Code.FailedPrecondition, "WRONG_STATE", "no"), WrongStateError, "wrong_state"],
    [refusal(Code.FailedPrecondition, "SESSION_CLOSED", "no"), WrongStateError, "wrong_state"],
    [refusal(Code.InvalidArgument, "CYCLE", "no"), InvalidRequestError, "invalid"],
    [refusal(Code.AlreadyExists, "REQUEST_ID_REUSED", "no"), InvalidRequestError, "invalid"],
    [refusal(Code.ResourceExhausted, "LIMIT", "no"), LimitError, "limit"],
    [refusal(Code.Aborted, "STALE", "no"), StaleError, "stale"],
    [refusal(Code.Unavailable, "DRAINING", "no"), UnavailableError, "unavailable"],
    [refusal(Code.Internal, "INTERNAL", "no"), InternalError, "internal"],
    [refusal(Code.FailedPrecondition, "A_REASON_OF_TOMORROW", "no"), WrongStateError, "wrong_state"],
    [new ConnectError("no", Code.ResourceExhausted), LimitError, "limit"],
    [new ConnectError("no", Code.Unimplemented), UnsupportedError, "unsupported"],
  ];
  let next = 0;
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(SessionService, {
      getSession: () => {
        throw cases[next]?.[0];
      },
    }),
  );
  await using client = await connect(coordinator);
  for (const [error, Kind, kind] of cases) {
    await assert.rejects(client.session("ab12"), (thrown: Error & { kind?: string; reason?: string }) => {
      assert.ok(thrown instanceof Kind, `${error.message} gave ${thrown.name}`);
      assert.equal(thrown.kind, kind);
      return true;
    });
    next += 1;
  }
});

test("a lock conflict has every clash of the status details", async () => {
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(LockService, {
      acquireLocks: () => {
        throw refusal(Code.Aborted, "LOCK_CONFLICT", "Files already locked by session cd34cd34: a, b", [
          "a",
          "b",
        ]);
      },
    }),
  );
  await using client = await connect(coordinator);
  await assert.rejects(client.lock("ab12", ["a", "b"]), (error: unknown) => {
    assert.ok(error instanceof LockConflictError);
    assert.deepEqual(
      error.conflicts.map((one) => one.heldPath),
      ["a", "b"],
    );
    assert.equal(error.conflicts[0]?.holder?.sessionName, "Docs");
    return true;
  });
});

test("a call that lost its answer is sent again under the same request id", async () => {
  const requestIds: string[] = [];
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(SessionService, {
      createSession: async ({ requestId, name }) => {
        requestIds.push(requestId);
        if (requestIds.length === 1) {
          await coordinator.kill();
          await coordinator.listen();
          throw new ConnectError("lost", Code.Unavailable);
        }
        return { session: { sessionId: "ab12ab12", name } };
      },
    }),
  );
  await using client = await connect(coordinator);
  assert.equal((await client.createSession({ name: "checks" })).name, "checks");
  assert.equal(requestIds.length, 2);
  assert.equal(new Set(requestIds).size, 1);
  assert.notEqual(requestIds[0], "");
});

test("a coordinator that stays away is unavailable once patience is over", async () => {
  await using coordinator = await FakeCoordinator.start();
  await using client = await connect(coordinator, { patienceMs: 50 });
  await coordinator.kill();
  await assert.rejects(client.info(), UnavailableError);
});

test("an aborted signal rejects with its own reason", async () => {
  await using coordinator = await FakeCoordinator.start();
  await using client = await connect(coordinator);
  const reason = new Error("enough");
  await assert.rejects(client.info({ signal: AbortSignal.abort(reason) }), reason);
});

test("a closed client says so", async () => {
  await using coordinator = await FakeCoordinator.start();
  const client = await connect(coordinator);
  client.close();
  await assert.rejects(client.info(), UnavailableError);
});

test("more than a thousand tasks are submitted in parts, each with a request id, and sealed with the last", async () => {
  const seen: { tasks: number; seal: boolean; requestId: string }[] = [];
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(TaskService, {
      submitTasks: ({ tasks, seal, requestId }) => {
        seen.push({ tasks: tasks.length, seal, requestId });
        return { tasks: tasks.map(({ taskId }) => ({ taskId })) };
      },
    }),
  );
  await using client = await connect(coordinator);
  const tasks = Array.from({ length: 2_500 }, (_, index) => ({ taskId: `t${index}`, argv: ["true"] }));
  const added = await client.submit("ab12", tasks, { seal: true });
  assert.deepEqual(
    added.map((task) => task.taskId),
    tasks.map((task) => task.taskId),
  );
  assert.deepEqual(
    seen.map((one) => [one.tasks, one.seal]),
    [
      [1000, false],
      [1000, false],
      [500, true],
    ],
  );
  assert.equal(new Set(seen.map((one) => one.requestId)).size, 3);
});

test("lists are read to their last page", async () => {
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(SessionService, {
      listSessions: ({ pageToken }) => ({
        sessions: [{ sessionId: `s${pageToken}` }],
        nextPageToken: pageToken === "2" ? "" : String(Number(pageToken) + 1),
      }),
    }),
  );
  await using client = await connect(coordinator);
  const ids: string[] = [];
  for await (const session of client.sessions()) ids.push(session.sessionId);
  assert.deepEqual(ids, ["s", "s1", "s2"]);
});

test("a lock renews its lease under its fence, and tells when it is refused", async () => {
  const renewed: bigint[] = [];
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(LockService, {
      acquireLocks: () => ({ grantId: "9a9a9a9a", fence: 42n, leaseMs: 30n, locks: [{ path: "a" }] }),
      renewLease: ({ fence }) => {
        renewed.push(fence);
        if (renewed.length > 2) throw refusal(Code.Aborted, "STALE", "another holder has it");
        return { leaseMs: 30n };
      },
    }),
  );
  await using client = await connect(coordinator);
  const lock = await client.lock("ab12", ["a"], { leaseMs: 30 });
  await new Promise((resolve) => lock.signal.addEventListener("abort", resolve));
  assert.equal(lock.held, false);
  assert.match(String(lock.signal.reason), /the lock of a was lost .* another holder has it/);
  assert.deepEqual(new Set(renewed), new Set([42n]));
  await assert.rejects(lock.release(), StaleError);
});

test("a lock without a lease is released once", async () => {
  const released: string[] = [];
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(LockService, {
      acquireLocks: () => ({ grantId: "9a9a9a9a", fence: 42n, locks: [{ path: "a" }] }),
      releaseLocks: ({ grantId, fence }) => {
        released.push(`${grantId} ${fence}`);
        return {};
      },
    }),
  );
  await using client = await connect(coordinator);
  {
    await using lock = await client.lock("ab12", ["a"]);
    assert.equal(lock.held, true);
    await lock.release();
  }
  assert.deepEqual(released, ["9a9a9a9a 42"]);
});
