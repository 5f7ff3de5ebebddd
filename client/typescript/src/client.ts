/** The client: sessions, tasks, path locks, output and the change feed of one coordinator. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import { bootTimeMs } from "./clock.js";
import { Connection, type ConnectionOptions, type RunOptions, type Services } from "./connection.js";
import { InternalError, InvalidRequestError } from "./errors.js";
import type { GetInfoResponse, Summary } from "./gen/buildrunner_parallel/v1/coordinator_service_pb.js";
import type { HistoryEvent } from "./gen/buildrunner_parallel/v1/event_service_pb.js";
import {
  AcquireLocksRequestSchema,
  type AcquireLocksResponse,
} from "./gen/buildrunner_parallel/v1/lock_service_pb.js";
import type { CreateSessionRequestSchema } from "./gen/buildrunner_parallel/v1/session_service_pb.js";
import type { SubmitTasksResponse, TaskExplanation } from "./gen/buildrunner_parallel/v1/task_service_pb.js";
import type {
  LockConflict,
  PathLock,
  Session,
  SessionStatus,
  Task,
  TaskStatus,
  TaskSummary,
  Worker,
} from "./gen/buildrunner_parallel/v1/types_pb.js";
import { type PathItem, pathRequests } from "./lock-paths.js";
import { Lock } from "./locks.js";
import { type OutputOptions, type OutputPiece, readOutput } from "./output.js";
import { batches, newRequestId } from "./requests.js";
import { milliseconds, type TaskInput, taskSpec } from "./specs.js";
import { type WaitOptions, waitSession, waitTask } from "./waits.js";
import { Watch, type WatchOptions } from "./watch.js";
import { inWhoseName } from "./whose.js";
import { findWorkspace } from "./workspace.js";

/** Where the coordinator is, and how patient calls are. */
export interface ClientOptions extends ConnectionOptions {
  /** How long to wait for the coordinator's first answer; default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What calls that change something take. */
export interface ChangeOptions {
  /** For an intention that outlives this process: the same id again is answered as the first time. */
  readonly requestId?: string | undefined;
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What a new session is. */
export interface SessionInput {
  /** For people; need not be unique. */
  readonly name: string;
  /** Kept with it, and shown. */
  readonly metadata?: object | undefined;
  /** Worker processes for this session alone, run by the coordinator's machine; default none. */
  readonly wantedWorkers?: number | undefined;
  /** The most of its tasks that may run at once; default no cap. */
  readonly maxParallel?: number | undefined;
}

/** What `submit` takes. */
export interface SubmitOptions extends ChangeOptions {
  /** No task will be added after these. */
  readonly seal?: boolean | undefined;
}

/** What `lock` and `acquireLocks` take. */
export interface LockOptions extends ChangeOptions {
  /** Beside other shared holders, for all paths that say nothing themselves. */
  readonly shared?: boolean | undefined;
  /** 0 (default) tries once, Infinity waits without an end. */
  readonly waitMs?: number | undefined;
  /** The grant holds for itself and ends so long after its last renewal; without, the session holds. */
  readonly leaseMs?: number | undefined;
}

/** Safe to use from many places at once. Calls throw the errors of errors.ts. */
export class Client implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #cwd: string;

  private constructor(connection: Connection, cwd: string) {
    this.#connection = connection;
    this.#cwd = cwd;
  }

  /** Finds the coordinator as the command line does and waits for its answer. It is never started. */
  static async connect(options: ClientOptions = {}): Promise<Client> {
    const connection = new Connection(options);
    const client = new Client(connection, options.cwd ?? process.cwd());
    try {
      await client.info({ signal: options.signal, patienceMs: options.connectTimeoutMs ?? 5_000 });
    } catch (error) {
      connection.close();
      throw error;
    }
    return client;
  }

  /** `unix:PATH` or `HOST:PORT`. */
  get address(): string {
    return this.#connection.address;
  }

  /** The generated clients, for what has no method here; calls on them are neither repeated nor bounded. */
  get services(): Services {
    return this.#connection.services;
  }

