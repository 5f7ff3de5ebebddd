/** A watch that is followed in the background, for `watch_until`. */
import { TimeoutError, taskStatusName, type Watch } from "../src/index.js";

type Seen = [revision: number, taskId: string, status: string];

export class Following {
  readonly #watch: Watch;
  readonly #done: Promise<void>;
  #changes: Seen[] = [];
  /** The last state of each task. */
  readonly #states = new Map<string, string>();
  readonly #reached = new Set<string>();
  #waiting: () => void = () => undefined;
  #failure: unknown;

  constructor(watch: Watch) {
    this.#watch = watch;
    this.#done = this.#follow();
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#watch) {
        for (const { entity } of event.changes) {
          if (entity.case !== "task") continue;
          const status = taskStatusName(entity.value.status);
          const revision = Number(event.revision > 0n ? event.revision : entity.value.revision);
          this.#changes.push([revision, entity.value.taskId, status]);
          this.#states.set(entity.value.taskId, status);
          this.#reached.add(`${status} ${entity.value.taskId}`);
        }
        this.#waiting();
      }
    } catch (error) {
      this.#failure = error;
      this.#waiting();
    }
  }

  /** Throws TimeoutError, and what ended the watch. */
  async until(taskId: string, status: string, timeoutMs: number): Promise<Record<string, unknown>> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.#reached.has(`${status} ${taskId}`)) {
      if (this.#failure !== undefined) throw this.#failure;
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) {
        const state = this.#states.get(taskId) ?? "never seen";
        throw new TimeoutError(`task ${taskId} is ${state}, not ${status}, after ${timeoutMs / 1000} s`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const { revision, resets, compactions, reconnects } = this.#watch;
    const changes = this.#changes;
    this.#changes = [];
    return { revision: Number(revision ?? 0n), resets, compactions, reconnects, changes };
  }

  async close(): Promise<void> {
    this.#watch.close();
    await this.#done;
  }
}
