/** From how a run ended to the report on its attempt. Pure. */
import { constants } from "node:os";
import { create } from "@bufbuild/protobuf";
import { AuditMode, Outcome, OutputChannel } from "../gen/buildrunner_parallel/v1/types_pb.js";
import { type TaskReport, TaskReportSchema } from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import type { Attempt } from "./attempt.js";
import type { Cause, Ended } from "./messages.js";
import type { OutputBuffer } from "./output-buffer.js";
import { lastLine } from "./slots.js";

const ERROR_LIMIT_BYTES = 4096;
const OUTCOME_OF_CAUSE: Readonly<Record<Exclude<Cause, "">, Outcome>> = {
  cancel: Outcome.CANCELLED,
  timeout: Outcome.TIMED_OUT,
  lease: Outcome.LOST,
  stop: Outcome.REVOKED,
};

/** At most 4 KiB of UTF-8 without line breaks. */
export function oneLine(text: string): string {
  const data = Buffer.from(text.split(/\s+/).filter(Boolean).join(" ")).subarray(0, ERROR_LIMIT_BYTES);
  // A character that was cut in two is left out.
  return data.toString("utf8").replace(/\uFFFD+$/, "");
}

/** The report on a run that has ended. */
export function ended(attempt: Attempt, how: Ended): TaskReport {
  const isHandler = attempt.spec.work.case === "handler";
  const outcome = outcomeOf(attempt, how);
  const error = outcome === Outcome.SUCCEEDED ? how.error : how.error || why(outcome, attempt, how);
  return create(TaskReportSchema, {
    attemptId: attempt.attemptId,
    fence: attempt.fence,
    outcome,
    ...(how.exitCode === undefined || (isHandler && how.signal === 0 && how.exitCode === 0)
      ? {}
      : { exitCode: how.exitCode }),
    signal: how.signal,
    error: oneLine(error),
    ...(how.result === undefined ? {} : { result: how.result }),
    ...(how.usage === undefined
      ? {}
      : {
          usage: {
            userCpuUs: BigInt(how.usage.userUs),
            systemCpuUs: BigInt(how.usage.systemUs),
            maxRssBytes: BigInt(how.usage.maxRssBytes),
          },
        }),
    pid: attempt.pid,
    startedAtUs: attempt.startedAtUs,
    endedAtUs: how.endedAtUs,
    slot: attempt.slot,
    ...audit(attempt),
  });
}

/** What this worker does not do, said where somebody may count on it. */
function audit(attempt: Attempt): { audit?: { failure: string } } {
  const { audit: mode, files } = attempt.spec;
  const isExpected = mode === AuditMode.ON || (mode !== AuditMode.OFF && files.length > 0);
  const failure = "changes were not compared with the declared files: this kind of worker does not do that";
  return isExpected ? { audit: { failure } } : {};
}

function outcomeOf(attempt: Attempt, how: Ended): Outcome {
  if (how.cause === "cancel") return attempt.cancelOutcome ?? Outcome.CANCELLED;
  if (how.cause !== "") return OUTCOME_OF_CAUSE[how.cause];
  const isHandler = attempt.spec.work.case === "handler";
  const failed = how.signal !== 0 || (how.exitCode ?? 0) !== 0 || (isHandler && how.error !== "");
  return failed ? Outcome.FAILED : Outcome.SUCCEEDED;
}

function why(outcome: Outcome, attempt: Attempt, how: Ended): string {
  if (outcome === Outcome.TIMED_OUT) return `stopped after its timeout of ${attempt.timeoutMs / 1000} s`;
  if (how.cause !== "") return attempt.cancelReason || `stopped: ${how.cause}`;
  const fact = how.signal > 0 ? `killed by ${signalName(how.signal)}` : `exit code ${how.exitCode ?? 0}`;
  const last = lastLine(attempt.output?.errorTail);
  return last === "" ? fact : `${fact}: ${last}`;
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}

/** The report on an attempt that could not be started. */
export function notStarted(attempt: Attempt, error: string, nowUs: bigint, workerFault: boolean): TaskReport {
  const { attemptId, fence } = attempt;
  const outcome = Outcome.NOT_STARTED;
  return create(TaskReportSchema, {
    attemptId,
    fence,
    outcome,
    error: oneLine(error),
    endedAtUs: nowUs,
    workerFault,
  });
}

/** The report on an attempt that was told to stop before it started. */
export function stoppedUnstarted(
  attemptId: string,
  fence: bigint,
  outcome: Outcome,
  reason: string,
  nowUs: bigint,
): TaskReport {
  return create(TaskReportSchema, { attemptId, fence, outcome, error: oneLine(reason), endedAtUs: nowUs });
}

/** Final offsets, and the whole output when it is small. */
export function addOutput(report: TaskReport, output: OutputBuffer): void {
  report.outputBytes = BigInt(output.totalBytes);
  report.outputDroppedBytes = BigInt(output.droppedBytes);
  if (output.fitsInline)
    report.output = create(TaskReportSchema, { output: output.allPieces().map(wirePiece) }).output;
}

/** A piece as the messages carry it. */
export function wirePiece(piece: { offset: number; channel: 1 | 2; data: Uint8Array; droppedBytes: number }) {
  return {
    offset: BigInt(piece.offset),
    channel: piece.channel === 2 ? OutputChannel.STDERR : OutputChannel.STDOUT,
    data: piece.data,
    droppedBytes: BigInt(piece.droppedBytes),
  };
}
