/** One attempt in the worker's hands, from its assignment until its report is acknowledged. Plain data. */
import { create } from "@bufbuild/protobuf";
import { type Outcome, type TaskSpec, TaskSpecSchema } from "../gen/buildrunner_parallel/v1/types_pb.js";
import {
  type Assignment,
  type HeldAttempt,
  HeldAttemptSchema,
  type TaskReport,
} from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import type { OutputBuffer } from "./output-buffer.js";

const DEFAULT_GRACE_MS = 10_000;

/** Waiting here, handed to the supervisor, running, over (its report may wait for output). */
export type AttemptState = "waiting" | "handed" | "running" | "over";

export class Attempt {
  readonly attemptId: string;
  readonly fence: bigint;
  readonly spec: TaskSpec;
  readonly slots: number;
  state: AttemptState = "waiting";
  pid = 0;
  slot = 0;
  startedAtUs = 0n;
  output: OutputBuffer | undefined;
  report: TaskReport | undefined;
  sentAtMs = 0;
  cancelOutcome: Outcome | undefined;
  cancelReason = "";
  /** The coordinator waits for an answer. */
  revokeAsked = false;
  /** Stop it, and report nothing. */
  isDisowned = false;

  constructor(readonly assignment: Assignment) {
    this.attemptId = assignment.attemptId;
    this.fence = assignment.fence;
    this.spec = assignment.spec ?? create(TaskSpecSchema);
    this.slots = Math.max(1, this.spec.slots);
  }

  /** Between SIGTERM and SIGKILL. */
  get graceMs(): number {
    return this.spec.graceMs === undefined ? DEFAULT_GRACE_MS : Number(this.spec.graceMs);
  }

  get timeoutMs(): number {
    return Number(this.spec.timeoutMs);
  }

  /** As hello and heartbeats name it. */
  held(): HeldAttempt {
    return create(HeldAttemptSchema, {
      attemptId: this.attemptId,
      fence: this.fence,
      started: this.startedAtUs > 0n,
      ended: this.state === "over",
      pid: this.pid,
      startedAtUs: this.startedAtUs,
    });
  }
}
