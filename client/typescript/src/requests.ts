/** Request ids, and submissions cut to what one request may hold. */
import { randomUUID } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type TaskSpec, TaskSpecSchema } from "./gen/buildrunner_parallel/v1/types_pb.js";

const MOST_TASKS = 1_000;
const MOST_BYTES = 3 * 1024 * 1024;

/** A fresh id for one intention; kept over all its repeats. */
export function newRequestId(): string {
  return randomUUID();
}

/** At most 1,000 tasks and about 3 MiB each, at least one batch; a single task is never cut. */
export function batches(tasks: readonly TaskSpec[]): TaskSpec[][] {
  const all: TaskSpec[][] = [[]];
  let bytes = 0;
  for (const task of tasks) {
    const size = toBinary(TaskSpecSchema, task).length + 8;
    let last = all[all.length - 1] as TaskSpec[];
    if (last.length > 0 && (last.length >= MOST_TASKS || bytes + size > MOST_BYTES)) {
      last = [];
      all.push(last);
      bytes = 0;
    }
    last.push(task);
    bytes += size;
  }
  return all;
}
