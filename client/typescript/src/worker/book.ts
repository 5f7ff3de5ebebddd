/**
 * Every attempt in the worker's hands, and what each word from the coordinator or the supervisor means for it.
 * Events in, instructions out: no stream, no process, no clock of its own.
 */
import { create } from "@bufbuild/protobuf";
import { IsolationMode, Outcome, type TaskSpec } from "../gen/buildrunner_parallel/v1/types_pb.js";
import {
  type Acknowledgement,
  type Assignment,
  type Cancellation,
  Disposition,
  type HeldAttempt,
  type Revocation,
  TaskProgressSchema,
  type TaskReport,
  TaskStartedSchema,
} from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import { Attempt } from "./attempt.js";
import type { CreditGauge } from "./credit.js";
import { identityOf, ownEnvironment, workingDirectory } from "./environment.js";
import type { Cause, FromSupervisor, ToSupervisor } from "./messages.js";
import type { Outgoing } from "./outgoing.js";
import { OutputBuffer } from "./output-buffer.js";
import * as reports from "./reports.js";

const REMEMBERED_ATTEMPTS = 10_000;

export interface BookOptions {
  readonly slots: number;
  /** Where tasks run that do not say where. */
  readonly directory: string;
  readonly outgoing: Outgoing;
  readonly credit: CreditGauge;
  /** To the supervisor. */
  readonly instruct: (message: ToSupervisor) => void;
  readonly readTimeUs: () => bigint;
  readonly log: (message: string) => void;
}

export class AttemptBook {
  outputHeadBytes = 0;
  outputTailBytes = 0;
  #isDraining = false;
  #isWithoutLease = false;
  #waiting: Attempt[] = [];
  readonly #attempts = new Map<string, Attempt>();
  readonly #unacknowledged = new Map<string, Attempt>();
  readonly #withOutput = new Map<string, Attempt>();
  /** Whether each was given back. In order of their ends. */
  readonly #finished = new Map<string, boolean>();
  readonly #options: BookOptions;

  constructor(options: BookOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#attempts.size;
  }

