/** The worker's end of the supervisor process. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { FromSupervisor, ToSupervisor } from "./messages.js";
import { signalTo, survivors } from "./process-tree.js";

const SUPERVISOR = fileURLToPath(new URL("./supervisor.js", import.meta.url));

export interface SupervisorOptions {
  readonly slots: number;
  readonly baseEnv: Record<string, string>;
  readonly handlerModules: readonly string[];
  readonly onEvent: (event: FromSupervisor) => void;
  /** It has ended though nobody asked it to. */
  readonly onLost: () => void;
}

export class SupervisorClient {
  /** The names of the handlers. Rejects with one line when they cannot be loaded. */
  readonly ready: Promise<readonly string[]>;
  readonly #child: ChildProcess;
  readonly #scratch: string;
  readonly #exited: Promise<void>;
  #isClosing = false;

  constructor(options: SupervisorOptions) {
    this.#scratch = mkdtempSync(path.join(tmpdir(), "br-worker-"));
    const env = { ...process.env };
    for (const name of ["BR_TOKEN", "BR_TOKEN_FILE"]) delete env[name];
    this.#child = spawn(process.execPath, [SUPERVISOR], {
      env,
      detached: true,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    this.#exited = new Promise((resolve) => this.#child.once("exit", () => resolve()));
    void this.#exited.then(() => {
      rmSync(this.#scratch, { recursive: true, force: true });
      if (!this.#isClosing) options.onLost();
    });
    this.ready = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      void this.#exited.then(() => reject(new Error("the supervisor process ended before it was ready")));
      this.#child.on("message", (message: FromSupervisor) => {
        if (message.type === "ready") resolve(message.handlers);
        else if (message.type === "failed") reject(new Error(message.message));
        else options.onEvent(message);
      });
    });
    const { slots, baseEnv, handlerModules } = options;
    this.send({ type: "configure", slots, scratch: this.#scratch, baseEnv, handlerModules });
  }

  send(message: ToSupervisor): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** Ends it and everything that it has started. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.send({ type: "quit", graceMs });
    await this.#exited;
  }
}

/** What the supervisor left behind when it was killed: these attempts' processes are killed too. */
export function killLeftovers(
  attempts: readonly { readonly attemptId: string; readonly pid: number }[],
): void {
  for (const { attemptId, pid } of attempts) {
    signalTo(-pid, "SIGKILL");
    for (const one of survivors(pid, `BR_ATTEMPT_ID=${attemptId}`, 0n)) signalTo(one, "SIGKILL");
  }
}
