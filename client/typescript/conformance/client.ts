/** The client under test: requests of tests/conformance/README.md from standard input, answers on standard output. */
import { createInterface } from "node:readline";
import {
  BuildRunnerError,
  Client,
  LockConflictError,
  type PathItem,
  sessionStatusName,
  type TaskInput,
  taskStatusName,
} from "../src/index.js";
import { Following } from "./following.js";

type Request = Record<string, unknown> & { id?: unknown; op?: unknown };
type Answer = Record<string, unknown>;

let connecting: Promise<Client> | undefined;
const watches = new Map<number, Following>();

const operations: Record<string, (request: Request, client: Client) => Promise<Answer>> = {
  info: async (_request, client) => {
    const info = await client.info();
    const { version, storeId, capabilities } = info;
    return { version, store_id: storeId, epoch: Number(info.epoch), capabilities };
  },
  create_session: async (request, client) => {
    const metadata = request["metadata"] as object | undefined;
    const session = await client.createSession({ name: text(request, "name"), metadata });
    return { session_id: session.sessionId };
  },
  start_session: async (request, client) => statusOf(await client.startSession(text(request, "session_id"))),
  pause_session: async (request, client) => statusOf(await client.pauseSession(text(request, "session_id"))),
  resume_session: async (request, client) =>
    statusOf(await client.resumeSession(text(request, "session_id"))),
  cancel_session: async (request, client) =>
    statusOf(await client.cancelSession(text(request, "session_id"))),
  close_session: async (request, client) => statusOf(await client.closeSession(text(request, "session_id"))),
  submit: async (request, client) => {
    const tasks = (request["tasks"] as Record<string, unknown>[]).map(taskOf);
    const requestId = request["request_id"] as string | undefined;
    const added = await client.submit(text(request, "session_id"), tasks, { requestId });
    return { task_ids: added.map((task) => task.taskId) };
  },
  get_task: async (request, client) => {
    const task = await client.task(text(request, "session_id"), text(request, "task_id"));
    const last = task.attempts.at(-1);
    return {
      status: taskStatusName(task.summary?.status ?? 0),
      attempts: task.attempts.length,
      exit_code: last?.exitCode ?? null,
      error: (last?.error ?? "") || (task.summary?.error ?? ""),
      result: Buffer.from(last?.result?.data ?? []).toString("utf8"),
    };
  },
  cancel_task: async (request, client) => {
    const task = await client.cancelTask(text(request, "session_id"), text(request, "task_id"));
    return { status: taskStatusName(task.status) };
  },
  wait_session: async (request, client) => {
    const timeoutMs = number(request, "timeout_s") * 1000;
    const session = await client.waitSession(text(request, "session_id"), { timeoutMs });
    const { succeeded = 0, failed = 0 } = session.counts ?? {};
    return { status: sessionStatusName(session.status), succeeded, failed };
  },
  lock: async (request, client) => {
    const waitS = (request["wait_s"] as number | undefined) ?? 0;
    const leaseS = request["lease_s"] as number | undefined;
    const grant = await client.acquireLocks(text(request, "session_id"), request["paths"] as string[], {
      shared: request["shared"] === true,
      waitMs: waitS < 0 ? Number.POSITIVE_INFINITY : waitS * 1000,
      leaseMs: leaseS === undefined ? undefined : leaseS * 1000,
    });
    return {
      grant_id: grant.grantId,
      fence: Number(grant.fence),
      paths: grant.locks.map((lock) => lock.path),
    };
  },
  renew: async (request, client) => {
    const leaseMs = await client.renewLease(text(request, "grant_id"), BigInt(number(request, "fence")));
    return { lease_s: leaseMs / 1000 };
  },
  unlock: async (request, client) => {
    const fence = request["fence"] as number | undefined;
    const released = await client.releaseLocks(text(request, "session_id"), {
      grantId: request["grant_id"] as string | undefined,
      fence: fence === undefined ? undefined : BigInt(fence),
      paths: request["paths"] as string[] | undefined,
    });
    return { paths: released.map((lock) => lock.path) };
  },
  logs: async (request, client) => {
    const written = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
    for await (const piece of client.output(text(request, "session_id"), text(request, "task_id"))) {
      written[piece.channel].push(piece.data);
    }
    const whole = (pieces: Uint8Array[]) => Buffer.concat(pieces).toString("utf8");
    return { stdout: whole(written.stdout), stderr: whole(written.stderr) };
  },
  watch: async (request, client) => {
    const since = request["since"] as number | undefined;
    const watch = client.watch({
      sessionIds: [text(request, "session_id")],
      kinds: ["task", "session"],
      endedTasks: true,
      since: since === undefined ? undefined : BigInt(since),
      storeId: request["store_id"] as string | undefined,
    });
    const number = watches.size + 1;
    watches.set(number, new Following(watch));
    return { watch: number };
  },
  watch_until: async (request) => {
    const timeoutMs = number(request, "timeout_s") * 1000;
    return following(request).until(text(request, "task_id"), text(request, "status"), timeoutMs);
  },
  watch_close: async (request) => {
    await following(request).close();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
for (const one of watches.values()) await one.close();
(await connecting?.catch(() => undefined))?.close();

/** With the first request, and again as long as that fails. */
function connected(): Promise<Client> {
  const present = connecting ?? Client.connect({ connectTimeoutMs: 30_000 });
  connecting = present;
  present.catch(() => {
    connecting = undefined;
  });
  return present;
}

async function answer(line: string): Promise<Answer> {
  let id: unknown = null;
  try {
    const request = JSON.parse(line) as Request;
    id = request.id ?? null;
    const operation = Object.hasOwn(operations, String(request.op))
      ? operations[String(request.op)]
      : undefined;
    if (operation === undefined) throw new TypeError(`${JSON.stringify(request.op)} is no operation`);
    return { id, ok: await operation(request, await connected()) };
  } catch (error) {
    return { id, error: errorOf(error) };
  }
}

function errorOf(error: unknown): Answer {
  if (!(error instanceof BuildRunnerError)) {
    return { kind: "invalid", reason: "", message: (error as Error).message, conflicts: [] };
  }
  const conflicts = error instanceof LockConflictError ? error.conflicts : [];
  return {
    kind: error.kind,
    reason: error.reason,
    message: error.message,
    conflicts: conflicts.map((one) => ({
      path: one.askedPath,
      held_path: one.heldPath,
      session_id: one.holder?.sessionId ?? "",
      session_name: one.holder?.sessionName ?? "",
    })),
  };
}

function taskOf(task: Record<string, unknown>): TaskInput {
  const seconds = (name: string) => (task[name] === undefined ? undefined : Number(task[name]) * 1000);
  return {
    taskId: task["task_id"] as string,
    argv: task["argv"] as string[] | undefined,
    run: task["run"] as string | undefined,
    handler: task["handler"] as string | undefined,
    payload: task["payload"] as string | undefined,
    needs: task["needs"] as string[] | undefined,
    files: task["files"] as PathItem[] | undefined,
    timeoutMs: seconds("timeout_s"),
    graceMs: seconds("grace_s"),
    retries: task["retries"] as number | undefined,
    labels: task["labels"] as string[] | undefined,
    priority: task["priority"] as number | undefined,
  };
}

function statusOf(session: { status: number }): Answer {
  return { status: sessionStatusName(session.status) };
}

function following(request: Request): Following {
  const found = watches.get(number(request, "watch"));
  if (found === undefined) throw new TypeError(`${request["watch"]} is no watch`);
  return found;
}

function text(request: Request, name: string): string {
  const value = request[name];
  if (typeof value !== "string") throw new TypeError(`${name} must be text`);
  return value;
}

function number(request: Request, name: string): number {
  const value = request[name];
  if (typeof value !== "number") throw new TypeError(`${name} must be a number`);
  return value;
}
