/**
 * The process in which handlers run: one task at a time, for one slot of a worker. Started by the supervisor
 * with the handler modules as arguments; it ends when its channel to the supervisor does.
 */
import { payloadOf } from "../specs.js";
import type { Handler, HandlerContext } from "./handlers.js";
import type { FromHost, Identity, ToHost } from "./messages.js";

const RESULT_LIMIT_BYTES = 1 << 20;
const LONGEST_MESSAGE = 256;

type Task = Extract<ToHost, { type: "task" }>;
type Result = { readonly data: Uint8Array; readonly contentType: string } | undefined;

const handlers = new Map<string, Handler>();
let present: AbortController | undefined;
let added: ReadonlyMap<string, string | undefined> = new Map();
let cpu = process.cpuUsage();

process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => undefined);
process.on("message", (message: ToHost) => {
  if (message.type === "cancel") present?.abort(new Error(message.reason || "the task was asked to end"));
  else void run(message);
});
await load(process.argv.slice(2));

async function load(modules: readonly string[]): Promise<void> {
  for (const name of modules) {
    try {
      const exported = (await import(name)) as { handlers?: unknown; default?: unknown };
      register(exported.handlers ?? exported.default);
    } catch (error) {
      return say({ type: "failed", message: `cannot load handlers from ${name}: ${describe(error)}` });
    }
  }
  say({ type: "ready", handlers: [...handlers.keys()].sort() });
}

function register(exported: unknown): void {
  if (typeof exported !== "object" || exported === null) {
    throw new Error("it exports no object of functions as `handlers`");
  }
  for (const [name, handler] of Object.entries(exported)) {
    if (typeof handler !== "function") throw new Error(`${JSON.stringify(name)} is no function`);
    if (name === "" || Buffer.byteLength(name) > 256 || name.startsWith("br.")) {
      throw new Error(`${JSON.stringify(name)} is no name for a handler: 1 to 256 bytes, not br.*`);
    }
    if (handlers.has(name) && handlers.get(name) !== handler)
      throw new Error(`two handlers are named ${name}`);
    handlers.set(name, handler as Handler);
  }
}

async function run(task: Task): Promise<void> {
  const cancelling = new AbortController();
  present = cancelling;
  let error = "";
  let result: Result;
  try {
    enter(task);
    const handler = handlers.get(task.name);
    if (handler === undefined) throw new Error(`no handler is named ${JSON.stringify(task.name)}`);
    result = toResult(await handler(contextOf(task, cancelling.signal)));
  } catch (thrown) {
    if (thrown instanceof Error && !cancelling.signal.aborted)
      process.stderr.write(`${thrown.stack ?? thrown}\n`);
    error = describe(thrown);
  }
  present = undefined;
  say({ type: "done", cancelled: cancelling.signal.aborted, error, result, usage: usage() });
}

/** Directory and environment of the task; they take the place of those of the task before. */
function enter(task: Task): void {
  for (const [name, before] of added) set(name, before);
  added = new Map(Object.keys(task.env).map((name) => [name, process.env[name]]));
  for (const [name, value] of Object.entries(task.env)) set(name, value);
  process.chdir(task.cwd);
}

function set(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

function contextOf(task: Task, signal: AbortSignal): HandlerContext {
  const identity: Identity = task.identity;
  const payload = Buffer.from(task.payload);
  return {
    ...identity,
    payload,
    contentType: task.contentType,
    signal,
    text: () => payload.toString("utf8"),
    json: () => JSON.parse(payload.toString("utf8")) as unknown,
    progress: (percent, message = "") => {
      const text = message.replace(/\s+/g, " ").slice(0, LONGEST_MESSAGE);
      say({ type: "progress", percent: Math.min(100, Math.max(0, Number(percent) || 0)), message: text });
    },
  };
}

function toResult(value: unknown): Result {
  if (value === undefined) return undefined;
  const result = payloadOf(value as object);
  if (result.data.length > RESULT_LIMIT_BYTES) {
    throw new Error(`the result has ${result.data.length} bytes, and ${RESULT_LIMIT_BYTES} is the most`);
  }
  return result;
}

function describe(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text || "the handler failed without a word";
}

function usage(): { userUs: number; systemUs: number; maxRssBytes: number } {
  const before = cpu;
  cpu = process.cpuUsage();
  return {
    userUs: cpu.user - before.user,
    systemUs: cpu.system - before.system,
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function say(message: FromHost): void {
  process.send?.(message);
}
