/** Waiting for a session's or a task's end by watching it. */
import type { Client } from "./client.js";
import { NotFoundError, TimeoutError } from "./errors.js";
import type { Session, Task } from "./gen/buildrunner_parallel/v1/types_pb.js";
import { isSessionOver, isTaskOver } from "./states.js";
import type { WatchEvent, WatchOptions } from "./watch.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How long to wait. */
export interface WaitOptions {
  /** Default: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
}

interface Wait<T> {
  readonly what: string;
  readonly sessionId: string;
  readonly kinds: NonNullable<WatchOptions["kinds"]>;
  readonly isOver: (value: T) => boolean;
  /** The newest value, if the event tells of one. */
  readonly read: (event: WatchEvent) => Promise<T | undefined>;
}

export async function waitSession(client: Client, asked: string, options: WaitOptions): Promise<Session> {
  const { signal } = options;
  const first = await client.session(asked, { signal });
  const { sessionId } = first;
  const read = async (event: WatchEvent) => {
    for (const { entity } of event.changes) {
      if (entity.case === "session" && entity.value.sessionId === sessionId) return entity.value;
      if (entity.case === "removed" && entity.value.id === sessionId) {
        throw new NotFoundError(`session ${sessionId} was deleted`, "SESSION_NOT_FOUND");
      }
    }
    // One that has ended meanwhile may not be in a snapshot any more.
    return event.snapshot && event.complete ? client.session(sessionId, { signal }) : undefined;
  };
  const isOver = (session: Session) => isSessionOver(session.status);
  return wait(
    client,
    first,
    { what: `session ${sessionId}`, sessionId, kinds: ["session"], isOver, read },
    options,
  );
}

export async function waitTask(
  client: Client,
  asked: string,
  taskId: string,
  options: WaitOptions,
): Promise<Task> {
  const look = () => client.task(asked, taskId, { signal: options.signal });
  const first = await look();
  const read = async (event: WatchEvent) => {
    const concerns = event.changes.some(
      ({ entity }) =>
        entity.case === "removed" ||
        (entity.case === "task" && entity.value.taskId === taskId && isTaskOver(entity.value.status)),
    );
    return concerns || (event.snapshot && event.complete) ? look() : undefined;
  };
  const isOver = (task: Task) => task.summary !== undefined && isTaskOver(task.summary.status);
  const sessionId = first.summary?.sessionId ?? asked;
  return wait(
    client,
    first,
    { what: `task ${taskId}`, sessionId, kinds: ["task", "session"], isOver, read },
    options,
  );
}

async function wait<T>(client: Client, first: T, waiting: Wait<T>, options: WaitOptions): Promise<T> {
  if (waiting.isOver(first)) return first;
  const { sessionId, kinds, what } = waiting;
  await using watch = client.watch({ sessionIds: [sessionId], kinds, signal: options.signal });
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => watch.close(), Math.min(options.timeoutMs, LONGEST_TIMER_MS));
  try {
    for await (const event of watch) {
      const value = await waiting.read(event);
      if (value !== undefined && waiting.isOver(value)) return value;
    }
  } finally {
    clearTimeout(timer);
  }
  throw new TimeoutError(`${what} is not over yet; it goes on without being waited for`, "TIMEOUT");
}
