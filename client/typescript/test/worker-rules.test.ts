/** The small rules of a worker: lease, credit, environment, reports, slots. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WelcomeSchema } from "../src/gen/buildrunner_parallel/v1/worker_service_pb.js";
import { CreditGauge } from "../src/worker/credit.js";
import { baseEnvironment, workingDirectory } from "../src/worker/environment.js";
import { Lease } from "../src/worker/lease.js";
import { oneLine } from "../src/worker/reports.js";
import { SlotPool } from "../src/worker/slots.js";

const WELCOME = create(WelcomeSchema, { stopAfterMs: 100n, killAfterMs: 150n });

test("the lease counts from the sending of the heartbeat that was answered", () => {
  const lease = new Lease();
  assert.deepEqual(lease.begin(WELCOME, 1_000, true), { stopAtMs: 1_100, killAtMs: 1_150 });
  const first = lease.nextHeartbeat(2_000);
  lease.nextHeartbeat(3_000);
  assert.deepEqual(lease.answered(first), { stopAtMs: 2_100, killAtMs: 2_150 });
  assert.equal(lease.answered(first), undefined, "an answer counts once");
  assert.equal(lease.answered(99n), undefined);
});

test("a hello renews the lease of a new worker only, and answers of an older stream renew nothing", () => {
  const lease = new Lease();
  const old = lease.nextHeartbeat(500);
  assert.equal(lease.begin(WELCOME, 1_000, false), undefined);
  assert.equal(lease.answered(old), undefined);
  assert.equal(lease.nextHeartbeat(1_500), 1n, "sequences start anew");
});

test("short tasks are held ahead, long ones are not", () => {
  const credit = new CreditGauge(2);
  assert.deepEqual([credit.initial, credit.change()], [3, 0]);
  credit.ran(1);
  assert.equal(credit.change(), 52);
  assert.equal(credit.change(), 0, "what is told is told once");
  for (const slots of [1, 2, 3, 8]) {
    const slow = new CreditGauge(slots);
    slow.ran(5_000);
    assert.equal(slow.change(), slots);
  }
});

test("tasks see what is allowed of the worker's environment, what is passed on, and never its token", () => {
  const own = {
    PATH: "/bin",
    LC_ALL: "C",
    https_proxy: "p",
    SECRET: "s",
    NPM_X: "n",
    BR_TOKEN: "t",
    BR_TOKEN_FILE: "f",
  };
  assert.deepEqual(baseEnvironment(own, "ab12", "unix:/s", ["NPM_*", "BR_TOKEN*"]), {
    PATH: "/bin",
    LC_ALL: "C",
    https_proxy: "p",
    NPM_X: "n",
    BR_WORKER_ID: "ab12",
    BR_COORDINATOR: "unix:/s",
  });
});

test("a task runs where it says, below its worktree, or where the worker does", () => {
  const directory = (worktree: string, below: string) =>
    workingDirectory(
      { $typeName: "buildrunner_parallel.v1.WorkingDirectory", worktree, path: below },
      "/here",
    );
  assert.deepEqual(
    [
      directory("/w/", "a/b"),
      directory("/w", ""),
      directory("/w", "/abs"),
      directory("", "a"),
      workingDirectory(undefined, "/here"),
    ],
    ["/w/a/b", "/w", "/abs", "/here/a", "/here"],
  );
});

test("an error is one line of at most 4 KiB, and no character is cut in two", () => {
  assert.equal(oneLine(" a\n\tb\r\nc "), "a b c");
  const long = oneLine("ä".repeat(5_000));
  assert.ok(Buffer.byteLength(long) <= 4096);
  assert.ok(/^ä+$/.test(long));
});

test("result and error files are read as far as allowed and removed, whatever stands there", () => {
  const scratch = mkdtempSync(path.join(tmpdir(), "br-test-"));
  try {
    const slots = new SlotPool(1, scratch);
    const folder = slots.folder(0);
    mkdirSync(folder);
    const write = (name: string, data: string | Buffer) => writeFileSync(path.join(folder, name), data);
    write("result", "kept");
    write("error", "first\nlast words \n\n");
    const { result, error } = slots.collect(0);
    assert.deepEqual([Buffer.from(result ?? []).toString(), error], ["kept", "last words"]);
    assert.deepEqual(slots.collect(0), { result: undefined, error: "" });
    write("result", Buffer.alloc((1 << 20) + 1));
    assert.match(slots.collect(0).error, /larger than 1048576 bytes/);
    mkdirSync(path.join(folder, "result"));
    symlinkSync("/etc/passwd", path.join(folder, "error"));
    assert.deepEqual(slots.collect(0), { result: undefined, error: "" });
    assert.deepEqual(slots.collect(0), { result: undefined, error: "" });
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

test("the lowest free slots are given first", () => {
  const slots = new SlotPool(3, "/nowhere");
  assert.deepEqual(slots.take(2), [0, 1]);
  slots.giveBack([0]);
  assert.deepEqual(slots.take(2), [0, 2]);
});
