/**
 * One conversation with the coordinator over `Connect`: hello, welcome, then both ways until it ends. Carries
 * messages and keeps the heartbeat going; what they mean is for the worker.
 */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { bootTimeMs } from "../clock.js";
import type { Services } from "../connection.js";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  type Heartbeat,
  type Hello,
  type Welcome,
} from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import { Signal } from "./signal.js";

const WELCOME_TIMEOUT_MS = 10_000;
const SILENT_INTERVALS = 3;
const LEAST_HEARTBEAT_MS = 20;
const DEFAULT_HEARTBEAT_MS = 10_000;
const REFUSED: ReadonlySet<Code> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.InvalidArgument,
  Code.Unimplemented,
]);

/** How a conversation ended. `isUnknown`: the coordinator does not know this worker (any more). */
export interface Broken {
  readonly reason: string;
  readonly cause: unknown;
  readonly wasWelcome: boolean;
  readonly isRefused: boolean;
  readonly isUnknown: boolean;
}

/** The worker, as far as a conversation needs it. */
export interface Conversationalist {
  hello(): Hello;
  /** A text refuses the coordinator and ends the conversation. */
  welcomed(welcome: Welcome, helloSentAtMs: number): string;
  /** Any message, the first one included. */
  received(response: ConnectResponse): void;
  /** What to say next, undefined when nothing. */
  nextRequest(): ConnectRequest | undefined;
  /** A heartbeat that is sent now. */
  heartbeat(): Heartbeat;
}

/** Use `run` once; `wake` whenever there may be something to say. A goodbye finishes it in order. */
export class Conversation {
  readonly #services: Services;
  readonly #worker: Conversationalist;
  readonly #call = new AbortController();
  readonly #wanted = new Signal();
  readonly #welcome = new Signal();
  #heartbeatMs = 0;
  #heartbeatAtMs = 0;
  #heardAtMs = performance.now();
  #helloSentAtMs = 0;
  #wasWelcome = false;
  #refusal = "";
  #isOver = false;

  constructor(services: Services, worker: Conversationalist) {
    this.#services = services;
    this.#worker = worker;
  }

  wake(): void {
    this.#wanted.set();
  }

  /** Ends it at once. */
  cancel(): void {
    this.#call.abort();
  }

  async run(): Promise<Broken> {
    const watchdog = setInterval(() => this.#watch(), 100);
    try {
      const responses = this.#services.workers.connect(this.#requests(), { signal: this.#call.signal });
      for await (const response of responses) {
        this.#heardAtMs = performance.now();
        if (!this.#wasWelcome && !this.#begin(response)) break;
        this.#worker.received(response);
      }
      return this.#ended(undefined);
    } catch (thrown) {
      return this.#ended(ConnectError.from(thrown));
    } finally {
      clearInterval(watchdog);
      this.#isOver = true;
      this.#call.abort();
      this.#wanted.set();
      this.#welcome.set();
    }
  }

  #begin(response: ConnectResponse): boolean {
    const { welcome } = response;
    this.#refusal =
      welcome === undefined
        ? "the first message was no welcome"
        : this.#worker.welcomed(welcome, this.#helloSentAtMs);
    if (welcome === undefined || this.#refusal !== "") return false;
    this.#wasWelcome = true;
    const intervalMs = Number(welcome.heartbeatIntervalMs) || DEFAULT_HEARTBEAT_MS;
    this.#heartbeatMs = Math.max(intervalMs, LEAST_HEARTBEAT_MS);
    this.#welcome.set();
    return true;
  }

  #ended(error: ConnectError | undefined): Broken {
    if (this.#refusal !== "") {
      return {
        reason: this.#refusal,
        cause: undefined,
        wasWelcome: false,
        isRefused: false,
        isUnknown: false,
      };
    }
    return {
      reason: error?.message ?? "the stream ended",
      cause: error,
      wasWelcome: this.#wasWelcome,
      isRefused: error !== undefined && REFUSED.has(error.code),
      isUnknown: error?.code === Code.NotFound,
    };
  }

  async *#requests(): AsyncGenerator<ConnectRequest> {
    this.#helloSentAtMs = bootTimeMs();
    yield create(ConnectRequestSchema, { hello: this.#worker.hello() });
    await this.#welcome.wait();
    while (!this.#isOver) {
      this.#wanted.clear();
      let request = this.#worker.nextRequest();
      if (request?.goodbye !== undefined) {
        yield request; // the last word: a heartbeat behind it would come from a worker that is gone
        return;
      }
      if (performance.now() >= this.#heartbeatAtMs) {
        request ??= create(ConnectRequestSchema);
        request.heartbeat = this.#worker.heartbeat();
        this.#heartbeatAtMs = performance.now() + this.#heartbeatMs;
      }
      if (request !== undefined) yield request;
      else await this.#wanted.wait(Math.max(0, this.#heartbeatAtMs - performance.now()));
    }
  }

  /** Ends a stream whose other side is silent, although the connection stands. */
  #watch(): void {
    const limitMs = this.#wasWelcome
      ? Math.max(this.#heartbeatMs * SILENT_INTERVALS, 1_000)
      : WELCOME_TIMEOUT_MS;
    if (performance.now() - this.#heardAtMs > limitMs) this.#call.abort();
  }
}
