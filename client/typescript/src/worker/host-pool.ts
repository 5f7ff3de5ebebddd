/** The handler hosts of one supervisor: started when needed, used again, one task at a time in each. */
import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { FromHost, ToHost } from "./messages.js";
import { type OnOutput, OutputPipes } from "./pipes.js";
import { startTicks } from "./process-tree.js";

const HOST = fileURLToPath(new URL("./host.js", import.meta.url));

/** A process with the handlers loaded. `onMessage` and `onOutput` belong to the task that it has. */
export class Host {
  readonly pid: number;
  readonly sinceTicks: bigint;
  readonly pipes: OutputPipes;
  /** The names of its handlers. Rejects when they cannot be loaded. */
  readonly ready: Promise<readonly string[]>;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  isGone = false;
  onMessage: (message: FromHost) => void = () => undefined;
  onOutput: OnOutput = () => undefined;
  readonly #child: ChildProcess;

  /** Throws when no process can be made. */
  constructor(folder: string, modules: readonly string[], env: Record<string, string>) {
    this.pipes = new OutputPipes(folder, (channel, data) => this.onOutput(channel, data));
    const [stdout, stderr] = this.pipes.writers;
    this.#child = spawn(process.execPath, [HOST, ...modules], {
      env,
      detached: true,
      stdio: ["ignore", stdout, stderr, "ipc"],
      serialization: "advanced",
    });
    this.pipes.closeWriters();
    this.pid = this.#child.pid ?? 0;
    this.sinceTicks = startTicks(this.pid);
    this.exited = new Promise((resolve) => {
      this.#child.once("error", () => this.#gone(() => resolve({ code: 1, signal: null })));
      this.#child.once("exit", (code, signal) => this.#gone(() => resolve({ code, signal })));
    });
    this.ready = this.#awaitReady();
    this.ready.catch(() => undefined);
    this.#child.on("message", (message: FromHost) => this.onMessage(message));
  }

  send(message: ToHost): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #gone(then: () => void): void {
    this.isGone = true;
    then();
  }

  async #awaitReady(): Promise<readonly string[]> {
    const first = new Promise<FromHost>((resolve) => this.#child.once("message", resolve));
    const message = await Promise.race([first, this.exited]);
    if ("type" in message && message.type === "ready") return message.handlers;
    this.kill();
    if ("type" in message && message.type === "failed") throw new Error(message.message);
    throw new Error("a handler host ended before its handlers were loaded; its standard error may tell why");
  }
}

export class HostPool {
  readonly #idle: Host[] = [];
  readonly #folders: string[] = [];
  #started = 0;

  constructor(
    private readonly scratch: string,
    private readonly modules: readonly string[],
  ) {}

  /** One that has nothing to do, or a new one. Throws when no process can be made. */
  take(env: Record<string, string>): Host {
    for (let host = this.#idle.pop(); host !== undefined; host = this.#idle.pop()) {
      if (!host.isGone) return host;
    }
    this.#started += 1;
    const folder = this.#folders.pop() ?? path.join(this.scratch, `host-${this.#started}`);
    const host = new Host(folder, this.modules, env);
    void host.exited.then(() => {
      host.pipes.close();
      this.#folders.push(folder);
    });
    return host;
  }

  giveBack(host: Host): void {
    host.onMessage = () => undefined;
    host.onOutput = () => undefined;
    if (!host.isGone) this.#idle.push(host);
  }

  close(): void {
    for (const host of this.#idle.splice(0)) host.kill();
  }
}
