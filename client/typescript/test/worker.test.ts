/** Workers with real processes, against a coordinator of the tests. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type AttemptOutput, LogService } from "../src/gen/buildrunner_parallel/v1/log_service_pb.js";
import { Outcome, OutputChannel } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import {
  type ConnectRequest,
  type ConnectResponseSchema,
  Disposition,
  type TaskReport,
  WorkerService,
} from "../src/gen/buildrunner_parallel/v1/worker_service_pb.js";
import { AuthenticationError, InternalError, InvalidRequestError } from "../src/index.js";
import { Worker, type WorkerOptions } from "../src/worker/index.js";
import { Signal } from "../src/worker/signal.js";
import { FakeCoordinator } from "./fake-coordinator.js";

type Response = MessageInitShape<typeof ConnectResponseSchema>;

const HANDLERS = new URL("../conformance/handlers.js", import.meta.url);

/** The coordinator's side of one worker, written out by each test. */
class Stage implements AsyncDisposable {
  readonly received: ConnectRequest[][] = [];
  readonly reports: TaskReport[] = [];
  readonly streamed: AttemptOutput[] = [];
  coordinator!: FakeCoordinator;
  /** How many reports are not answered before one is. */
  ignoredReports = 0;
  /** What the welcome waits for. */
  mayWelcome: Promise<void> = Promise.resolve();
  readonly #changed = new Signal();
  readonly #workers: { worker: Worker; served: Promise<void> }[] = [];
  #queue: Response[] = [];

  static async set(): Promise<Stage> {
    const stage = new Stage();
    stage.coordinator = await FakeCoordinator.start((router) => {
      router.service(WorkerService, {
        connect: (requests) => stage.#converse(requests),
        drainWorker: () => ({}),
      });
      router.service(LogService, {
        async *writeOutput(requests) {
          for await (const { outputs } of requests) {
            stage.streamed.push(...outputs);
            yield {
              acknowledgements: outputs.map(({ attemptId, fence, chunks }) => {
                const last = chunks.at(-1);
                return { attemptId, fence, offset: (last?.offset ?? 0n) + BigInt(last?.data.length ?? 0) };
              }),
            };
          }
        },
      });
    });
    return stage;
  }

  say(...responses: Response[]): void {
    this.#queue.push(...responses);
    this.#changed.set();
  }

  assign(
    attemptId: string,
    work: { argv?: string[]; handler?: string; payload?: string; graceMs?: bigint; timeoutMs?: bigint },
  ): void {
    const { argv, handler, payload = "", graceMs = 10_000n, timeoutMs = 0n } = work;
    const what =
      handler === undefined
        ? { case: "command" as const, value: { argv: argv ?? [] } }
        : { case: "handler" as const, value: { name: handler, payload: { data: Buffer.from(payload) } } };
    this.say({
      assignments: [
        {
          attemptId,
          fence: 7n,
          number: 1,
          generation: 1n,
          spec: { taskId: attemptId, work: what, graceMs, timeoutMs },
        },
      ],
    });
  }

