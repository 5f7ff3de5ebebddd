/** One process of a task, or one task of a handler host, from its start until nothing of it is left. */
import type { Cause } from "./messages.js";
import { nowUs } from "./messages.js";
import type { OutputPipes } from "./pipes.js";
import { Orphanage, signalTo, survivors } from "./process-tree.js";

const LEFTOVER_GRACE_MS = 500;
const LOOK_AGAIN_MS = 20;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const orphanage = new Orphanage();

export interface RunOptions {
  readonly key: string;
  /** The process, which leads a group of its own. */
  readonly pid: number;
  /** NAME=value in the environment of everything that the task starts. */
  readonly mark: string;
  /** When the process started, in ticks of /proc. */
  readonly sinceTicks: bigint;
  readonly slots: readonly number[];
  readonly graceMs: number;
  readonly timeoutMs: number;
  readonly pipes: OutputPipes;
  /** The process stays, for the next task: a handler host. */
  readonly staysAlive: boolean;
  /** Asks it to end: SIGTERM, or a word to a handler. */
  readonly askToEnd: (reason: string) => void;
}

export class Run {
  readonly startedMs = performance.now();
  readonly startedAtUs = nowUs();
  cause: Cause = "";
  #stopping = false;
  #killed = false;
  #killAtMs = Number.POSITIVE_INFINITY;
  #killTimer: NodeJS.Timeout | undefined;
  #timeoutTimer: NodeJS.Timeout | undefined;

  constructor(readonly options: RunOptions) {
    if (options.timeoutMs > 0) this.#timeOutAt(this.startedMs + options.timeoutMs);
  }

  get key(): string {
    return this.options.key;
  }

  /** Asks it to end, and kills it after the grace. A second call can only bring the kill forward. */
  stop(cause: Cause, graceMs: number, reason: string): void {
    if (!this.#stopping) {
      this.#stopping = true;
      this.cause = cause;
      this.options.askToEnd(reason);
    }
    const atMs = performance.now() + graceMs;
    if (this.#killed || atMs >= this.#killAtMs) return;
    clearTimeout(this.#killTimer);
    this.#killAtMs = atMs;
    this.#killTimer = setTimeout(() => this.#kill(), Math.min(graceMs, LONGEST_TIMER_MS));
  }

  /** The process has exited, or the handler is done: waits until nothing that it started is left. */
  async end(): Promise<void> {
    clearTimeout(this.#timeoutTimer);
    const { staysAlive, graceMs, pipes } = this.options;
    const leftoversUntilMs = performance.now() + Math.min(graceMs, LEFTOVER_GRACE_MS);
    const told = new Set<number>();
    for (;;) {
      const left = this.#left();
      if (left.length === 0) break;
      const untilMs = this.#stopping ? this.#killAtMs : leftoversUntilMs;
      const isLate = this.#killed || performance.now() >= untilMs;
      for (const one of left.filter((candidate) => isLate || !told.has(candidate))) {
        signalTo(one, isLate ? "SIGKILL" : "SIGTERM");
        told.add(one);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    clearTimeout(this.#killTimer);
    if (staysAlive) pipes.drain();
    else pipes.close();
  }

  #left(): number[] {
    const { pid, mark, sinceTicks, staysAlive } = this.options;
    const may = staysAlive
      ? orphanage.mayHaveLeftBehind(pid, mark, sinceTicks)
      : orphanage.mayHaveLeft(pid, mark, sinceTicks);
    return may ? survivors(pid, mark, sinceTicks, staysAlive ? pid : 0) : [];
  }

  #timeOutAt(atMs: number): void {
    const leftMs = atMs - performance.now();
    const onTime = () => (leftMs > LONGEST_TIMER_MS ? this.#timeOutAt(atMs) : this.#timeOut());
    this.#timeoutTimer = setTimeout(onTime, Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS));
  }

  #timeOut(): void {
    this.stop("timeout", this.options.graceMs, "its time has run out");
  }

  /** The process, its group, and whatever of the task has left the group. */
  #kill(): void {
    this.#killed = true;
    const { pid, mark, sinceTicks } = this.options;
    const left = survivors(pid, mark, sinceTicks);
    signalTo(-pid, "SIGKILL");
    for (const one of left) signalTo(one, "SIGKILL");
  }
}
