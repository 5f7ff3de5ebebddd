/** What is said in a conversation, and in which order. */
import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Services } from "../src/connection.js";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  ConnectResponseSchema,
  HeartbeatSchema,
  HelloSchema,
} from "../src/gen/buildrunner_parallel/v1/worker_service_pb.js";
import { Conversation } from "../src/worker/conversation.js";

const HEARTBEAT_MS = 20;

/** Takes one request in 3 heartbeats' time, as a connection does that is slow to send. */
async function* slowly(
  requests: AsyncIterable<ConnectRequest>,
  said: ConnectRequest[],
): AsyncGenerator<ReturnType<typeof create<typeof ConnectResponseSchema>>> {
  yield create(ConnectResponseSchema, { welcome: { heartbeatIntervalMs: BigInt(HEARTBEAT_MS) } });
  for await (const request of requests) {
    said.push(request);
    if (said.length > 3) return;
    await new Promise((resolve) => setTimeout(resolve, 3 * HEARTBEAT_MS));
  }
}

test("nothing is said after goodbye, not even a heartbeat that is due", async () => {
  const said: ConnectRequest[] = [];
  const connect = (requests: AsyncIterable<ConnectRequest>) => slowly(requests, said);
  let isLeaving = true;
  const conversation = new Conversation({ workers: { connect } } as unknown as Services, {
    hello: () => create(HelloSchema),
    welcomed: () => "",
    received: () => undefined,
    nextRequest: () => {
      if (!isLeaving) return undefined;
      isLeaving = false;
      return create(ConnectRequestSchema, { goodbye: { reason: "drained" } });
    },
    heartbeat: () => create(HeartbeatSchema),
  });
  await conversation.run();
  assert.ok(said[0]?.hello);
  assert.equal(said[1]?.goodbye?.reason, "drained");
  assert.equal(said.length, 2, "something came after goodbye");
});
