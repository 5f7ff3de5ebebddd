import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AuditMode, IsolationMode, Outcome } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import {
  AcknowledgementSchema,
  AssignmentSchema,
  CancellationSchema,
  type ConnectRequest,
  Disposition,
  RevocationSchema,
} from "../src/gen/buildrunner_parallel/v1/worker_service_pb.js";
import { AttemptBook } from "../src/worker/book.js";
import { CreditGauge } from "../src/worker/credit.js";
import type { Ended, ToSupervisor } from "../src/worker/messages.js";
import { Outgoing } from "../src/worker/outgoing.js";

let instructions: ToSupervisor[];
let outgoing: Outgoing;
let book: AttemptBook;

beforeEach(() => {
  instructions = [];
  outgoing = new Outgoing();
  book = new AttemptBook({
    slots: 2,
    directory: "/default",
    outgoing,
    credit: new CreditGauge(2),
    instruct: (message) => instructions.push(message),
    readTimeUs: () => 1_000_000n,
    log: () => undefined,
  });
  book.outputHeadBytes = 1 << 20;
  book.outputTailBytes = 1 << 20;
});

type SpecInit = NonNullable<MessageInitShape<typeof AssignmentSchema>["spec"]>;

function assign(attemptId: string, spec: SpecInit = {}, generation = 1n): void {
  const work = { case: "command" as const, value: { argv: ["true"] } };
  book.assign(
    [
      create(AssignmentSchema, {
        attemptId,
        fence: 7n,
        generation,
        number: 1,
        spec: { taskId: "t", work, ...spec },
      }),
    ],
    1n,
  );
  book.dispatch();
}

function started(key: string): void {
  book.onEvent({ type: "started", key, pid: 99, slot: 0, startedAtUs: 5n }, 0);
}

function ended(key: string, how: Partial<Ended> = {}): void {
  const base = {
    cause: "" as const,
    exitCode: 0,
    signal: 0,
    endedAtUs: 9n,
    wallMs: 1_500,
    result: undefined,
    error: "",
    usage: undefined,
  };
  book.onEvent({ type: "ended", key, ...base, ...how }, 0);
}

/** All that waits to be said, and nothing is left. */
function said(): ConnectRequest {
  const request = outgoing.take();
  assert.ok(outgoing.isEmpty);
  return request;
}

function acknowledge(attemptId: string, disposition: Disposition, outputOffset = 0n): void {
  book.acknowledge(create(AcknowledgementSchema, { attemptId, fence: 7n, disposition, outputOffset }));
}

const keys = () => instructions.map((one) => ("key" in one ? `${one.type} ${one.key}` : one.type));

test("an attempt is run, told as started, reported, and let go once accepted", () => {
  assign("a1");
  assert.deepEqual(keys(), ["run a1"]);
  started("a1");
  assert.deepEqual(
    said().started.map((one) => [one.attemptId, one.fence, one.pid]),
    [["a1", 7n, 99]],
  );
  assert.deepEqual(
    book.held().map((one) => [one.attemptId, one.started, one.ended]),
    [["a1", true, false]],
  );
  ended("a1");
  const [report] = said().reports;
  assert.deepEqual([report?.outcome, report?.exitCode, report?.fence], [Outcome.SUCCEEDED, 0, 7n]);
  assert.equal(book.size, 1);
  acknowledge("a1", Disposition.ACCEPTED);
  assert.equal(book.size, 0);
});

test("an assignment that comes twice, or from an older stream, is void", () => {
  assign("a1");
  assign("a1");
  assign("a2", {}, 0n);
  book.assign([create(AssignmentSchema, { attemptId: "a3", fence: 7n, generation: 1n })], 2n);
  book.dispatch();
  assert.deepEqual(keys(), ["run a1", "run a2"]);
  ended("a1");
  acknowledge("a1", Disposition.ACCEPTED);
  assign("a1");
  assert.deepEqual(keys(), ["run a1", "run a2"]);
});

test("no more run than there are slots, in order, and a heavy one waits for room", () => {
  for (const id of ["a1", "a2", "a3"]) assign(id);
  assert.deepEqual(keys(), ["run a1", "run a2"]);
  ended("a1");
  assign("heavy", { slots: 5 });
  assign("a4");
  assert.deepEqual(keys(), ["run a1", "run a2", "run a3"]);
  ended("a2");
  ended("a3");
  book.dispatch();
  assert.deepEqual(keys().slice(3), ["run heavy"]);
});

