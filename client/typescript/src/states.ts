/** Names and meanings of states; those of newer coordinators count as unspecified. */

import type { DescEnum } from "@bufbuild/protobuf";
import {
  OutcomeSchema,
  SessionStatus,
  SessionStatusSchema,
  TaskStatus,
  TaskStatusSchema,
  WorkerStatusSchema,
} from "./gen/buildrunner_parallel/v1/types_pb.js";

/** `running`, ...; `unspecified` for a value that this client does not know. */
export function sessionStatusName(status: number): string {
  return nameOf(SessionStatusSchema, status);
}

/** In lower case, as the command line writes it. */
export function taskStatusName(status: number): string {
  return nameOf(TaskStatusSchema, status);
}

/** In lower case, as the command line writes it. */
export function workerStatusName(status: number): string {
  return nameOf(WorkerStatusSchema, status);
}

/** In lower case, as the command line writes it. */
export function outcomeName(outcome: number): string {
  return nameOf(OutcomeSchema, outcome);
}

function nameOf(schema: DescEnum, value: number): string {
  return (schema.value[value]?.localName ?? "UNSPECIFIED").toLowerCase();
}

const ENDED_SESSIONS: ReadonlySet<SessionStatus> = new Set([
  SessionStatus.COMPLETED,
  SessionStatus.FAILED,
  SessionStatus.CANCELLED,
]);
const ENDED_TASKS: ReadonlySet<TaskStatus> = new Set([
  TaskStatus.SUCCEEDED,
  TaskStatus.FAILED,
  TaskStatus.CANCELLED,
  TaskStatus.SKIPPED,
]);

/** Whether nothing of it runs or will, unless it is retried. */
export function isSessionOver(status: SessionStatus): boolean {
  return ENDED_SESSIONS.has(status);
}

/** Whether it has ended, unless it is retried. */
export function isTaskOver(status: TaskStatus): boolean {
  return ENDED_TASKS.has(status);
}
