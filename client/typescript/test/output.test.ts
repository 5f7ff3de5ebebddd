import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { LogService } from "../src/gen/buildrunner_parallel/v1/log_service_pb.js";
import { Client, NotFoundError } from "../src/index.js";
import { FakeCoordinator, refusal } from "./fake-coordinator.js";

function chunk(offset: number, text: string, channel = 1, droppedBytes = 0) {
  const data = Buffer.from(text);
  return {
    taskId: "t",
    attempt: 1,
    chunk: { offset: BigInt(offset), channel, data, droppedBytes: BigInt(droppedBytes) },
  };
}

test("output that breaks off goes on without gap or repeat, on both channels", async () => {
  let calls = 0;
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(LogService, {
      async *readOutput() {
        calls += 1;
        yield chunk(0, "one ");
        if (calls === 1) yield chunk(4, "two ", 2);
        if (calls === 1) throw new ConnectError("gone", Code.Unavailable);
        yield chunk(4, "two thr", 2);
        yield chunk(11, "ee");
        yield chunk(20, "end", 1, 7);
      },
    }),
  );
  await using client = await Client.connect({ coordinator: coordinator.address });
  const pieces: [string, number, string, number][] = [];
  for await (const piece of client.output("ab12", "t")) {
    pieces.push([piece.channel, piece.offset, Buffer.from(piece.data).toString(), piece.droppedBytes]);
  }
  assert.deepEqual(pieces, [
    ["stdout", 0, "one ", 0],
    ["stderr", 4, "two ", 0],
    ["stderr", 8, "thr", 0],
    ["stdout", 11, "ee", 0],
    ["stdout", 20, "end", 7],
  ]);
  assert.equal(calls, 2);
});

test("what the coordinator refuses ends the reading", async () => {
  await using coordinator = await FakeCoordinator.start((router) =>
    router.service(LogService, {
      // biome-ignore lint/correctness/useYield: it refuses before there is anything
      async *readOutput() {
        throw refusal(Code.NotFound, "TASK_NOT_FOUND", "no such task");
      },
    }),
  );
  await using client = await Client.connect({ coordinator: coordinator.address });
  await assert.rejects(client.output("ab12", "t").next(), NotFoundError);
});
