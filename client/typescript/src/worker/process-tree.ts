/** Reading /proc: which processes are left of a task, whatever they did to get away; and signalling safely. */
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

function statOf(pid: number): { state: string; group: number; startTicks: bigint } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", group: Number(fields[2]), startTicks: BigInt(fields[19] ?? "0") };
  } catch {
    return undefined;
  }
}

function environmentHas(pid: number, mark: string): boolean {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`);
    return Buffer.concat([Buffer.from("\0"), environment, Buffer.from("\0")]).includes(`\0${mark}\0`);
  } catch {
    return false;
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
