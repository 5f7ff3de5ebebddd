/** What waits to be said to the coordinator on the worker's stream, in as few messages as possible. */
import { create, toBinary } from "@bufbuild/protobuf";
import { Outcome } from "../gen/buildrunner_parallel/v1/types_pb.js";
import {
  type ConnectRequest,
  ConnectRequestSchema,
  type RevocationAnswer,
  RevocationAnswerSchema,
  type TaskProgress,
  type TaskReport,
  TaskReportSchema,
  type TaskStarted,
} from "../gen/buildrunner_parallel/v1/worker_service_pb.js";

const MOST_ITEMS = 500;
const MOST_REPORT_BYTES = 1 << 20;

export class Outgoing {
  /** 0 says nothing. */
  credit = 0;
  readonly #started = new Map<string, TaskStarted>();
  readonly #progress = new Map<string, TaskProgress>();
  readonly #reports = new Map<string, TaskReport>();
  readonly #answers = new Map<string, RevocationAnswer>();

  get isEmpty(): boolean {
    const sizes = [this.#started, this.#progress, this.#reports, this.#answers].map((part) => part.size);
    return this.credit === 0 && sizes.every((size) => size === 0);
  }

  started(message: TaskStarted): void {
    this.#started.set(message.attemptId, message);
  }

  /** A newer word on the same attempt replaces the older one. */
  progress(message: TaskProgress): void {
    this.#progress.set(message.attemptId, message);
  }

  /** An attempt is over; a start that was not told yet need not be told any more. */
  report(report: TaskReport): void {
    this.#reports.set(report.attemptId, report);
    this.#progress.delete(report.attemptId);
    if (report.outcome !== Outcome.REVOKED && report.outcome !== Outcome.CANCELLED) {
      this.#started.delete(report.attemptId);
    }
  }

  /** To a revocation. */
  answer(attemptId: string, fence: bigint, started: boolean): void {
    this.#answers.set(attemptId, create(RevocationAnswerSchema, { attemptId, fence, started }));
  }

  /** Nothing is to be said about the attempt any more, but an answer that is owed. */
  forget(attemptId: string): void {
    for (const part of [this.#reports, this.#started, this.#progress]) part.delete(attemptId);
  }

  /** The other side is not who it was. */
  clear(): void {
    for (const part of [this.#started, this.#progress, this.#reports, this.#answers]) part.clear();
    this.credit = 0;
  }

  /** The next message, cut to a size that any coordinator accepts; the rest stays. */
  take(): ConnectRequest {
    const request = create(ConnectRequestSchema, {
      credit: this.credit,
      revocationAnswers: takeSome(this.#answers),
      started: takeSome(this.#started),
      progress: takeSome(this.#progress),
    });
    this.credit = 0;
    let bytes = 0;
    for (const [attemptId, report] of this.#reports) {
      this.#reports.delete(attemptId);
      request.reports.push(report);
      bytes += toBinary(TaskReportSchema, report).length;
      if (bytes > MOST_REPORT_BYTES || request.reports.length >= MOST_ITEMS) break;
    }
    return request;
  }
}

function takeSome<T>(parts: Map<string, T>): T[] {
  const taken = [...parts].slice(0, MOST_ITEMS);
  for (const [attemptId] of taken) parts.delete(attemptId);
  return taken.map(([, part]) => part);
}
