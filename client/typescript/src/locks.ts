/** A path lock that a program holds: renewed while it lives, released when it is disposed of, loss told. */
import { setTimeout as sleep } from "node:timers/promises";
import { bootTimeMs } from "./clock.js";
import type { Connection } from "./connection.js";
import { BuildRunnerError, LockLostError, UnavailableError } from "./errors.js";
import type { AcquireLocksResponse } from "./gen/buildrunner_parallel/v1/lock_service_pb.js";
import type { PathLock } from "./gen/buildrunner_parallel/v1/types_pb.js";
import { newRequestId } from "./requests.js";

const LONGEST_CALL_MS = 10_000;
const SHORTEST_CALL_MS = 1_000;

/**
 * A grant. With a lease it ends so long after its last renewal, and `signal` is aborted, with a LockLostError
 * as its reason, as soon as it is known to be lost; give that signal to what the lock protects.
 */
export class Lock implements AsyncDisposable {
  /** The session that it is held in. */
  readonly sessionId: string;
  /** Names it; empty when a task's own locks covered everything. */
  readonly grantId: string;
  /** Larger than that of whoever held any of it before. */
  readonly fence: bigint;
  /** One for each path asked for, in that order. */
  readonly locks: readonly PathLock[];
  /** How long it stood in the queue. */
  readonly waitedMs: number;
  readonly #connection: Connection;
  readonly #leaseMs: number;
  readonly #isOurs: boolean;
  readonly #lost = new AbortController();
  readonly #ending = new AbortController();
  #untilMs: number;
  #renewing: Promise<void> | undefined;

  /** `askedMs`: when the request was sent, on the clock of clock.ts. */
  constructor(connection: Connection, sessionId: string, grant: AcquireLocksResponse, askedMs: number) {
    this.#connection = connection;
    this.sessionId = sessionId;
    this.grantId = grant.grantId;
    this.fence = grant.fence;
    this.locks = grant.locks;
    this.waitedMs = Number(grant.waitedMs);
    this.#leaseMs = Number(grant.leaseMs);
    this.#isOurs = grant.grantId !== "" && !grant.alreadyHeld;
    // Of one that was waited for it is not known when its lease began: it is renewed at once.
    this.#untilMs = (grant.waitedMs > 0n ? bootTimeMs() : askedMs) + this.#leaseMs;
    if (this.#isOurs && this.#leaseMs > 0) this.#renewing = this.#renew(grant.waitedMs > 0n);
  }

  /** Aborted, with a LockLostError as its reason, once it is lost. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether nobody else can hold it at this moment; false too while its renewal is late. */
  get held(): boolean {
    const isOpen = !this.#lost.signal.aborted && !this.#ending.signal.aborted;
    return isOpen && (this.#renewing === undefined || bootTimeMs() < this.#untilMs);
  }

  /** Gives it back. Throws LockLostError when it was lost before. */
  async release(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    await this.#renewing;
    this.#lost.signal.throwIfAborted();
    if (!this.#isOurs) return;
    const request = {
      requestId: newRequestId(),
      sessionId: this.sessionId,
      grantId: this.grantId,
      fence: this.fence,
    };
    try {
      await this.#connection.run((services, options) => services.locks.releaseLocks(request, options));
    } catch (error) {
      if (isRefusal(error)) this.#lose((error as Error).message);
      this.#lost.signal.throwIfAborted();
      throw error;
    }
  }

  /** The same as `release`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async #renew(atOnce: boolean): Promise<void> {
    const { signal } = this.#ending;
    let pauseMs = atOnce ? 0 : this.#leaseMs / 3;
    while (!signal.aborted && !this.#lost.signal.aborted) {
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = (await this.#renewOnce()) ? this.#leaseMs / 3 : Math.min(500, this.#leaseMs / 10);
    }
  }

  async #renewOnce(): Promise<boolean> {
    const sentMs = bootTimeMs();
    const leftMs = Math.max(0, this.#untilMs - sentMs);
    const timeoutMs = Math.min(LONGEST_CALL_MS, Math.max(SHORTEST_CALL_MS, leftMs / 2));
    const request = { grantId: this.grantId, fence: this.fence };
    try {
      const options = { timeoutMs, patienceMs: leftMs };
      const answer = await this.#connection.run(
        (services, call) => services.locks.renewLease(request, call),
        options,
      );
      this.#untilMs = sentMs + Number(answer.leaseMs);
      return true;
    } catch (error) {
      if (isRefusal(error)) this.#lose((error as Error).message);
      else if (this.#connection.closed) this.#lose("the client was closed");
      else if (bootTimeMs() >= this.#untilMs) this.#lose(`its lease could not be renewed in time: ${error}`);
      return false;
    }
  }

  #lose(why: string): void {
    const paths = this.locks.slice(0, 3).map((lock) => lock.path || "./");
    const more = this.locks.length > 3 ? ` and ${this.locks.length - 3} more` : "";
    const message = `the lock of ${paths.join(", ")}${more} was lost while it was needed: ${why}`;
    this.#lost.abort(new LockLostError(message, "LOCK_LOST"));
  }
}

function isRefusal(error: unknown): boolean {
  return (
    error instanceof BuildRunnerError && !(error instanceof UnavailableError) && error.kind !== "internal"
  );
}
