/** The numbered slots of a worker, and each one's scratch folder with the files a task may write to. */
import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import * as path from "node:path";

const RESULT_LIMIT_BYTES = 1 << 20;
const ERROR_LIMIT_BYTES = 4096;

export class SlotPool {
  readonly #free: number[];

  constructor(
    readonly count: number,
    readonly scratch: string,
  ) {
    this.#free = Array.from({ length: count }, (_, slot) => slot);
  }

  get folders(): string[] {
    return Array.from({ length: this.count }, (_, slot) => this.folder(slot));
  }

  folder(slot: number): string {
    return path.join(this.scratch, `slot-${slot}`);
  }

  /** The lowest free ones; more than there are counts as all of them. */
  take(wanted: number): number[] {
    this.#free.sort((one, other) => one - other);
    return this.#free.splice(0, Math.max(1, wanted));
  }

  giveBack(slots: readonly number[]): void {
    this.#free.push(...slots);
  }

  /** What tells a task its slot, and where it may write its result and its error. */
  environment(slot: number): Record<string, string> {
    const folder = this.folder(slot);
    return {
      BR_SLOT: String(slot),
      BR_RESULT_FILE: path.join(folder, "result"),
      BR_ERROR_FILE: path.join(folder, "error"),
    };
  }

  /** What it has written there; both files are removed. */
  collect(slot: number): { result: Uint8Array | undefined; error: string } {
    const folder = this.folder(slot);
    const result = takeFile(path.join(folder, "result"), RESULT_LIMIT_BYTES + 1, false);
    const error = lastLine(takeFile(path.join(folder, "error"), ERROR_LIMIT_BYTES, true));
    if (result === undefined || result.length <= RESULT_LIMIT_BYTES) return { result, error };
    const dropped = `the result file is larger than ${RESULT_LIMIT_BYTES} bytes and was dropped`;
    return { result: undefined, error: error || dropped };
  }
}

/** Reads a regular file up to a limit and removes it; whatever else stands there is removed unread. */
function takeFile(name: string, limitBytes: number, fromEnd: boolean): Uint8Array | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(name, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const details = fstatSync(fd);
    if (!details.isFile()) return undefined;
    const data = Buffer.alloc(Math.min(limitBytes, details.size));
    const size = readSync(fd, data, 0, data.length, fromEnd ? Math.max(0, details.size - limitBytes) : 0);
    return data.subarray(0, size);
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
    rmSync(name, { recursive: true, force: true });
  }
}

/** The last line of text that is not blank, trimmed; empty without. */
export function lastLine(text: Uint8Array | undefined): string {
  const lines = Buffer.from(text ?? [])
    .toString("utf8")
    .split(/\r\n|\r|\n/);
  return lines.findLast((line) => line.trim() !== "")?.trim() ?? "";
}
