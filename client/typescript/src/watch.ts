/** The change feed: a snapshot, then each change once and in order, resumed by itself after each break. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Connection, Retry } from "./connection.js";
import { reasonOf } from "./error-mapping.js";
import {
  type Change,
  EntityKind,
  WatchRequestSchema,
  type WatchResponse,
} from "./gen/buildrunner_parallel/v1/event_service_pb.js";

/** What to follow, and from where. */
export interface WatchOptions {
  /** Only what belongs to these sessions; their tasks are in the snapshot then. */
  readonly sessionIds?: readonly string[] | undefined;
  /** Default: all. */
  readonly kinds?: readonly ("session" | "task" | "worker" | "lock" | "pool")[] | undefined;
  /** Ended tasks too in the snapshot. */
  readonly endedTasks?: boolean | undefined;
  /** Only changes with higher revisions, as long as the coordinator has them: from an earlier `revision`. */
  readonly since?: bigint | undefined;
  /** The store that `since` belongs to: an earlier `storeId`. */
  readonly storeId?: string | undefined;
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
  /** How long a coordinator that went away is looked for; default: the client's. */
  readonly patienceMs?: number | undefined;
}

/** One message of the feed. Unknown entities of newer coordinators come with an empty `entity`. */
export interface WatchEvent {
  /** The state behind this event; 0 in all but the last event of a snapshot. */
  readonly revision: bigint;
  /** Forget everything seen before: a snapshot begins. */
  readonly reset: boolean;
  /** With `reset`: the revision asked for is no longer known. */
  readonly compacted: boolean;
  /** Part of a snapshot: `changes` hold what exists. */
  readonly snapshot: boolean;
  /** Nothing of the snapshot is missing any more. */
  readonly complete: boolean;
  /** The coordinator ends in order; the feed goes on when there is one again. */
  readonly closing: boolean;
  /** Entities as they are now, or what is no more. */
  readonly changes: readonly Change[];
}

const KINDS = {
  session: EntityKind.SESSION,
  task: EntityKind.TASK,
  worker: EntityKind.WORKER,
  lock: EntityKind.LOCK,
  pool: EntityKind.POOL,
};

/**
 * Use it with `for await`, which reads as fast as the loop's body lets it: a reader that falls too far behind
 * is cut off by the coordinator and resumed from its last revision, so nothing is left out and memory stays
 * bounded. Iterating throws UnavailableError when the coordinator stays away, and what it refuses with.
 */
export class Watch implements AsyncIterableIterator<WatchEvent>, AsyncDisposable {
  /** The last revision seen whole; resume from here. */
  revision: bigint | undefined;
  /** The store that `revision` belongs to; empty before the first message. */
  storeId: string;
  /** Snapshots begun, snapshots because the revision was compacted away, and streams after the first one. */
  resets = 0;
  /** How often a revision was no longer known. */
  compactions = 0;
  /** How often it went on behind a break. */
  reconnects = 0;
  readonly #connection: Connection;
  readonly #options: WatchOptions;
  readonly #ending = new AbortController();
  readonly #events: AsyncGenerator<WatchEvent, undefined>;

  constructor(connection: Connection, options: WatchOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    this.revision = options.since;
    this.storeId = options.storeId ?? "";
    this.#events = this.#follow();
  }

  /** The next message; waits for it, also through restarts of the coordinator. */
  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    return this.#events.next();
  }

  /** Ends the feed, also for somebody who waits for its next event. */
  close(): void {
    this.#ending.abort();
  }

  /** Ends the watch; `break` in a loop does this. */
  async return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.close();
    return this.#events.return(undefined);
  }

  /** The same as `return`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Itself: a watch is read once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  async *#follow(): AsyncGenerator<WatchEvent, undefined> {
    let retry: Retry | undefined;
    const callers = this.#options.signal;
    const signal = callers ? AbortSignal.any([this.#ending.signal, callers]) : this.#ending.signal;
    for (let streams = 0; ; streams += 1) {
      if (streams > 0) this.reconnects += 1;
      const services = this.#connection.services;
      let broken: unknown = new ConnectError("the stream ended", Code.Unavailable);
      try {
        for await (const message of services.events.watch(this.#request(), { signal })) {
          retry = undefined;
          yield this.#take(message);
        }
      } catch (thrown) {
        broken = thrown;
      }
      callers?.throwIfAborted();
      if (signal.aborted) return undefined;
      if (reasonOf(ConnectError.from(broken)) === "WATCHER_TOO_SLOW") continue;
      retry ??= this.#connection.newRetry(this.#options.patienceMs);
      try {
        await this.#connection.retry(services, broken, retry, signal);
      } catch (thrown) {
        callers?.throwIfAborted();
        if (signal.aborted) return undefined;
        throw thrown;
      }
    }
  }

  #request() {
    return create(WatchRequestSchema, {
      sessionIds: [...(this.#options.sessionIds ?? [])],
      kinds: (this.#options.kinds ?? []).map((kind) => KINDS[kind]),
      endedTasks: this.#options.endedTasks ?? false,
      ...(this.revision === undefined ? {} : { sinceRevision: this.revision, storeId: this.storeId }),
    });
  }

  #take(message: WatchResponse): WatchEvent {
    // A snapshot that breaks off is asked for anew.
    if (message.reset) {
      this.revision = undefined;
      this.resets += 1;
    }
    if (message.compacted) this.compactions += 1;
    if (message.revision > 0n) this.revision = message.revision;
    if (message.storeId !== "") this.storeId = message.storeId;
    return {
      revision: message.revision,
      reset: message.reset,
      compacted: message.compacted,
      snapshot: message.snapshot,
      complete: !message.snapshot || message.revision > 0n,
      closing: message.closing,
      changes: message.changes,
    };
  }
}
