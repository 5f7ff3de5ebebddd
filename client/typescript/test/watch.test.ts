import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { EventService, type WatchRequest } from "../src/gen/buildrunner_parallel/v1/event_service_pb.js";
import { SessionService } from "../src/gen/buildrunner_parallel/v1/session_service_pb.js";
import { SessionStatus } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import { Client, TimeoutError, UnavailableError, WrongStateError } from "../src/index.js";
import { FakeCoordinator, refusal } from "./fake-coordinator.js";

type Stream = (request: WatchRequest) => AsyncGenerator<Record<string, unknown>>;

/** Each stream of a watch in turn. */
async function withStreams(
  streams: Stream[],
): Promise<{ coordinator: FakeCoordinator; requests: WatchRequest[] }> {
  const requests: WatchRequest[] = [];
  const coordinator = await FakeCoordinator.start((router) =>
    router.service(EventService, {
      watch: (request) => {
        requests.push(request);
        return (streams[requests.length - 1] ?? for_ever)(request);
      },
    }),
  );
  return { coordinator, requests };
}

async function* for_ever(): AsyncGenerator<Record<string, unknown>> {
  await new Promise(() => undefined);
  yield {};
}

test("a watch resumes behind a break from the last revision it saw whole", async () => {
  const { coordinator, requests } = await withStreams([
    async function* () {
      yield { reset: true, snapshot: true, storeId: "store" };
      yield { snapshot: true, revision: 5n };
      yield { revision: 6n };
      throw new ConnectError("gone", Code.Unavailable);
    },
    async function* () {
      yield { revision: 7n };
      yield { revision: 8n, closing: true };
    },
    async function* () {
      yield { revision: 9n };
      throw refusal(Code.ResourceExhausted, "WATCHER_TOO_SLOW", "read faster");
    },
    async function* () {
      yield { reset: true, compacted: true, snapshot: true, revision: 20n };
      yield* for_ever();
    },
  ]);
  await using _ = coordinator;
  await using client = await Client.connect({ coordinator: coordinator.address });
  await using watch = client.watch({ sessionIds: ["ab12"] });
  const revisions: bigint[] = [];
  for await (const event of watch) {
    revisions.push(event.revision);
    if (event.revision === 20n) break;
  }
  assert.deepEqual(revisions, [0n, 5n, 6n, 7n, 8n, 9n, 20n]);
  assert.deepEqual(
    requests.map((one) => one.sinceRevision),
    [undefined, 6n, 8n, 9n],
  );
  assert.deepEqual(
    requests.map((one) => one.storeId),
    ["", "store", "store", "store"],
  );
  assert.deepEqual([watch.resets, watch.compactions, watch.reconnects], [2, 1, 3]);
});

test("a snapshot that breaks off is asked for anew", async () => {
  const { coordinator, requests } = await withStreams([
    async function* () {
      yield { reset: true, snapshot: true };
      throw new ConnectError("gone", Code.Unavailable);
    },
  ]);
  await using _ = coordinator;
  await using client = await Client.connect({ coordinator: coordinator.address });
  await using watch = client.watch({ since: 3n, storeId: "store" });
  await watch.next();
  void watch.next();
  while (requests.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    requests.map((one) => one.sinceRevision),
    [3n, undefined],
  );
});

test("what the coordinator refuses ends the watch", async () => {
  const { coordinator } = await withStreams([
    async function* () {
      yield { revision: 1n };
      throw refusal(Code.FailedPrecondition, "WRONG_STATE", "no");
    },
  ]);
  await using _ = coordinator;
  await using client = await Client.connect({ coordinator: coordinator.address });
  const watch = client.watch();
  await watch.next();
  await assert.rejects(watch.next(), WrongStateError);
});

test("closing a watch ends a wait for its next event, and no stream is left", async () => {
  const { coordinator } = await withStreams([]);
  await using _ = coordinator;
  await using client = await Client.connect({ coordinator: coordinator.address });
  const watch = client.watch();
  const next = watch.next();
  watch.close();
  assert.deepEqual(await next, { done: true, value: undefined });
});

test("a coordinator that does not come back ends the watch once patience is over", async () => {
  const { coordinator } = await withStreams([]);
  await using _ = coordinator;
  await using client = await Client.connect({ coordinator: coordinator.address });
  const watch = client.watch({ patienceMs: 50 });
  const next = watch.next();
  await coordinator.kill();
  await assert.rejects(next, UnavailableError);
});

test("waiting for a session ends with the change that ends it, or with the caller's time", async () => {
  const session = { sessionId: "ab12ab12", status: SessionStatus.RUNNING };
  await using coordinator = await FakeCoordinator.start((router) => {
    router.service(SessionService, { getSession: () => ({ session }) });
    router.service(EventService, {
      async *watch({ kinds }) {
        assert.equal(kinds.length, 1);
        yield { reset: true, snapshot: true, revision: 1n };
        const ended = { sessionId: "ab12ab12", status: SessionStatus.COMPLETED };
        yield { revision: 2n, changes: [{ entity: { case: "session", value: ended } }] };
      },
    });
  });
  await using client = await Client.connect({ coordinator: coordinator.address });
  assert.equal((await client.waitSession("ab12")).status, SessionStatus.COMPLETED);
});

test("a wait that runs out is a TimeoutError", async () => {
  const session = { sessionId: "ab12ab12", status: SessionStatus.RUNNING };
  await using coordinator = await FakeCoordinator.start((router) => {
    router.service(SessionService, { getSession: () => ({ session }) });
    router.service(EventService, { watch: for_ever });
  });
  await using client = await Client.connect({ coordinator: coordinator.address });
  await assert.rejects(client.waitSession("ab12", { timeoutMs: 10 }), TimeoutError);
});
