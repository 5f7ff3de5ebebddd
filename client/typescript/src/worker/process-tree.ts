/**
 * Reading /proc: which processes are left of a task, whatever they did to get away; and signalling safely.
 *
 * Looking at every process of the machine takes its time, so first it is asked whether anything can be left: the
 * task's group is empty, and nobody whom an ancestor of ours has inherited bears the task's mark.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Ticks since the machine started; what /proc counts starts of processes in. */
export function startTicks(pid: number): bigint {
  return statOf(pid)?.startTicks ?? 0n;
}

/**
 * Living processes in `group`, or with `mark` (NAME=value) in their environment, started at `sinceTicks` or
 * later; without `except`. Zombies are gone: whoever should collect them may be slow.
 */
export function survivors(group: number, mark: string, sinceTicks: bigint, except = 0): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === except || pid === process.pid) continue;
    const stat = statOf(pid);
    if (stat === undefined || stat.state === "Z" || stat.state === "X" || stat.startTicks < sinceTicks)
      continue;
    if (stat.group === group || environmentHas(pid, mark)) found.push(pid);
  }
  return found;
}

/** Finds out quickly that nothing is left of a task; remembers whom it has looked at. */
export class Orphanage {
  /** Those who may inherit what a task leaves: every ancestor of this process, up to the first one of all. */
  readonly #heirs: readonly number[] = ancestors();
  /** When each inherited process started: what is older than a task is not of it, and need not be looked at. */
  readonly #started = new Map<number, bigint>();

  /** False only if nothing is: neither in the group, nor among the inherited. */
  mayHaveLeft(group: number, mark: string, sinceTicks: bigint): boolean {
    return groupExists(group) || this.#hasInherited(mark, sinceTicks);
  }

  /** The same for a handler host, which stays and has children as long as something is left. */
  mayHaveLeftBehind(host: number, mark: string, sinceTicks: bigint): boolean {
    const threads = threadsOf(host);
    if (threads.length === 0) return this.mayHaveLeft(host, mark, sinceTicks);
    return (
      threads.some((thread) => childrenOf(host, thread)?.length !== 0) || this.#hasInherited(mark, sinceTicks)
    );
  }

  #hasInherited(mark: string, sinceTicks: bigint): boolean {
    const inherited = this.#heirs.map((heir) => childrenOf(heir, heir));
    // A kernel that does not tell: everything has to be looked at.
    if (inherited.at(-1) === undefined) return true;
    const present = new Set(inherited.flatMap((pids) => pids ?? []));
    for (const pid of this.#started.keys()) if (!present.has(pid)) this.#started.delete(pid);
    return [...present].some((pid) => this.#startOf(pid) >= sinceTicks && environmentHas(pid, mark));
  }

  #startOf(pid: number): bigint {
    const started = this.#started.get(pid) ?? startTicks(pid);
    this.#started.set(pid, started);
    return started;
  }
}

function ancestors(): number[] {
  const found: number[] = [];
  for (let pid = process.ppid; pid > 0; pid = statOf(pid)?.parent ?? 0) found.push(pid);
  return found;
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/** Undefined when it cannot be told. */
function childrenOf(pid: number, thread: number): number[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/task/${thread}/children`, "latin1").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return undefined;
  }
}

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly startTicks: bigint;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent, group] = fields;
    return { state, parent: Number(parent), group: Number(group), startTicks: BigInt(fields[19] ?? "0") };
  } catch {
    return undefined;
  }
}

function environmentHas(pid: number, mark: string): boolean {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`);
    return Buffer.concat([Buffer.from("\0"), environment, Buffer.from("\0")]).includes(`\0${mark}\0`);
  } catch {
    return false; // gone, or not ours to read
  }
}

/** Whether any process, zombies included, is in the group. */
function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** To a process, or with a negative number to a group; wakes what it should end in order. */
export function signalTo(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, signal);
    if (signal === "SIGTERM") process.kill(pid, "SIGCONT");
  } catch {
    return; // gone, or not ours any more
  }
}
