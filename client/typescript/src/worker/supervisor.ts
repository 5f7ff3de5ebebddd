/**
 * The supervisor process: starts, watches and ends the processes of one worker's tasks, and keeps the lease even
 * while the worker itself is stopped. When its channel to the worker ends, everything that it started ends.
 */
import { rmSync } from "node:fs";
import { constants } from "node:os";
import { bootTimeMs } from "../clock.js";
import { type Host, HostPool } from "./host-pool.js";
import type {
  Ended,
  FromHost,
  FromSupervisor,
  StartCommand,
  StartHandler,
  ToSupervisor,
} from "./messages.js";
import { nowUs } from "./messages.js";
import { makePipes, type OnOutput, OutputPipes } from "./pipes.js";
import { signalTo, startTicks } from "./process-tree.js";
import { Run } from "./run.js";
import { SlotPool } from "./slots.js";
import { SpawnFailure, spawnCommand } from "./spawning.js";

const QUIT_GRACE_MS = 500;
const LEASE_CHECK_MS = 100;
const PAUSE_ABOVE_BYTES = 4 << 20;
const RESUME_BELOW_BYTES = 1 << 20;
const FOR_EVER_MS = 2 ** 31 - 1;

class Supervisor {
  readonly #runs = new Map<string, Run>();
  readonly #cancelled = new Set<string>();
  #slots = new SlotPool(0, "");
  #hosts = new HostPool("", []);
  #baseEnv: Record<string, string> = {};
  #lease = { stopAtMs: Number.POSITIVE_INFINITY, killAtMs: Number.POSITIVE_INFINITY };
  #unsentBytes = 0;
  #isHeld = false;
  #isQuitting = false;

  take(message: ToSupervisor): void {
    switch (message.type) {
      case "configure":
        return void this.#configure(message);
      case "environment":
        this.#baseEnv = message.baseEnv;
        return;
      case "run":
        return void this.#start(message, () => this.#runCommand(message));
      case "handle":
        return void this.#start(message, () => this.#runHandler(message));
      case "cancel":
        return this.#cancel(message.key, message.graceMs, message);
      case "lease":
        this.#lease = message;
        return this.#enforceLease();
      case "quit":
        return void this.quit(message.graceMs);
    }
  }

  async #configure(message: Extract<ToSupervisor, { type: "configure" }>): Promise<void> {
    this.#slots = new SlotPool(message.slots, message.scratch);
    this.#hosts = new HostPool(message.scratch, message.handlerModules);
    this.#baseEnv = message.baseEnv;
    setInterval(() => this.#enforceLease(), LEASE_CHECK_MS);
    try {
      makePipes(this.#slots.folders);
      const handlers = message.handlerModules.length > 0 ? await this.#handlerNames() : [];
      this.#say({ type: "ready", handlers });
    } catch (error) {
      this.#say({ type: "failed", message: (error as Error).message });
    }
  }

  async #handlerNames(): Promise<readonly string[]> {
    const host = this.#hosts.take(this.#baseEnv);
    const names = await host.ready;
    this.#hosts.giveBack(host);
    return names;
  }

  // Starting

  async #start(message: StartCommand | StartHandler, work: () => Promise<void>): Promise<void> {
    if (this.#isQuitting) return this.#say({ type: "revoked", key: message.key });
    if (bootTimeMs() >= this.#lease.stopAtMs) {
      const text = "the worker's lease has run out";
      return this.#say({ type: "refused", key: message.key, kind: "lease", message: text });
    }
    try {
      await work();
    } catch (error) {
      const kind = error instanceof SpawnFailure ? error.kind : "resources";
      this.#say({ type: "refused", key: message.key, kind, message: (error as Error).message });
    }
  }

  async #runCommand(message: StartCommand): Promise<void> {
    const slots = this.#slots.take(message.slots);
    const slot = slots[0] ?? 0;
    const pipes = new OutputPipes(this.#slots.folder(slot), this.#outputOf(message.key));
    const env = { ...this.#baseEnv, ...message.env, ...this.#slots.environment(slot) };
    try {
      const child = await spawnCommand(message.argv, env, message.cwd, pipes.writers).finally(() =>
        pipes.closeWriters(),
      );
      const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
        child.once("exit", (code, signal) => resolve([code, signal])),
      );
      const run = this.#newRun(message, child.pid, startTicks(child.pid), slots, pipes, false, () =>
        signalTo(-child.pid, "SIGTERM"),
      );
      void exited.then(([code, signal]) => this.#commandEnded(run, code, signal));
    } catch (error) {
      pipes.close();
      this.#slots.giveBack(slots);
      throw error;
    }
  }