  /** Whether anything is started or about to be. */
  get hasProcesses(): boolean {
    return [...this.#attempts.values()].some((one) => one.state === "handed" || one.state === "running");
  }

  /** Attempts that run, as far as is known. */
  get running(): Attempt[] {
    return [...this.#attempts.values()].filter((one) => one.state === "running");
  }

  /** Attempts whose output has to be streamed, or may have to be. */
  get withOutput(): Attempt[] {
    return [...this.#withOutput.values()];
  }

  /** Some of its output was taken to be sent: the others come first now. */
  hadATurn(attempt: Attempt): void {
    this.#withOutput.delete(attempt.attemptId);
    this.#withOutput.set(attempt.attemptId, attempt);
  }

  /** For hello and heartbeats. */
  held(): HeldAttempt[] {
    return [...this.#attempts.values()].filter((one) => !one.isDisowned).map((one) => one.held());
  }

  // From the coordinator

  /** Takes what is new; what is known already, or was sent on an older stream, is void. */
  assign(assignments: readonly Assignment[], generation: bigint): void {
    for (const assignment of assignments) {
      const { attemptId, fence } = assignment;
      const isVoid = assignment.generation > 0n && assignment.generation < generation;
      if (isVoid || this.#attempts.has(attemptId)) continue;
      const wasGivenBack = this.#finished.get(attemptId);
      const isUnwanted = wasGivenBack === undefined && this.#isDraining;
      if (wasGivenBack || isUnwanted) this.#options.outgoing.answer(attemptId, fence, false);
      if (wasGivenBack !== undefined || isUnwanted) continue;
      const attempt = new Attempt(assignment);
      this.#attempts.set(attemptId, attempt);
      this.#waiting.push(attempt);
    }
  }

  /** Gives the attempt back unless it has started; the answer may come later. */
  revoke(revocation: Revocation): void {
    const attempt = this.#attempts.get(revocation.attemptId);
    if (attempt === undefined) this.#options.outgoing.answer(revocation.attemptId, revocation.fence, false);
    else if (attempt.state === "waiting") this.#giveBack(attempt);
    else if (attempt.state === "handed") attempt.revokeAsked = true;
    else this.#options.outgoing.answer(attempt.attemptId, attempt.fence, true);
  }

  /** Stops the attempt; its report carries the outcome that the coordinator wants. */
  cancel(cancellation: Cancellation): void {
    const attempt = this.#attempts.get(cancellation.attemptId);
    const outcome = cancellation.outcome || Outcome.CANCELLED;
    if (attempt === undefined) {
      // Each time: the answer to an earlier one may be lost, and one too many is answered as stale.
      const { attemptId, fence, reason } = cancellation;
      this.#options.outgoing.report(
        reports.stoppedUnstarted(attemptId, fence, outcome, reason, this.#nowUs()),
      );
      this.#remember(attemptId, false);
      return;
    }
    if (attempt.state === "over") return;
    attempt.cancelOutcome = outcome;
    attempt.cancelReason = cancellation.reason;
    const { graceMs } = cancellation;
    this.#stop(attempt, graceMs === undefined ? attempt.graceMs : Number(graceMs), "cancel");
  }

  #stop(attempt: Attempt, graceMs: number, cause: Cause): void {
    if (attempt.state === "waiting") return this.#neverStarts(attempt);
    if (attempt.state === "over") return;
    const { attemptId: key, cancelReason: reason } = attempt;
    this.#options.instruct({ type: "cancel", key, graceMs, cause, reason });
  }

  /** Attempts that the coordinator does not want of us: stopped, and nothing is reported. */
  disown(attemptIds: Iterable<string>): void {
    for (const attemptId of attemptIds) {
      const attempt = this.#attempts.get(attemptId);
      if (attempt === undefined || attempt.isDisowned) continue;
      attempt.isDisowned = true;
      if (attempt.state === "over") this.#forget(attempt, false);
      else this.#stop(attempt, attempt.graceMs, "cancel");
    }
  }

  /** The store is not the one that these attempts came from. */
  disownAll(): void {
    this.disown([...this.#attempts.keys()]);
  }

  /** Lets go of a report, or of the whole attempt when it is stale. */
  acknowledge(acknowledgement: Acknowledgement): void {
    const attempt = this.#attempts.get(acknowledgement.attemptId);
    if (attempt === undefined || attempt.fence !== acknowledgement.fence) return;
    if (acknowledgement.disposition === Disposition.STALE) {
      this.#options.log(`attempt ${attempt.attemptId} is stale: dropped with its report`);
      this.disown([attempt.attemptId]);
    } else if (attempt.report === undefined) {
      return;
    } else if (acknowledgement.disposition === Disposition.OUTPUT_MISSING) {
      this.#sendOutputAgain(attempt, Number(acknowledgement.outputOffset));
    } else if (acknowledgement.disposition !== Disposition.UNSPECIFIED) {
      this.#forget(attempt, false);
    }
  }

  #sendOutputAgain(attempt: Attempt, offset: number): void {
    if (attempt.output?.isStreamed) {
      attempt.output.rewind(offset);
      this.#unacknowledged.delete(attempt.attemptId);
      this.#withOutput.set(attempt.attemptId, attempt);
    } else if (attempt.report !== undefined) {
      this.#options.outgoing.report(attempt.report);
    }
  }

  /** Output before `offset` is durable. */
  acknowledgeOutput(attemptId: string, fence: bigint, offset: number, stale: boolean): void {
    const attempt = this.#attempts.get(attemptId);
    if (attempt?.output === undefined || attempt.fence !== fence) return;
    if (stale) return this.disown([attemptId]);
    attempt.output.acknowledge(offset);
    this.#reportIfComplete(attempt);
  }

  // From the supervisor

  onEvent(event: FromSupervisor, nowMs: number): void {
    if (event.type === "ready" || event.type === "failed") return;
    const attempt = this.#attempts.get(event.key);
    if (attempt === undefined || attempt.state === "over") return;
    switch (event.type) {
      case "started":
        return this.#onStarted(attempt, event);
      case "output":
        return this.#onOutput(attempt, event.channel, event.data, nowMs);
      case "progress":
        return this.#onProgress(attempt, event.percent, event.message);
      case "ended":
        this.#options.credit.ran(event.wallMs);
        return this.#finish(attempt, reports.ended(attempt, event));
      case "refused":
        if (event.kind === "lease") return this.#onLeaseLost(attempt);
        return this.#finish(
          attempt,
          reports.notStarted(attempt, event.message, this.#nowUs(), event.kind === "resources"),
        );
      case "revoked":
        return this.#neverStarts(attempt);
    }
  }

  #onStarted(attempt: Attempt, event: Extract<FromSupervisor, { type: "started" }>): void {
    attempt.state = "running";
    attempt.pid = event.pid;
    attempt.slot = event.slot;
    attempt.startedAtUs = event.startedAtUs;
    this.#tellStart(attempt);
    if (!attempt.revokeAsked) return;
    attempt.revokeAsked = false;
    this.#options.outgoing.answer(attempt.attemptId, attempt.fence, true);
  }

  #tellStart(attempt: Attempt): void {
    const { attemptId, fence, pid, slot, startedAtUs } = attempt;
    this.#options.outgoing.started(create(TaskStartedSchema, { attemptId, fence, pid, slot, startedAtUs }));
  }

  #onOutput(attempt: Attempt, channel: 1 | 2, data: Uint8Array, nowMs: number): void {
    if (attempt.output === undefined) {
      attempt.output = new OutputBuffer(this.outputHeadBytes, this.outputTailBytes);
      this.#withOutput.set(attempt.attemptId, attempt);
    }
    attempt.output.append(channel, data, nowMs);
  }

  #onProgress({ attemptId, fence }: Attempt, percent: number, message: string): void {
    this.#options.outgoing.progress(create(TaskProgressSchema, { attemptId, fence, percent, message }));
  }

  /** It was handed on, has not started, and is tried again when there is a lease. */
  #onLeaseLost(attempt: Attempt): void {
    this.#isWithoutLease = true;
    attempt.state = "waiting";
    if (attempt.revokeAsked || attempt.isDisowned || attempt.cancelOutcome !== undefined)
      this.#neverStarts(attempt);
    else this.#waiting.unshift(attempt);
  }

