/**
 * The worker: between the coordinator's stream and the supervisor process. User code never runs here, so nothing
 * that a task does can hold up a heartbeat.
 */
import { hostname } from "node:os";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { create } from "@bufbuild/protobuf";
import { bootTimeMs } from "../clock.js";
import { Connection, type Services } from "../connection.js";
import type { LocateOptions } from "../discovery.js";
import { toClientError } from "../error-mapping.js";
import { type BuildRunnerError, InternalError, InvalidRequestError, UnavailableError } from "../errors.js";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  type Heartbeat,
  HeartbeatSchema,
  type Hello,
  HelloSchema,
  type Welcome,
} from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import { newRequestId } from "../requests.js";
import { VERSION } from "../version.js";
import { findWorkspace, ignoresCase } from "../workspace.js";
import { AttemptBook } from "./book.js";
import { type Broken, Conversation, type Conversationalist } from "./conversation.js";
import { CreditGauge } from "./credit.js";
import { baseEnvironment } from "./environment.js";
import { Lease, type LeaseUntil } from "./lease.js";
import { nowUs } from "./messages.js";
import { Outgoing } from "./outgoing.js";
import { OutputStream } from "./output-stream.js";
import { oneLine } from "./reports.js";
import { Signal } from "./signal.js";
import { killLeftovers, SupervisorClient } from "./supervisor-client.js";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const HOUSEKEEPING_MS = 100;
const FAREWELL_MS = 2_000;
const STOP_GRACE_MS = 2_000;
const UNREACHABLE_MS = 600_000;

/** What a worker runs, and where its coordinator is. */
export interface WorkerOptions extends LocateOptions {
  /** Modules, as paths or URLs, that export `handlers`. */
  readonly handlers?: readonly (string | URL)[] | undefined;
  /** How many tasks of one slot run at a time; default 1. */
  readonly slots?: number | undefined;
  /** Labels that tasks may require. */
  readonly labels?: readonly string[] | undefined;
  /** Runs commands too; default true. */
  readonly commands?: boolean | undefined;
  /** It serves this session alone, and leaves at its end. */
  readonly sessionId?: string | undefined;
  /** Kept with it as JSON, and shown. */
  readonly metadata?: object | undefined;
  /** Patterns of variables of this process that tasks see, beyond those that all tasks see. */
  readonly passEnv?: readonly string[] | undefined;
  /** How long what runs may take after `drain`; then it is stopped, at no cost. Default: no limit. */
  readonly drainMs?: number | undefined;
  /** How long the coordinator may stay away; then `run` rejects. Default 600,000. */
  readonly unreachableMs?: number | undefined;
  /** Lines on what happens; default: none. */
  readonly log?: ((message: string) => void) | undefined;
}

/** A worker within a program: `run` serves until `drain`, `stop` or a refusal. */
export class Worker implements Conversationalist {
  readonly #options: WorkerOptions;
  readonly #slots: number;
  readonly #outgoing = new Outgoing();
  readonly #credit: CreditGauge;
  readonly #lease = new Lease();
  readonly #wakeUp = new Signal();
  readonly #connection: Connection;
  readonly #book: AttemptBook;
  #supervisor: SupervisorClient | undefined;
  #services: Services;
  #handlers: readonly string[] = [];
  #conversation: Conversation | undefined;
  #output: OutputStream | undefined;
  #workerId = "";
  #storeId = "";
  #epoch = 0n;
  #generation = 0n;
  #repeatMs = 5_000;
  #isLeaving = false;
  #goodbye = false;
  #stopAtMs = Number.POSITIVE_INFINITY;
  #lastContactMs = performance.now();
  #isDone = false;
  #failure: BuildRunnerError | undefined;