test("a report is repeated unchanged until it is acknowledged", () => {
  assign("a1");
  ended("a1", { exitCode: 3 });
  const [first] = said().reports;
  book.repeatReports(10, 5);
  assert.ok(outgoing.isEmpty, "the first look only starts the clock");
  book.repeatReports(15, 5);
  assert.deepEqual(said().reports, [first]);
  book.newStream(16);
  assert.deepEqual(said().reports, [first]);
  acknowledge("a1", Disposition.DUPLICATE);
  book.repeatReports(1_000, 5);
  assert.ok(outgoing.isEmpty);
});

test("a stale attempt is stopped and never reported", () => {
  assign("a1");
  started("a1");
  said();
  acknowledge("a1", Disposition.STALE);
  assert.deepEqual(keys(), ["run a1", "cancel a1"]);
  assert.deepEqual(book.held(), []);
  ended("a1", { cause: "cancel" });
  assert.ok(outgoing.isEmpty);
  assert.equal(book.size, 0);
});

test("a fence that is not the attempt's acknowledges nothing", () => {
  assign("a1");
  ended("a1");
  book.acknowledge(
    create(AcknowledgementSchema, { attemptId: "a1", fence: 6n, disposition: Disposition.ACCEPTED }),
  );
  assert.equal(book.size, 1);
});

test("a revocation gives back what waits, and says that it is too late for what has started", () => {
  for (const id of ["a1", "a2", "a3"]) assign(id);
  started("a1");
  said();
  for (const attemptId of ["a1", "a2", "a3", "never-seen"]) {
    book.revoke(create(RevocationSchema, { attemptId, fence: 7n }));
  }
  const answers = (request: ConnectRequest) =>
    request.revocationAnswers.map((one) => [one.attemptId, one.started]);
  assert.deepEqual(answers(said()), [
    ["a1", true],
    ["a3", false],
    ["never-seen", false],
  ]);
  started("a2");
  assert.deepEqual(answers(said()), [["a2", true]]);
  assign("a3");
  assert.deepEqual(answers(said()), [["a3", false]]);
});

test("a cancelled attempt ends with the outcome that was asked for", () => {
  assign("a1");
  started("a1");
  said();
  book.cancel(
    create(CancellationSchema, {
      attemptId: "a1",
      fence: 7n,
      outcome: Outcome.LOCK_LOST,
      graceMs: 5n,
      reason: "forced",
    }),
  );
  assert.deepEqual(instructions.at(-1), {
    type: "cancel",
    key: "a1",
    graceMs: 5,
    cause: "cancel",
    reason: "forced",
  });
  ended("a1", { cause: "cancel", exitCode: undefined, signal: 15 });
  const [report] = said().reports;
  assert.deepEqual([report?.outcome, report?.signal, report?.error], [Outcome.LOCK_LOST, 15, "forced"]);
});

test("what succeeded before the cancel reached it is reported as succeeded", () => {
  assign("a1");
  started("a1");
  said();
  book.cancel(create(CancellationSchema, { attemptId: "a1", fence: 7n, outcome: Outcome.CANCELLED }));
  ended("a1");
  assert.equal(said().reports[0]?.outcome, Outcome.SUCCEEDED);
});

test("a cancel of what has not started, or is not known, is simply reported", () => {
  for (const id of ["a1", "a2", "a3"]) assign(id);
  for (const attemptId of ["a3", "unknown"]) {
    book.cancel(create(CancellationSchema, { attemptId, fence: 7n, outcome: Outcome.CANCELLED }));
  }
  assert.deepEqual(
    said().reports.map((one) => [one.attemptId, one.outcome, one.startedAtUs]),
    [
      ["a3", Outcome.CANCELLED, 0n],
      ["unknown", Outcome.CANCELLED, 0n],
    ],
  );
  ended("a1");
  book.dispatch();
  assert.deepEqual(keys(), ["run a1", "run a2"]);
});

test("unknown ids in a heartbeat's answer are stopped without a report", () => {
  for (const id of ["a1", "a2", "a3"]) assign(id);
  book.disown(["a1", "a3", "who"]);
  assert.deepEqual(keys().slice(2), ["cancel a1"]);
  assert.equal(book.size, 2);
  ended("a1", { cause: "cancel" });
  assert.deepEqual(said().reports, []);
});

