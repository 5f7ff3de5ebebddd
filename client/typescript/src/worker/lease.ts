/** The worker's lease: counted from the sending of the last answered heartbeat. Pure; moments are those of clock.ts. */
import type { Welcome } from "../gen/buildrunner_parallel/v1/worker_service_pb.js";

const REMEMBERED = 64;

export interface LeaseUntil {
  /** When all tasks must have been asked to end. */
  readonly stopAtMs: number;
  /** When they must be dead. */
  readonly killAtMs: number;
}

export class Lease {
  #stopAfterMs = 0;
  #killAfterMs = 0;
  #sequence = 0n;
  readonly #sentAtMs = new Map<bigint, number>();

  /** A new stream. Only a new worker's hello counts as its first heartbeat; others keep their lease. */
  begin(welcome: Welcome, helloSentAtMs: number, isNew: boolean): LeaseUntil | undefined {
    this.#stopAfterMs = Number(welcome.stopAfterMs);
    this.#killAfterMs = Number(welcome.killAfterMs);
    this.#sequence = 0n;
    this.#sentAtMs.clear();
    return isNew ? this.#until(helloSentAtMs) : undefined;
  }

  /** The sequence number of a heartbeat that is sent now. */
  nextHeartbeat(nowMs: number): bigint {
    this.#sequence += 1n;
    this.#sentAtMs.set(this.#sequence, nowMs);
    this.#sentAtMs.delete(this.#sequence - BigInt(REMEMBERED));
    return this.#sequence;
  }

  /** The new lease when the heartbeat was answered; an unknown answer gives none. */
  answered(sequence: bigint): LeaseUntil | undefined {
    const sentAtMs = this.#sentAtMs.get(sequence);
    this.#sentAtMs.delete(sequence);
    return sentAtMs === undefined ? undefined : this.#until(sentAtMs);
  }

  #until(fromMs: number): LeaseUntil | undefined {
    if (this.#killAfterMs === 0) return undefined;
    return { stopAtMs: fromMs + this.#stopAfterMs, killAtMs: fromMs + this.#killAfterMs };
  }
}