  /** Throws what finding the coordinator throws, and InvalidRequestError for impossible options. */
  constructor(options: WorkerOptions = {}) {
    this.#options = options;
    this.#slots = options.slots ?? 1;
    if (!Number.isInteger(this.#slots) || this.#slots < 1) {
      throw new InvalidRequestError(
        `slots must be a whole number from 1 on, not ${options.slots}`,
        "INVALID",
      );
    }
    this.#credit = new CreditGauge(this.#slots);
    this.#connection = new Connection(options);
    this.#services = this.#connection.services;
    this.#book = new AttemptBook({
      slots: this.#slots,
      directory: options.cwd ?? process.cwd(),
      outgoing: this.#outgoing,
      credit: this.#credit,
      instruct: (message) => this.#supervisor?.send(message),
      readTimeUs: nowUs,
      log: (message) => this.#log(message),
    });
  }

  /** The id from the welcome; empty before. */
  get workerId(): string {
    return this.#workerId;
  }

  /**
   * Serves until drained. Rejects with AuthenticationError and the like when the coordinator refuses this
   * worker, with UnavailableError when it stays away for too long. It comes back from everything else.
   */
  async run(): Promise<void> {
    const supervisor = this.#startSupervisor();
    this.#supervisor = supervisor;
    const housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS);
    try {
      this.#handlers = await supervisor.ready.catch((error: Error) => {
        throw new InvalidRequestError(oneLine(error.message));
      });
      await this.#converseUntilDone();
    } finally {
      clearInterval(housekeeping);
      this.#output?.close();
      await supervisor.close(STOP_GRACE_MS);
      this.#connection.close();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #startSupervisor(): SupervisorClient {
    return new SupervisorClient({
      slots: this.#slots,
      baseEnv: this.#baseEnv(),
      handlerModules: (this.#options.handlers ?? []).map(moduleUrl),
      onEvent: (event) => {
        this.#book.onEvent(event, performance.now());
        this.#changed();
      },
      onLost: () => {
        killLeftovers(this.#book.running);
        this.#fail(
          new InternalError("the supervisor process has ended; its tasks are killed and this worker ends"),
        );
      },
    });
  }

  /** Takes nothing new, finishes what runs, reports, says goodbye; then `run` resolves. */
  drain(reason = "the worker leaves"): void {
    this.#stopAtMs = Math.min(
      this.#stopAtMs,
      performance.now() + (this.#options.drainMs ?? Number.POSITIVE_INFINITY),
    );
    this.#leave(reason);
    if (!this.#isDone) void this.#askForDrain();
  }

  /** Drains, and stops what runs at once; it is queued again at no cost. */
  stop(): void {
    this.#leave("the worker stops");
    this.#stopAtMs = Number.NEGATIVE_INFINITY;
    this.#book.stopAll(STOP_GRACE_MS);
    setTimeout(() => this.#done(), 2 * FAREWELL_MS + STOP_GRACE_MS).unref();
    this.#changed();
  }

  async #converseUntilDone(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#isDone) {
      this.#services = this.#connection.services;
      this.#conversation = new Conversation(this.#services, this);
      const broken = await this.#conversation.run();
      this.#conversation = undefined;
      this.#output?.close();
      this.#output = undefined;
      if (this.#isDone) return;
      pauseMs = broken.wasWelcome ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      this.#judge(broken);
      if (!this.#isDone) await this.#wakeUp.wait(Math.random() * pauseMs);
    }
  }

  /** Whether to try again after a conversation has ended. */
  #judge(broken: Broken): void {
    const nowMs = performance.now();
    if (broken.wasWelcome) this.#lastContactMs = nowMs;
    this.#log(`the stream has ended: ${broken.reason}`);
    const awayMs = nowMs - this.#lastContactMs;
    if (broken.isUnknown && this.#workerId !== "") return this.#becomeNew();
    if (this.#isLeaving && this.#book.size === 0) return this.#done();
    const isRefused = broken.isRefused || broken.isUnknown;
    // A token that is refused may have been replaced, and then there is a new connection to try.
    if (this.#connection.relocate()) return;
    if (isRefused) this.#fail(toClientError(broken.cause, this.#connection.address));
    else if (awayMs > (this.#options.unreachableMs ?? UNREACHABLE_MS)) {
      const where = `no coordinator at ${this.#connection.address} for ${Math.round(awayMs / 1000)} s`;
      this.#fail(new UnavailableError(`${where}: ${broken.reason}`));
    }
  }

  #becomeNew(): void {
    this.#log(`starting anew: the coordinator or its store does not know worker ${this.#workerId}`);
    this.#book.disownAll();
    this.#outgoing.clear();
    this.#workerId = this.#storeId = "";
    this.#epoch = this.#generation = 0n;
  }

  // What a conversation asks and tells

  /** @internal for its conversation */
  hello(): Hello {
    const { labels = [], commands = true, sessionId = "", metadata } = this.#options;
    this.#credit.reset();
    return create(HelloSchema, {
      workerId: this.#workerId,
      host: hostname(),
      pid: process.pid,
      version: VERSION,
      slots: this.#slots,
      labels: [...labels],
      kinds: { commands, handlers: [...this.#handlers] },
      sessionId,
      metadataJson: metadata === undefined ? "" : JSON.stringify(metadata),
      capabilities: ignoresCase(findWorkspace(this.#options.cwd)) ? ["ignores-case"] : [],
      held: this.#book.held(),
      credit: this.#credit.initial,
      storeId: this.#storeId,
      epoch: this.#epoch,
    });
  }

  /** @internal for its conversation */
  welcomed(welcome: Welcome, helloSentAtMs: number): string {
    if (this.#storeId !== "" && welcome.storeId !== this.#storeId) {
      this.#becomeNew();
      return "another store answered";
    }
    if (welcome.epoch < this.#epoch) {
      return `an impostor answered: epoch ${welcome.epoch} is older than ${this.#epoch}`;
    }
    const isNew = welcome.workerId !== this.#workerId;
    if (isNew && this.#book.hasProcesses) return "what the old store had running is still being stopped";
    this.#workerId = welcome.workerId;
    this.#storeId = welcome.storeId;
    this.#epoch = welcome.epoch;
    this.#generation = welcome.generation;
    this.#repeatMs = Math.max(50, Number(welcome.reportRepeatMs) || 5_000);
    this.#book.outputHeadBytes = Number(welcome.outputHeadBytes);
    this.#book.outputTailBytes = Number(welcome.outputTailBytes);
    this.#supervisor?.send({ type: "environment", baseEnv: this.#baseEnv() });
    this.#renewLease(this.#lease.begin(welcome, helloSentAtMs, isNew));
    this.#book.newStream(performance.now());
    this.#output = new OutputStream(this.#services, this.#book, this.#workerId, () => this.#changed());
    void this.#output.run();
    this.#log(`worker ${this.#workerId} serves ${this.#connection.address}`);
    if (this.#isLeaving && !this.#isDone) void this.#askForDrain();
    return "";
  }

  /** @internal for its conversation */
  received(response: ConnectResponse): void {
    this.#lastContactMs = performance.now();
    const reply = response.heartbeatReply;
    if (reply !== undefined) {
      this.#renewLease(this.#lease.answered(reply.sequence));
      this.#book.disown(reply.unknownAttemptIds);
    }
    for (const acknowledgement of response.acknowledgements) this.#book.acknowledge(acknowledgement);
    this.#book.assign(response.assignments, this.#generation);
    for (const revocation of response.revocations) this.#book.revoke(revocation);
    for (const cancellation of response.cancellations) this.#book.cancel(cancellation);
    if (response.drain !== undefined) this.#leave(response.drain.reason || "asked by the coordinator");
    this.#changed();
  }

  /** @internal for its conversation */
  nextRequest(): ConnectRequest | undefined {
    if (!this.#outgoing.isEmpty) return this.#outgoing.take();
    if (!this.#goodbye) return undefined;
    this.#goodbye = false;
    return create(ConnectRequestSchema, { goodbye: { reason: "drained" } });
  }

  /** @internal for its conversation */
  heartbeat(): Heartbeat {
    const sequence = this.#lease.nextHeartbeat(bootTimeMs());
    return create(HeartbeatSchema, { sequence, held: this.#book.held() });
  }

  #renewLease(until: LeaseUntil | undefined): void {
    if (until === undefined) return;
    this.#supervisor?.send({ type: "lease", ...until });
    this.#book.leaseRenewed();
  }

  // Changes from below, and by the clock

  #changed(): void {
    this.#book.dispatch();
    if (!this.#outgoing.isEmpty) this.#conversation?.wake();
    if (this.#book.withOutput.length > 0) this.#output?.wake();
    this.#leaveIfDone();
  }

  #keepHouse(): void {
    const nowMs = performance.now();
    this.#book.repeatReports(nowMs, this.#repeatMs);
    if (nowMs >= this.#stopAtMs && this.#stopAtMs > 0) this.stop();
    else this.#changed();
  }

  // Leaving

  #leave(reason: string): void {
    if (!this.#isLeaving) this.#log(`draining: ${reason}`);
    this.#isLeaving = true;
    this.#book.drain();
    this.#changed();
  }

  /** So that the coordinator sends nothing new; what comes nevertheless is given back. */
  async #askForDrain(): Promise<void> {
    if (this.#workerId === "") return;
    const request = { requestId: newRequestId(), workerId: this.#workerId, reason: "the worker leaves" };
    try {
      await this.#services.workers.drainWorker(request, { timeoutMs: 5_000 });
    } catch (error) {
      this.#log(`could not announce the drain: ${error}`);
    }
  }

  #leaveIfDone(): void {
    if (!this.#isLeaving || this.#isDone || this.#book.size > 0) return;
    if (this.#conversation !== undefined) {
      if (!this.#outgoing.isEmpty) return;
      // Before the welcome too: the hello may have arrived, and would be a worker that nobody hears of again.
      const conversation = this.#conversation;
      this.#isDone = true;
      this.#goodbye = true;
      conversation.wake();
      setTimeout(() => conversation.cancel(), FAREWELL_MS).unref();
    } else {
      this.#done();
    }
  }

  #fail(error: BuildRunnerError): void {
    this.#log(error.message);
    this.#failure ??= error;
    this.#done();
  }

  #done(): void {
    this.#isDone = true;
    this.#wakeUp.set();
    this.#conversation?.cancel();
  }

  #baseEnv(): Record<string, string> {
    const { passEnv = [] } = this.#options;
    return baseEnvironment(process.env, this.#workerId, this.#connection.address, passEnv);
  }

  #log(message: string): void {
    this.#options.log?.(message);
  }
}

function moduleUrl(module: string | URL): string {
  if (module instanceof URL || /^\w+:/.test(module)) return String(module);
  return pathToFileURL(path.resolve(module)).href;
}