  #neverStarts(attempt: Attempt): void {
    this.#waiting = this.#waiting.filter((one) => one !== attempt);
    if (attempt.isDisowned) return this.#forget(attempt, false);
    if (attempt.cancelOutcome === undefined) return this.#giveBack(attempt);
    const { attemptId, fence, cancelOutcome, cancelReason } = attempt;
    this.#finish(
      attempt,
      reports.stoppedUnstarted(attemptId, fence, cancelOutcome, cancelReason, this.#nowUs()),
    );
  }

  #giveBack(attempt: Attempt): void {
    this.#waiting = this.#waiting.filter((one) => one !== attempt);
    this.#forget(attempt, true);
    this.#options.outgoing.answer(attempt.attemptId, attempt.fence, false);
  }

  #finish(attempt: Attempt, report: TaskReport): void {
    attempt.state = "over";
    if (attempt.isDisowned) return this.#forget(attempt, false);
    if (attempt.revokeAsked) this.#options.outgoing.answer(attempt.attemptId, attempt.fence, true);
    attempt.report = report;
    if (attempt.output !== undefined) {
      attempt.output.finish();
      reports.addOutput(report, attempt.output);
    }
    this.#reportIfComplete(attempt);
  }

  /** A report leaves once its output is durable, or when it carries the output itself. */
  #reportIfComplete(attempt: Attempt): void {
    const { report, output, attemptId } = attempt;
    if (report === undefined || this.#unacknowledged.has(attemptId)) return;
    if (output !== undefined && !output.fitsInline && !output.isAcknowledged) return;
    this.#withOutput.delete(attemptId);
    this.#unacknowledged.set(attemptId, attempt);
    this.#options.outgoing.report(report);
  }

  #forget(attempt: Attempt, givenBack: boolean): void {
    const { attemptId } = attempt;
    for (const book of [this.#attempts, this.#unacknowledged, this.#withOutput]) book.delete(attemptId);
    this.#options.outgoing.forget(attemptId);
    this.#remember(attemptId, givenBack);
  }

  /** So that a late repetition of its assignment starts nothing, and a lost answer is given again. */
  #remember(attemptId: string, givenBack: boolean): void {
    this.#finished.set(attemptId, givenBack);
    const [oldest] = this.#finished.keys();
    if (this.#finished.size > REMEMBERED_ATTEMPTS && oldest !== undefined) this.#finished.delete(oldest);
  }

  // By itself

  /** Hands on what there is room for, first come, first served. */
  dispatch(): void {
    const taken = [...this.#attempts.values()].filter(
      (one) => one.state === "handed" || one.state === "running",
    );
    let free = this.#options.slots - taken.reduce((sum, one) => sum + this.#weight(one), 0);
    while (!this.#isWithoutLease) {
      const attempt = this.#waiting[0];
      if (attempt === undefined || this.#weight(attempt) > free) break;
      this.#waiting.shift();
      free -= this.#hand(attempt) ? this.#weight(attempt) : 0;
    }
    const credit = this.#options.credit.change();
    if (credit > 0) this.#options.outgoing.credit = credit;
  }

  #weight(attempt: Attempt): number {
    return Math.min(attempt.slots, this.#options.slots);
  }

  #hand(attempt: Attempt): boolean {
    const unfit = whyUnfit(attempt.spec);
    if (unfit !== "") {
      this.#finish(attempt, reports.notStarted(attempt, unfit, this.#nowUs(), false));
      return false;
    }
    attempt.state = "handed";
    this.#options.instruct(this.#startOf(attempt));
    return true;
  }

  #startOf(attempt: Attempt): ToSupervisor {
    const { spec, assignment, graceMs, timeoutMs } = attempt;
    const start = {
      key: attempt.attemptId,
      cwd: workingDirectory(spec.directory, this.#options.directory),
      env: ownEnvironment(assignment, spec),
      slots: this.#weight(attempt),
      graceMs,
      timeoutMs,
    };
    if (spec.work.case === "handler") {
      const { name, payload } = spec.work.value;
      const { data = new Uint8Array(), contentType = "" } = payload ?? {};
      return {
        type: "handle",
        ...start,
        name,
        payload: data,
        contentType,
        identity: identityOf(assignment, spec),
      };
    }
    const command = spec.work.case === "command" ? spec.work.value : undefined;
    const argv = command?.shellLine ? ["/bin/sh", "-c", command.shellLine] : (command?.argv ?? []);
    return { type: "run", ...start, argv };
  }

  /** Starts are possible again. */
  leaseRenewed(): void {
    this.#isWithoutLease = false;
  }

  /** Says again what has waited too long for its acknowledgement; 0 repeats everything. */
  repeatReports(nowMs: number, repeatMs: number): void {
    for (const attempt of this.#unacknowledged.values()) {
      if (attempt.report === undefined || nowMs - attempt.sentAtMs < repeatMs) continue;
      if (attempt.sentAtMs > 0 || repeatMs === 0) this.#options.outgoing.report(attempt.report);
      attempt.sentAtMs = nowMs;
    }
  }

  /** After a break everything that is not acknowledged is said and sent again. */
  newStream(nowMs: number): void {
    for (const attempt of this.#withOutput.values()) attempt.output?.rewind();
    this.repeatReports(nowMs, 0);
    for (const attempt of this.running) if (!attempt.isDisowned) this.#tellStart(attempt);
  }

  /** Takes nothing new and gives back what has not started. */
  drain(): void {
    this.#isDraining = true;
    for (const attempt of [...this.#waiting]) this.#giveBack(attempt);
  }

  /** Stops what runs; the reports say that it was on order and costs nothing. */
  stopAll(graceMs: number): void {
    this.drain();
    for (const attempt of [...this.#attempts.values()]) {
      this.#stop(attempt, Math.min(graceMs, attempt.graceMs), "stop");
    }
  }

  #nowUs(): bigint {
    return this.#options.readTimeUs();
  }
}

/** Why this worker cannot run a task, though its kind was declared; empty when it can. */
function whyUnfit(spec: TaskSpec): string {
  if (spec.isolation === IsolationMode.WORKTREE) {
    return "this kind of worker cannot give a task a git worktree of its own; let it run on a Python worker";
  }
  if (spec.work.case === "command" || spec.work.case === "handler") return "";
  return "this worker does not know this kind of task";
}
