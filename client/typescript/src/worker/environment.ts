/** What a task finds in its environment, and where it runs; tokens never. Pure. */
import type { TaskSpec, WorkingDirectory } from "../gen/buildrunner_parallel/v1/types_pb.js";
import type { Assignment } from "../gen/buildrunner_parallel/v1/worker_service_pb.js";
import { matchesAny } from "../patterns.js";
import type { Identity } from "./messages.js";

const ALLOWED: ReadonlySet<string> = new Set("PATH HOME USER SHELL LANG TZ TMPDIR VIRTUAL_ENV CI".split(" "));
const ALLOWED_PATTERNS = ["LC_*", "XDG_*", "*_PROXY", "*_proxy"];
const SECRET = ["BR_TOKEN", "BR_TOKEN_FILE"];

/** The part that all tasks of a worker share; `passed` has patterns of further names that they may see. */
export function baseEnvironment(
  workerEnv: NodeJS.ProcessEnv,
  workerId: string,
  coordinator: string,
  passed: readonly string[],
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(workerEnv)) {
    const isAllowed = ALLOWED.has(name) || matchesAny(name, [...ALLOWED_PATTERNS, ...passed]);
    if (value !== undefined && isAllowed && !SECRET.includes(name)) env[name] = value;
  }
  return { ...env, BR_WORKER_ID: workerId, BR_COORDINATOR: coordinator };
}

/** What this attempt adds to the shared part. */
export function ownEnvironment(assignment: Assignment, spec: TaskSpec): Record<string, string> {
  const env = { ...spec.passedEnvironment, ...spec.environment };
  for (const name of SECRET) delete env[name];
  const identity = identityOf(assignment, spec);
  return {
    ...env,
    BR_SESSION_ID: identity.sessionId,
    BR_SESSION_NAME: identity.sessionName,
    BR_TASK_ID: identity.taskId,
    BR_ATTEMPT: String(identity.attempt),
    BR_FENCE: String(identity.fence),
    BR_ATTEMPT_ID: identity.attemptId,
  };
}

export function identityOf(assignment: Assignment, spec: TaskSpec): Identity {
  return {
    sessionId: assignment.sessionId,
    sessionName: assignment.sessionName,
    taskId: spec.taskId,
    attempt: assignment.number,
    attemptId: assignment.attemptId,
    fence: assignment.fence,
  };
}

/** Where the task runs; `otherwise` when it does not say. */
export function workingDirectory(directory: WorkingDirectory | undefined, otherwise: string): string {
  const below = directory?.path ?? "";
  if (below.startsWith("/")) return below;
  const root = directory?.worktree || otherwise;
  return below === "" ? root : `${root.replace(/\/+$/, "")}/${below}`;
}