  async #commandEnded(run: Run, code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    const ended = endOf(run, code, signal);
    await run.end();
    const { result, error } = this.#slots.collect(run.options.slots[0] ?? 0);
    const data = result === undefined ? undefined : { data: result, contentType: "" };
    this.#over(run, { ...ended, result: data, error });
  }

  async #runHandler(message: StartHandler): Promise<void> {
    const slots = this.#slots.take(message.slots);
    let host: Host;
    try {
      host = this.#hosts.take(this.#baseEnv);
      await host.ready;
    } catch (error) {
      this.#slots.giveBack(slots);
      throw error;
    }
    if (this.#cancelled.delete(message.key)) {
      this.#slots.giveBack(slots);
      this.#hosts.giveBack(host);
      return this.#say({ type: "revoked", key: message.key });
    }
    host.onOutput = this.#outputOf(message.key);
    const { pid, sinceTicks, pipes } = host;
    const run = this.#newRun(message, pid, sinceTicks, slots, pipes, true, (reason) =>
      host.send({ type: "cancel", reason }),
    );
    const slot = this.#slots.environment(slots[0] ?? 0)["BR_SLOT"] ?? "0";
    const env = { ...message.env, BR_SLOT: slot };
    host.send({ ...message, type: "task", env });
    const done = new Promise<FromHost>((resolve) => {
      host.onMessage = (told) => {
        if (told.type === "progress") this.#say({ ...told, key: message.key });
        else if (told.type === "done") resolve(told);
      };
    });
    void Promise.race([done, host.exited]).then((told) => this.#handlerEnded(run, host, told));
  }

  async #handlerEnded(run: Run, host: Host, told: FromHost | Awaited<Host["exited"]>): Promise<void> {
    if (!("type" in told)) {
      const ended = endOf(run, told.code, told.signal);
      await run.end();
      const error = ended.cause === "" ? "the handler's process ended while it ran" : "";
      return this.#over(run, { ...ended, error });
    }
    if (told.type !== "done") return;
    const ended = endOf(run, null, null);
    await run.end();
    // What had ended before it heard that it should is taken as it is.
    const cause = told.cancelled ? ended.cause : "";
    this.#hosts.giveBack(host);
    this.#over(run, { ...ended, cause, result: told.result, error: told.error, usage: told.usage });
  }

  #newRun(
    message: StartCommand | StartHandler,
    pid: number,
    sinceTicks: bigint,
    slots: readonly number[],
    pipes: OutputPipes,
    staysAlive: boolean,
    askToEnd: (reason: string) => void,
  ): Run {
    const { key, graceMs, timeoutMs } = message;
    const mark = `BR_ATTEMPT_ID=${key}`;
    const run = new Run({
      key,
      pid,
      mark,
      sinceTicks,
      slots,
      graceMs,
      timeoutMs,
      pipes,
      staysAlive,
      askToEnd,
    });
    this.#runs.set(key, run);
    if (this.#isHeld) pipes.pause();
    else pipes.resume();
    this.#say({ type: "started", key, pid, slot: slots[0] ?? 0, startedAtUs: run.startedAtUs });
    return run;
  }

  #over(run: Run, ended: Ended): void {
    this.#runs.delete(run.key);
    this.#slots.giveBack(run.options.slots);
    this.#say(ended);
  }

  // Ending

  #cancel(key: string, graceMs: number, { cause, reason }: Extract<ToSupervisor, { type: "cancel" }>): void {
    const run = this.#runs.get(key);
    if (run === undefined) this.#cancelled.add(key);
    else run.stop(cause, graceMs, reason);
    // Of a key that never comes here nothing must stay.
    if (this.#cancelled.size > 1_000) this.#cancelled.clear();
  }

  #enforceLease(): void {
    const nowMs = bootTimeMs();
    if (nowMs < this.#lease.stopAtMs) return;
    const graceMs = nowMs >= this.#lease.killAtMs ? 0 : FOR_EVER_MS;
    for (const run of this.#runs.values()) run.stop("lease", graceMs, "the worker's lease has run out");
  }

  /** Ends everything, then this process. */
  async quit(graceMs: number): Promise<void> {
    if (this.#isQuitting) return;
    this.#isQuitting = true;
    for (const run of this.#runs.values()) run.stop("stop", graceMs, "the worker ends");
    while (this.#runs.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#hosts.close();
    if (this.#slots.scratch !== "") rmSync(this.#slots.scratch, { recursive: true, force: true });
    process.exit(0);
  }

  // Speaking

  #outputOf(key: string): OnOutput {
    return (channel, data) => this.#say({ type: "output", key, channel, data }, data.length);
  }

  #say(message: FromSupervisor, bytes = 0): void {
    if (!process.connected) return;
    this.#unsentBytes += bytes;
    process.send?.(message, undefined, undefined, () => {
      this.#unsentBytes -= bytes;
      this.#holdOrRelease();
    });
    this.#holdOrRelease();
  }

  /** Nothing more is read from tasks while the worker does not take what was read. */
  #holdOrRelease(): void {
    const hold = this.#unsentBytes > (this.#isHeld ? RESUME_BELOW_BYTES : PAUSE_ABOVE_BYTES);
    if (hold === this.#isHeld) return;
    this.#isHeld = hold;
    for (const run of this.#runs.values()) {
      if (hold) run.options.pipes.pause();
      else run.options.pipes.resume();
    }
  }
}

function endOf(run: Run, code: number | null, signal: NodeJS.Signals | null): Ended {
  return {
    type: "ended",
    key: run.key,
    cause: run.cause,
    exitCode: code ?? undefined,
    signal: signal === null ? 0 : constants.signals[signal],
    endedAtUs: nowUs(),
    wallMs: performance.now() - run.startedMs,
    result: undefined,
    error: "",
    usage: undefined,
  };
}

const supervisor = new Supervisor();
process.on("message", (message: ToSupervisor) => supervisor.take(message));
process.on("disconnect", () => void supervisor.quit(QUIT_GRACE_MS));
process.on("SIGTERM", () => void supervisor.quit(QUIT_GRACE_MS));
process.on("SIGINT", () => undefined);