  async *#converse(requests: AsyncIterable<ConnectRequest>): AsyncGenerator<Response> {
    const seen: ConnectRequest[] = [];
    this.received.push(seen);
    let isOver = false;
    void this.#read(requests, seen).finally(() => {
      isOver = true;
      this.#changed.set();
    });
    const answered = { heartbeats: 0 };
    await this.mayWelcome;
    yield { welcome: WELCOME };
    while (!isOver) {
      this.#changed.clear();
      for (const response of this.#queue.splice(0)) yield response;
      for (const { heartbeat } of seen.slice(answered.heartbeats)) {
        answered.heartbeats += 1;
        if (heartbeat !== undefined) yield { heartbeatReply: { sequence: heartbeat.sequence } };
      }
      await this.#changed.wait();
    }
  }

  async #read(requests: AsyncIterable<ConnectRequest>, seen: ConnectRequest[]): Promise<void> {
    try {
      for await (const request of requests) {
        seen.push(request);
        for (const report of request.reports) this.#take(report);
        this.#changed.set();
      }
    } catch {
      return; // broken: the worker is gone, or the test has killed the connection
    }
  }

  #take(report: TaskReport): void {
    this.reports.push(report);
    this.ignoredReports -= 1;
    if (this.ignoredReports >= 0) return;
    const { attemptId, fence } = report;
    this.#queue.push({ acknowledgements: [{ attemptId, fence, disposition: Disposition.ACCEPTED }] });
  }

  /** Waits until something has come. */
  async until<T>(find: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = find();
      if (found !== undefined && found !== false) return found as T;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  report(attemptId: string): Promise<TaskReport> {
    return this.until(() => this.reports.find((one) => one.attemptId === attemptId));
  }

  /** What the attempt wrote, in whichever way it came: slow machines stream what quick ones report. */
  text(report: TaskReport, channel: OutputChannel): string {
    const sent = this.streamed
      .filter((one) => one.attemptId === report.attemptId)
      .flatMap((one) => one.chunks);
    const byOffset = new Map([...sent, ...report.output].map((chunk) => [chunk.offset, chunk]));
    const chunks = [...byOffset.values()].filter((chunk) => chunk.channel === channel);
    return Buffer.concat(chunks.map((chunk) => chunk.data)).toString();
  }

  worker(options: WorkerOptions = {}): { worker: Worker; served: Promise<void> } {
    const worker = new Worker({ coordinator: this.coordinator.address, handlers: [HANDLERS], ...options });
    const served = worker.run();
    this.#workers.push({ worker, served });
    return { worker, served };
  }

  /** Also of a test that has failed nothing stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { worker, served } of this.#workers) {
      worker.stop();
      await served.catch(() => undefined);
    }
    await this.coordinator[Symbol.asyncDispose]();
  }
}

const WELCOME = {
  workerId: "ab12ab12",
  generation: 1n,
  storeId: "store",
  epoch: 1n,
  heartbeatIntervalMs: 50n,
  leaseMs: 600_000n,
  stopAfterMs: 500_000n,
  killAfterMs: 550_000n,
  reportRepeatMs: 100n,
  outputHeadBytes: 1n << 20n,
  outputTailBytes: 1n << 20n,
};

function isGone(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) === "Z";
  } catch {
    return true;
  }
}

test("heartbeats go on while a handler computes without ever yielding", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  stage.assign("busy", { handler: "conformance.busy", payload: '{"ms": 60000}', graceMs: 0n });
  const beats = () => stage.received[0]?.filter((one) => one.heartbeat !== undefined) ?? [];
  await stage.until(() => stage.received[0]?.some((one) => one.started.length > 0));
  const before = beats().length;
  await stage.until(() => beats().length > before + 5);
  assert.deepEqual(stage.reports, []);
  assert.deepEqual(
    beats()
      .at(-1)
      ?.heartbeat?.held.map((one) => [one.attemptId, one.started]),
    [["busy", true]],
  );
  stage.say({ cancellations: [{ attemptId: "busy", fence: 7n, outcome: Outcome.CANCELLED }] });
  assert.equal((await stage.report("busy")).outcome, Outcome.CANCELLED);
  worker.drain();
  await served;
});

test("a worker that drains finishes what runs, says goodbye and resolves", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  stage.assign("wait", { handler: "conformance.wait", payload: '{"ms": 300}' });
  await stage.until(() => stage.received[0]?.some((one) => one.started.length > 0));
  worker.drain();
  stage.assign("late", { argv: ["true"] });
  await served;
  assert.equal((await stage.report("wait")).outcome, Outcome.SUCCEEDED);
  const last = stage.received[0] ?? [];
  assert.ok(
    last.some((one) =>
      one.revocationAnswers.some((answer) => answer.attemptId === "late" && !answer.started),
    ),
  );
  assert.equal(last.at(-1)?.goodbye?.reason, "drained");
});

test("a worker that is told to leave before it is welcomed waits for the welcome, and says goodbye", async () => {
  await using stage = await Stage.set();
  const welcome = new Signal();
  stage.mayWelcome = welcome.wait();
  const { worker, served } = stage.worker();
  await stage.until(() => stage.received[0]?.[0]?.hello);
  worker.drain();
  welcome.set();
  await served;
  await stage.until(() => stage.received[0]?.at(-1)?.goodbye?.reason === "drained");
});

test("a report is said again until it is acknowledged, over a break too, and its attempt is held meanwhile", async () => {
  await using stage = await Stage.set();
  stage.ignoredReports = 3;
  const { worker, served } = stage.worker();
  stage.assign("a1", { argv: ["sh", "-c", "exit 3"] });
  await stage.until(() => stage.reports.length >= 2);
  await stage.coordinator.kill();
  await stage.coordinator.listen();
  await stage.until(() => stage.ignoredReports < 0);
  const hello = stage.received.at(-1)?.[0]?.hello;
  assert.deepEqual([hello?.workerId, hello?.storeId, hello?.epoch], ["ab12ab12", "store", 1n]);
  assert.deepEqual(
    hello?.held.map((one) => [one.attemptId, one.ended]),
    [["a1", true]],
  );
  for (const report of stage.reports) assert.deepEqual(report, stage.reports[0]);
  assert.equal(stage.reports[0]?.exitCode, 3);
  worker.drain();
  await served;
});

test("what runs goes on while the coordinator is away", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  stage.assign("a1", {
    argv: ["sh", "-c", `while [ ! -e ${stage.coordinator.folder}/go ]; do sleep 0.02; done; echo on`],
  });
  const start = await stage.until(() => stage.received[0]?.find((one) => one.started.length > 0)?.started[0]);
  await stage.coordinator.kill();
  assert.equal(isGone(start.pid), false);
  await stage.coordinator.listen();
  const held = await stage.until(() => stage.received[1]?.[0]?.hello?.held);
  assert.deepEqual(
    held.map((one) => [one.attemptId, one.pid, one.started]),
    [["a1", start.pid, true]],
  );
  writeFileSync(`${stage.coordinator.folder}/go`, "");
  assert.equal(stage.text(await stage.report("a1"), OutputChannel.STDOUT), "on\n");
  worker.drain();
  await served;
});

test("commands write to real pipes, and give result and error in files", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  const line =
    'echo out; echo direct > /dev/stdout; echo err > /dev/stderr; echo kept > "$BR_RESULT_FILE"; echo "own words" > "$BR_ERROR_FILE"; exit 4';
  stage.assign("a1", { argv: ["sh", "-c", line] });
  const report = await stage.report("a1");
  assert.equal(stage.text(report, OutputChannel.STDOUT), "out\ndirect\n");
  assert.equal(stage.text(report, OutputChannel.STDERR), "err\n");
  assert.equal(Buffer.from(report.result?.data ?? []).toString(), "kept\n");
  assert.deepEqual([report.outcome, report.exitCode, report.error], [Outcome.FAILED, 4, "own words"]);
  worker.drain();
  await served;
});

test("a timeout stops a command with all that it started, in whatever session", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  const file = path.join(stage.coordinator.folder, "pid");
  stage.assign("a1", {
    argv: [
      "sh",
      "-c",
      `setsid sh -c 'echo $$ > ${file}; exec sleep 600' & trap '' TERM; sleep 600; sleep 600`,
    ],
    timeoutMs: 400n,
    graceMs: 100n,
  });
  const report = await stage.report("a1");
  assert.equal(report.outcome, Outcome.TIMED_OUT);
  assert.match(report.error, /stopped after its timeout of 0.4 s/);
  if (existsSync(file)) assert.ok(isGone(Number(readFileSync(file, "utf8"))));
  worker.drain();
  await served;
});

test("what a command leaves in the background dies with it", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker();
  const file = path.join(stage.coordinator.folder, "pids");
  stage.assign("a1", { argv: ["sh", "-c", `(setsid sleep 600 & echo $!; sleep 600 & echo $!) > ${file}`] });
  const report = await stage.report("a1");
  assert.equal(report.outcome, Outcome.SUCCEEDED);
  const pids = readFileSync(file, "utf8").trim().split("\n").map(Number);
  assert.equal(pids.length, 2);
  for (const pid of pids) assert.ok(isGone(pid), `${pid} is still there`);
  worker.drain();
  await served;
});

test("a handler's result, error, output and progress are its task's", async () => {
  await using stage = await Stage.set();
  const { worker, served } = stage.worker({ slots: 2 });
  stage.assign("echo", { handler: "conformance.echo", payload: "\u0000bytes" });
  stage.assign("fail", { handler: "conformance.fail", payload: '{"message": "too\\nbad"}' });
  stage.assign("progress", { handler: "conformance.progress", payload: '{"steps": 3}' });
  stage.assign("none", { handler: "no.such.handler" });
  assert.equal(Buffer.from((await stage.report("echo")).result?.data ?? []).toString(), "\u0000bytes");
  const failed = await stage.report("fail");
  assert.deepEqual([failed.outcome, failed.error, failed.exitCode], [Outcome.FAILED, "too bad", undefined]);
  assert.match(stage.text(failed, OutputChannel.STDERR), /Error: too/);
  assert.equal((await stage.report("progress")).outcome, Outcome.SUCCEEDED);
  assert.match((await stage.report("none")).error, /no handler is named "no.such.handler"/);
  const told = stage.received.flat().flatMap((one) => one.progress);
  assert.ok(told.every((one) => one.attemptId === "progress" && one.message.startsWith("step ")));
  assert.ok(told.length > 0);
  worker.drain();
  await served;
});

test("a refused token rejects, and so do handlers that cannot be loaded", async () => {
  await using stage = await Stage.set();
  await assert.rejects(stage.worker({ token: "wrong" }).served, AuthenticationError);
  await assert.rejects(stage.worker({ handlers: ["./no-such-module.js"] }).served, (error: unknown) => {
    assert.ok(error instanceof InvalidRequestError);
    assert.match(error.message, /cannot load handlers from .*no-such-module/);
    return true;
  });
});

test("a worker that is killed takes the processes of its tasks with it", async () => {
  await using stage = await Stage.set();
  const program = fileURLToPath(new URL("../conformance/worker.js", import.meta.url));
  const env = { ...process.env, BR_COORDINATOR: stage.coordinator.address };
  const child: ChildProcess = spawn(process.execPath, [program], { env, stdio: "ignore" });
  stage.assign("a1", { argv: ["sh", "-c", "setsid sleep 600 & sleep 600"] });
  const start = await stage.until(() => stage.received[0]?.find((one) => one.started.length > 0)?.started[0]);
  child.kill("SIGKILL");
  await stage.until(() => isGone(start.pid));
});

test("when its supervisor is killed a worker ends, and no process of its tasks is left", async () => {
  await using stage = await Stage.set();
  const { served } = stage.worker();
  stage.assign("a1", { argv: ["sh", "-c", "setsid sleep 600 & sleep 600"] });
  const start = await stage.until(() => stage.received[0]?.find((one) => one.started.length > 0)?.started[0]);
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8")
    .trim()
    .split(" ");
  assert.equal(children.length, 1);
  process.kill(Number(children[0]), "SIGKILL");
  await assert.rejects(served, InternalError);
  await stage.until(() => isGone(start.pid));
});
