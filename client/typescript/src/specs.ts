/** Tasks as programs write them down, and the protocol's TaskSpec made of them. */
import * as path from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { InvalidRequestError } from "./errors.js";
import {
  AuditMode,
  IsolationMode,
  type TaskSpec,
  TaskSpecSchema,
} from "./gen/buildrunner_parallel/v1/types_pb.js";
import { type PathItem, pathRequests } from "./lock-paths.js";
import { matchesAny } from "./patterns.js";
import { findWorkspace, type Workspace } from "./workspace.js";

/** Bytes as they are, text as UTF-8, anything else as JSON. */
export type PayloadInput = Uint8Array | string | object;

/** One task. Exactly one of `argv`, `run`, `handler` and `pool` says what to run. */
export interface TaskInput {
  /** Unique in its session; without one the coordinator makes one. */
  readonly taskId?: string | undefined;
  /** A program and its arguments; no shell. */
  readonly argv?: readonly string[] | undefined;
  /** A line for `/bin/sh -c`. */
  readonly run?: string | undefined;
  /** The name of a handler that a worker has loaded. */
  readonly handler?: string | undefined;
  /** The pool of an external task. */
  readonly pool?: string | undefined;
  /** For a handler, or for who does an external task. */
  readonly payload?: PayloadInput | undefined;
  /** Ids of tasks that must have succeeded. */
  readonly needs?: readonly string[] | undefined;
  /** Paths to hold while it runs, relative to where it is submitted. */
  readonly files?: readonly PathItem[] | undefined;
  /** Running time until it is stopped. */
  readonly timeoutMs?: number | undefined;
  /** Between SIGTERM and SIGKILL; default 10,000. */
  readonly graceMs?: number | undefined;
  /** How often a failed attempt is followed by another one; default never. */
  readonly retries?: number | undefined;
  /** Before the first retry, doubled with each further one; default 1,000. */
  readonly backoffMs?: number | undefined;
  /** -1000 to 1000, higher first. */
  readonly priority?: number | undefined;
  /** How many of its worker's slots it takes; default 1. */
  readonly slots?: number | undefined;
  /** All of them must be its worker's. */
  readonly labels?: readonly string[] | undefined;
  /** The one worker that may run it. */
  readonly workerId?: string | undefined;
  /** From where it is submitted; default: there. */
  readonly cwd?: string | undefined;
  /** Set for the task, on top of what its worker lets through. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Patterns of variables of this process to pass on, such as `NPM_*`. */
  readonly passEnv?: readonly string[] | undefined;
  /** Kept with it as JSON, and shown. */
  readonly metadata?: object | undefined;
  /** Whether what it changes is compared with `files`; `auto`: if it has any. */
  readonly audit?: "auto" | "on" | "off" | undefined;
  /** `worktree`: in a git worktree and branch of its own, merged into the session's with `merge`. */
  readonly isolate?: "worktree" | "none" | undefined;
  /** With `isolate: "worktree"`: merge what it committed into the session's branch. */
  readonly merge?: boolean | undefined;
}

const AUDITS = { auto: AuditMode.AUTO, on: AuditMode.ON, off: AuditMode.OFF };
const ISOLATIONS = { worktree: IsolationMode.WORKTREE, none: IsolationMode.SHARED };

/** Paths in it are relative to `cwd`. Throws InvalidRequestError for what can be no task. */
export function taskSpec(task: TaskInput, cwd: string, workspace: Workspace = findWorkspace(cwd)): TaskSpec {
  const where = path.resolve(cwd, task.cwd ?? ".");
  const relative = path.relative(workspace.worktree, where);
  const isBelow = relative !== ".." && !relative.startsWith("../");
  const passEnv = task.passEnv ?? [];
  return create(TaskSpecSchema, {
    taskId: task.taskId ?? "",
    work: work(task),
    directory: { worktree: workspace.worktree, path: isBelow ? relative : where },
    environment: { ...task.env },
    passedEnvironment: Object.fromEntries(
      Object.entries(process.env).filter(
        (entry): entry is [string, string] =>
          entry[1] !== undefined && entry[0] !== "BR_TOKEN" && matchesAny(entry[0], passEnv),
      ),
    ),
    timeoutMs: milliseconds(task.timeoutMs ?? 0),
    ...(task.graceMs === undefined ? {} : { graceMs: milliseconds(task.graceMs) }),
    needs: [...(task.needs ?? [])],
    files: pathRequests(task.files ?? [], false, cwd, workspace),
    priority: task.priority ?? 0,
    retry: { maxRetries: task.retries ?? 0, backoffMs: milliseconds(task.backoffMs ?? 0) },
    labels: [...(task.labels ?? [])],
    wantedWorkerId: task.workerId ?? "",
    slots: task.slots ?? 0,
    metadataJson: task.metadata === undefined ? "" : JSON.stringify(task.metadata),
    audit: AUDITS[task.audit ?? "auto"],
    isolation: ISOLATIONS[task.isolate ?? "none"],
    merge: task.merge ?? false,
  });
}

function work(task: TaskInput): MessageInitShape<typeof TaskSpecSchema>["work"] & object {
  const kinds = [task.argv, task.run, task.handler, task.pool].filter((one) => one !== undefined);
  if (kinds.length !== 1) {
    throw new InvalidRequestError(
      `task ${JSON.stringify(task.taskId ?? "")} needs exactly one of argv, run, handler and pool; found ${kinds.length}`,
      "INVALID",
    );
  }
  const payload = task.payload === undefined ? {} : { payload: payloadOf(task.payload) };
  if (task.handler !== undefined) return { case: "handler", value: { name: task.handler, ...payload } };
  if (task.pool !== undefined) return { case: "external", value: { pool: task.pool, ...payload } };
  return { case: "command", value: { argv: [...(task.argv ?? [])], shellLine: task.run ?? "" } };
}

/** Also what becomes of a handler's return value. */
export function payloadOf(value: PayloadInput | number | boolean | null): {
  data: Uint8Array;
  contentType: string;
} {
  if (value instanceof Uint8Array) return { data: value, contentType: "application/octet-stream" };
  const isText = typeof value === "string";
  const text = isText ? value : JSON.stringify(value);
  return { data: Buffer.from(text), contentType: isText ? "text/plain; charset=utf-8" : "application/json" };
}

/** Whole milliseconds for the wire. Throws InvalidRequestError for what is no duration. */
export function milliseconds(ms: number): bigint {
  if (!Number.isFinite(ms)) throw new InvalidRequestError(`${ms} is no number of milliseconds`, "INVALID");
  return BigInt(Math.round(ms));
}
