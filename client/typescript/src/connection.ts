/** One coordinator connection that survives the coordinator's restarts: calls, repeats, finding it again. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { type LocateOptions, locate, type Target } from "./discovery.js";
import { isLoss, reasonOf, toClientError } from "./error-mapping.js";
import { UnavailableError } from "./errors.js";
import { CoordinatorService } from "./gen/buildrunner_parallel/v1/coordinator_service_pb.js";
import { EventService } from "./gen/buildrunner_parallel/v1/event_service_pb.js";
import { LockService } from "./gen/buildrunner_parallel/v1/lock_service_pb.js";
import { LogService } from "./gen/buildrunner_parallel/v1/log_service_pb.js";
import { SessionService } from "./gen/buildrunner_parallel/v1/session_service_pb.js";
import { TaskService } from "./gen/buildrunner_parallel/v1/task_service_pb.js";
import { WorkerService } from "./gen/buildrunner_parallel/v1/worker_service_pb.js";
import { type OpenTransport, openTransport } from "./transport.js";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;
// Connecting is given up sooner than this.
const SURELY_CONNECTED_MS = 25_000;

/** The generated clients of all services, on one connection. */
export interface Services {
  /** Information, backup, shutdown. */
  readonly coordinator: Client<typeof CoordinatorService>;
  /** The change feed, and what happened. */
  readonly events: Client<typeof EventService>;
  /** Path locks. */
  readonly locks: Client<typeof LockService>;
  /** Output of tasks, out and in. */
  readonly logs: Client<typeof LogService>;
  /** Sessions. */
  readonly sessions: Client<typeof SessionService>;
  /** Tasks and their attempts. */
  readonly tasks: Client<typeof TaskService>;
  /** What workers say, and what people ask about them. */
  readonly workers: Client<typeof WorkerService>;
}

export interface ConnectionOptions extends LocateOptions {
  /** How long one unary call may take, in milliseconds; default 30,000. */
  readonly callTimeoutMs?: number | undefined;
  /** How long a call, a watch or a wait looks for a coordinator that went away; default 30,000. */
  readonly patienceMs?: number | undefined;
}

/** How one call is made. */
export interface RunOptions {
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
  /** In place of `callTimeoutMs`; Infinity sends no deadline. */
  readonly timeoutMs?: number | undefined;
  /** In place of `patienceMs`; 0 tries once. */
  readonly patienceMs?: number | undefined;
}

/** How a call or stream that broke goes on; see Connection.retry. */
export interface Retry {
  attempts: number;
  deadlineMs: number;
}

export class Connection implements AsyncDisposable {
  readonly callTimeoutMs: number;
  readonly patienceMs: number;
  readonly #options: LocateOptions;
  readonly #clientId = randomUUID();
  #target: Target;
  #open: OpenTransport;
  #services: Services;
  #closed = false;

  /** Throws what `locate` throws; nothing is sent yet. */
  constructor(options: ConnectionOptions = {}) {
    this.callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.patienceMs = options.patienceMs ?? 30_000;
    this.#options = options;
    this.#target = locate(options);
    this.#open = openTransport(this.#target, this.#clientId);
    this.#services = makeServices(this.#open);
  }

  get address(): string {
    return this.#target.address;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Valid until the next loss: ask again for each call. */
  get services(): Services {
    return this.#services;
  }

  /**
   * Makes one call, and again while the coordinator is away: so it must be one that may be repeated, a
   * question or one with a request id. Throws the errors of errors.ts, and the reason of an aborted signal.
   */
  async run<T>(
    call: (services: Services, options: CallOptions) => Promise<T>,
    options: RunOptions = {},
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.callTimeoutMs;
    const callOptions: CallOptions = {
      ...(Number.isFinite(timeoutMs) ? { timeoutMs } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    };
    let retry: Retry | undefined;
    for (;;) {
      options.signal?.throwIfAborted();
      if (this.#closed) throw new UnavailableError("the client is closed");
      const services = this.#services;
      const beganMs = performance.now();
      try {
        return await call(services, callOptions);
      } catch (thrown) {
        options.signal?.throwIfAborted();
        // A call that was open for long was answered until just now: patience begins with this loss.
        if (performance.now() - beganMs > SURELY_CONNECTED_MS) retry = undefined;
        retry ??= this.newRetry(options.patienceMs);
        await this.retry(services, thrown, retry, options.signal);
      }
    }
  }

  newRetry(patienceMs: number = this.patienceMs): Retry {
    return { attempts: 0, deadlineMs: performance.now() + patienceMs };
  }

  /** Waits and looks for the coordinator again after `thrown`; throws when that is no loss or all is in vain. */
  async retry(broken: Services, thrown: unknown, retry: Retry, signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw new UnavailableError("the client is closed", "", { cause: thrown });
    const error = ConnectError.from(thrown);
    const worthwhile = isLoss(error) || reasonOf(error) === "STOPPING" || this.#hasNewToken(error);
    if (!worthwhile || performance.now() >= retry.deadlineMs) throw toClientError(thrown, this.address);
    const ceilingMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(retry.attempts, 10));
    retry.attempts += 1;
    await sleep(
      FIRST_PAUSE_MS + Math.random() * (ceilingMs - FIRST_PAUSE_MS),
      undefined,
      signal ? { signal } : {},
    );
    if (this.#services === broken) this.relocate();
  }

  /** Looks where the coordinator is now; whether a new address or token has made a new connection. */
  relocate(): boolean {
    let target: Target;
    try {
      target = locate(this.#options);
    } catch {
      return false; // it may be there at the next look
    }
    if (this.#closed || (target.address === this.#target.address && target.token === this.#target.token))
      return false;
    const before = this.#open;
    this.#target = target;
    this.#open = openTransport(target, this.#clientId);
    this.#services = makeServices(this.#open);
    before.close();
    return true;
  }

  /** A refused token may have been replaced since, as when the state was made anew. */
  #hasNewToken(error: ConnectError): boolean {
    if (error.code !== Code.Unauthenticated) return false;
    try {
      return locate(this.#options).token !== this.#target.token;
    } catch {
      return false;
    }
  }

  /** Ends the connection and every call on it. */
  close(): void {
    this.#closed = true;
    this.#open.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function makeServices({ transport }: OpenTransport): Services {
  return {
    coordinator: createClient(CoordinatorService, transport),
    events: createClient(EventService, transport),
    locks: createClient(LockService, transport),
    logs: createClient(LogService, transport),
    sessions: createClient(SessionService, transport),
    tasks: createClient(TaskService, transport),
    workers: createClient(WorkerService, transport),
  };
}