test("draining gives back what has not started and takes nothing new", () => {
  for (const id of ["a1", "a2", "a3"]) assign(id);
  book.drain();
  assign("a4");
  assert.deepEqual(
    said().revocationAnswers.map((one) => [one.attemptId, one.started]),
    [
      ["a3", false],
      ["a4", false],
    ],
  );
  assert.equal(book.size, 2);
});

test("what loses the lease before its start waits for the next one", () => {
  assign("a1");
  book.onEvent({ type: "refused", key: "a1", kind: "lease", message: "" }, 0);
  book.dispatch();
  assert.deepEqual(keys(), ["run a1"]);
  book.leaseRenewed();
  book.dispatch();
  assert.deepEqual(keys(), ["run a1", "run a1"]);
});

test("only a fault of the worker's own counts as one", () => {
  assign("a1");
  assign("a2");
  book.onEvent({ type: "refused", key: "a1", kind: "task", message: "program not found" }, 0);
  book.onEvent({ type: "refused", key: "a2", kind: "resources", message: "EAGAIN" }, 0);
  assert.deepEqual(
    said().reports.map((one) => [one.outcome, one.workerFault]),
    [
      [Outcome.NOT_STARTED, false],
      [Outcome.NOT_STARTED, true],
    ],
  );
});

test("a worktree of its own is refused, and what is audited is told not to be", () => {
  assign("a1", { isolation: IsolationMode.WORKTREE });
  assign("a2", { work: { case: undefined } });
  const refused = said().reports;
  assert.deepEqual(
    refused.map((one) => one.outcome),
    [Outcome.NOT_STARTED, Outcome.NOT_STARTED],
  );
  assert.match(refused[0]?.error ?? "", /worktree/);
  assert.deepEqual(instructions, []);
  assign("a3", { files: [{ path: "a" }] });
  assign("a4", { audit: AuditMode.OFF, files: [{ path: "a" }] });
  ended("a3");
  ended("a4");
  assert.deepEqual(
    said().reports.map((one) => one.audit !== undefined),
    [true, false],
  );
});

test("small output travels in the report", () => {
  assign("a1");
  book.onEvent({ type: "output", key: "a1", channel: 2, data: Buffer.from("bad\nworse\n") }, 0);
  ended("a1", { exitCode: 3 });
  const [report] = said().reports;
  assert.equal(report?.error, "exit code 3: worse");
  assert.deepEqual([report?.outputBytes, report?.output.length], [10n, 1]);
  acknowledge("a1", Disposition.OUTPUT_MISSING);
  assert.deepEqual(said().reports, [report]);
});

test("large output must be durable before the report leaves, and is sent again from where it is missing", () => {
  assign("a1");
  book.onEvent({ type: "output", key: "a1", channel: 1, data: Buffer.alloc(100_000) }, 0);
  const output = book.withOutput[0]?.output;
  assert.ok(output);
  output.take(1 << 20, 0);
  ended("a1");
  assert.ok(outgoing.isEmpty);
  book.acknowledgeOutput("a1", 7n, 99_999, false);
  assert.ok(outgoing.isEmpty);
  book.acknowledgeOutput("a1", 7n, 100_000, false);
  assert.deepEqual(
    said().reports.map((one) => [one.outputBytes, one.output.length]),
    [[100_000n, 0]],
  );
  acknowledge("a1", Disposition.OUTPUT_MISSING, 100_000n);
  book.acknowledgeOutput("a1", 7n, 100_000, false);
  assert.equal(said().reports.length, 1);
});

test("a task's environment has what it set and who it is, never the token", () => {
  assign("a1", {
    environment: { X: "1", BR_TOKEN: "secret" },
    passedEnvironment: { X: "0", Y: "2" },
    directory: { worktree: "/w", path: "sub" },
  });
  const start = instructions[0];
  assert.ok(start?.type === "run");
  assert.equal(start.cwd, "/w/sub");
  assert.deepEqual([start.env["X"], start.env["Y"], start.env["BR_TOKEN"]], ["1", "2", undefined]);
  assert.deepEqual(
    [start.env["BR_TASK_ID"], start.env["BR_FENCE"], start.env["BR_ATTEMPT_ID"]],
    ["t", "7", "a1"],
  );
});