  /** Ends the connection and every call on it. */
  close(): void {
    this.#connection.close();
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  // The coordinator

  /** Version, store, epoch and capabilities of the coordinator, and where it keeps its data. */
  info(options: RunOptions = {}): Promise<GetInfoResponse> {
    return this.#connection.run((services, call) => services.coordinator.getInfo({}, call), options);
  }

  /** Counts of sessions, workers, tasks and locks. */
  async summary(): Promise<Summary> {
    return present(
      (await this.#connection.run((services, call) => services.coordinator.getSummary({}, call))).summary,
    );
  }

  /** In the order in which they came. */
  async *workers(): AsyncGenerator<Worker, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.workers.listWorkers({ pageToken }, call);
      return [page.workers, page.nextPageToken];
    });
  }

  /** It takes nothing new, finishes what it runs, and leaves. */
  async drainWorker(workerId: string, reason = "", options: ChangeOptions = {}): Promise<Worker> {
    const request = { ...stamp(options), workerId, reason };
    return present(
      (await this.#run(options, (services, call) => services.workers.drainWorker(request, call))).worker,
    );
  }

  // Sessions. Their ids may be unique prefixes, or `last`.

  /** A session that is open for tasks; none starts before `startSession`. */
  async createSession(session: SessionInput, options: ChangeOptions = {}): Promise<Session> {
    const request: MessageInitShape<typeof CreateSessionRequestSchema> = {
      ...stamp(options),
      name: session.name,
      metadataJson: session.metadata === undefined ? "" : JSON.stringify(session.metadata),
      wantedWorkers: session.wantedWorkers ?? 0,
      maxParallel: session.maxParallel ?? 0,
    };
    return present(
      (await this.#run(options, (services, call) => services.sessions.createSession(request, call))).session,
    );
  }

  /** The session as it is now. Throws NotFoundError. */
  async session(sessionId: string, options: RunOptions = {}): Promise<Session> {
    return present(
      (
        await this.#connection.run(
          (services, call) => services.sessions.getSession({ sessionId }, call),
          options,
        )
      ).session,
    );
  }

  /** Newest first. */
  async *sessions(statuses: readonly SessionStatus[] = []): AsyncGenerator<Session, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.sessions.listSessions({ statuses: [...statuses], pageToken }, call);
      return [page.sessions, page.nextPageToken];
    });
  }

  /** From now on its tasks run. */
  async startSession(sessionId: string, options: ChangeOptions = {}): Promise<Session> {
    const request = { ...stamp(options), sessionId };
    return present(
      (await this.#run(options, (services, call) => services.sessions.startSession(request, call))).session,
    );
  }

  /** `now` stops what runs too, at no cost; `releaseLocks` gives up the session's locks meanwhile. */
  async pauseSession(
    sessionId: string,
    options: ChangeOptions & { now?: boolean; releaseLocks?: boolean } = {},
  ): Promise<Session> {
    const { now = false, releaseLocks = false } = options;
    const request = { ...stamp(options), sessionId, now, releaseLocks };
    return present(
      (await this.#run(options, (services, call) => services.sessions.pauseSession(request, call))).session,
    );
  }

  /** After a pause: tasks start again. */
  async resumeSession(sessionId: string, options: ChangeOptions = {}): Promise<Session> {
    const request = { ...stamp(options), sessionId };
    return present(
      (await this.#run(options, (services, call) => services.sessions.resumeSession(request, call))).session,
    );
  }

  /** Stops everything; it is over once its last process is gone. */
  async cancelSession(sessionId: string, reason = "", options: ChangeOptions = {}): Promise<Session> {
    const request = { ...stamp(options), sessionId, reason };
    return present(
      (await this.#run(options, (services, call) => services.sessions.cancelSession(request, call))).session,
    );
  }

  /** No task will be added: it ends when its tasks have. */
  async closeSession(sessionId: string, options: ChangeOptions = {}): Promise<Session> {
    const request = { ...stamp(options), sessionId };
    return present(
      (await this.#run(options, (services, call) => services.sessions.closeSession(request, call))).session,
    );
  }

  // Tasks

  /** Adds tasks. Up to 1,000 are one transaction, more are several, in order. */
  async submit(
    sessionId: string,
    tasks: readonly TaskInput[],
    options: SubmitOptions = {},
  ): Promise<TaskSummary[]> {
    const workspace = findWorkspace(this.#cwd);
    const specs = tasks.map((task) => taskSpec(task, this.#cwd, workspace));
    const { requestId } = stamp(options);
    const parts = batches(specs);
    const added: TaskSummary[] = [];
    for (const [index, part] of parts.entries()) {
      const isLast = index === parts.length - 1;
      const request = {
        requestId: parts.length === 1 ? requestId : `${requestId}.${index}`,
        sessionId,
        tasks: part,
        seal: isLast && (options.seal ?? false),
      };
      const answer: SubmitTasksResponse = await this.#run(options, (services, call) =>
        services.tasks.submitTasks(request, call),
      );
      added.push(...answer.tasks);
    }
    return added;
  }

  /** One task with its attempts. */
  async task(sessionId: string, taskId: string, options: RunOptions = {}): Promise<Task> {
    const request = { sessionId, taskId };
    return present(
      (await this.#connection.run((services, call) => services.tasks.getTask(request, call), options)).task,
    );
  }

  /** In order of submission. */
  async *tasks(sessionId: string, statuses: readonly TaskStatus[] = []): AsyncGenerator<TaskSummary, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.tasks.listTasks(
        { sessionId, statuses: [...statuses], pageSize: 1_000, pageToken },
        call,
      );
      return [page.tasks, page.nextPageToken];
    });
  }

  /** Stops one task; those that need it are skipped. */
  async cancelTask(
    sessionId: string,
    taskId: string,
    reason = "",
    options: ChangeOptions = {},
  ): Promise<TaskSummary> {
    const request = { ...stamp(options), sessionId, taskId, reason };
    return present(
      (await this.#run(options, (services, call) => services.tasks.cancelTask(request, call))).task,
    );
  }

  /** Runs failed, skipped and cancelled tasks again; without ids all of them. */
  async retryTasks(
    sessionId: string,
    taskIds: readonly string[] = [],
    options: ChangeOptions = {},
  ): Promise<Session> {
    const request = { ...stamp(options), sessionId, taskIds: [...taskIds] };
    return present(
      (await this.#run(options, (services, call) => services.tasks.retryTasks(request, call))).session,
    );
  }

  /** Why a task, or each unfinished task, is not running. */
  async *explain(sessionId: string, taskId = ""): AsyncGenerator<TaskExplanation, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.tasks.explainTasks({ sessionId, taskId, pageToken }, call);
      return [page.explanations, page.nextPageToken];
    });
  }

  /** What happened to a session, or to one of its tasks, oldest first. */
  async *history(sessionId: string, taskId = ""): AsyncGenerator<HistoryEvent, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.events.listHistory({ sessionId, taskId, pageSize: 1_000, pageToken }, call);
      return [page.events, page.nextPageToken];
    });
  }

  /** What a task wrote; with an empty `taskId` all tasks of the session. */
  output(sessionId: string, taskId = "", options: OutputOptions = {}): AsyncGenerator<OutputPiece, void> {
    return readOutput(this.#connection, sessionId, taskId, options);
  }

  // Watching

  /** Every change, from a snapshot on; see Watch. */
  watch(options: WatchOptions = {}): Watch {
    return new Watch(this.#connection, options);
  }

  /** The session once it is over. Throws TimeoutError, NotFoundError when it is deleted meanwhile. */
  waitSession(sessionId: string, options: WaitOptions = {}): Promise<Session> {
    return waitSession(this, sessionId, options);
  }

  /** The task, with its attempts, once it is over. Throws TimeoutError. */
  waitTask(sessionId: string, taskId: string, options: WaitOptions = {}): Promise<Task> {
    return waitTask(this, sessionId, taskId, options);
  }

  // Path locks. Paths are those of this machine; they may be absolute.

  /** Takes all paths or none. Throws LockConflictError with each clash, DeadlockError. */
  async lock(sessionId: string, paths: readonly PathItem[], options: LockOptions = {}): Promise<Lock> {
    const askedMs = bootTimeMs();
    const grant = await this.acquireLocks(sessionId, paths, options);
    return new Lock(this.#connection, sessionId, grant, askedMs);
  }

  /** The same without anybody who renews the lease; see `renewLease` and `releaseLocks`. */
  async acquireLocks(
    sessionId: string,
    paths: readonly PathItem[],
    options: LockOptions = {},
  ): Promise<AcquireLocksResponse> {
    const waitMs = options.waitMs ?? 0;
    if (Number.isNaN(waitMs)) throw new InvalidRequestError("waitMs is no number of milliseconds", "INVALID");
    const isEndless = waitMs < 0 || waitMs === Number.POSITIVE_INFINITY;
    const request = create(AcquireLocksRequestSchema, {
      ...stamp(options),
      sessionId,
      paths: pathRequests(paths, options.shared ?? false, this.#cwd),
      waitMs: isEndless ? -1n : milliseconds(waitMs),
      ...(options.leaseMs === undefined ? {} : { leaseMs: milliseconds(options.leaseMs) }),
      ...inWhoseName(options.leaseMs !== undefined),
    });
    const timeoutMs = isEndless ? Number.POSITIVE_INFINITY : waitMs + this.#connection.callTimeoutMs;
    return this.#connection.run((services, call) => services.locks.acquireLocks(request, call), {
      signal: options.signal,
      timeoutMs,
    });
  }

  /** Extends a grant with a lease; how long it holds from the sending of this on, in milliseconds. */
  async renewLease(grantId: string, fence: bigint, options: RunOptions = {}): Promise<number> {
    const answer = await this.#connection.run(
      (services, call) => services.locks.renewLease({ grantId, fence }, call),
      options,
    );
    return Number(answer.leaseMs);
  }

  /** Of a grant (with its fence), or of what the session itself holds: all of it, or some paths. */
  async releaseLocks(
    sessionId: string,
    options: ChangeOptions & {
      grantId?: string | undefined;
      fence?: bigint | undefined;
      paths?: readonly PathItem[] | undefined;
    } = {},
  ): Promise<PathLock[]> {
    const request = {
      ...stamp(options),
      sessionId,
      grantId: options.grantId ?? "",
      fence: options.fence ?? 0n,
      paths: pathRequests(options.paths ?? [], false, this.#cwd),
    };
    return (await this.#run(options, (services, call) => services.locks.releaseLocks(request, call)))
      .released;
  }

  /** What would clash with whom, without asking for anything. */
  async previewLocks(
    paths: readonly PathItem[],
    options: { sessionId?: string; shared?: boolean } = {},
  ): Promise<LockConflict[]> {
    const request = {
      sessionId: options.sessionId ?? "",
      paths: pathRequests(paths, options.shared ?? false, this.#cwd),
    };
    return (await this.#connection.run((services, call) => services.locks.previewLocks(request, call)))
      .conflicts;
  }

  /** Who holds what, of a session or of all. */
  async *locks(sessionId = ""): AsyncGenerator<PathLock, void> {
    yield* this.#pages(async (services, call, pageToken) => {
      const page = await services.locks.listLocks({ sessionId, pageToken }, call);
      return [page.locks, page.nextPageToken];
    });
  }

  // Plumbing

  #run<T>(
    options: ChangeOptions,
    call: (services: Services, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    return this.#connection.run(call, { signal: options.signal });
  }

  async *#pages<T>(
    page: (services: Services, options: CallOptions, token: string) => Promise<[T[], string]>,
  ): AsyncGenerator<T, void> {
    let token = "";
    do {
      const [items, next] = await this.#connection.run((services, options) => page(services, options, token));
      yield* items;
      token = next;
    } while (token !== "");
  }
}

function stamp(options: ChangeOptions): { requestId: string } {
  return { requestId: options.requestId ?? newRequestId() };
}

/** A field that every coordinator sets. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new InternalError("the coordinator's answer lacks what was asked for");
  return value;
}
