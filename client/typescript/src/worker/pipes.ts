/**
 * Real pipes for the output of tasks. Node gives children sockets, and whoever opens /dev/stdout or
 * /dev/stderr by name fails on a socket. So each slot has two named pipes, opened anew for each task.
 */
import { execFileSync } from "node:child_process";
import { closeSync, constants, existsSync, mkdirSync, openSync, readSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import * as path from "node:path";

const READ_BYTES = 64 * 1024;
const NAMES = ["stdout", "stderr"] as const;

export type OnOutput = (channel: 1 | 2, data: Uint8Array) => void;

interface Reader {
  readonly name: string;
  readonly channel: 1 | 2;
  readonly fd: number;
  readonly socket: Socket;
}

/** Both output channels of one process. */
export class OutputPipes {
  /** For the process that writes; close them once it has them. */
  readonly writers: readonly number[];
  readonly #readers: Reader[] = [];
  readonly #onOutput: OnOutput;

  /** `folder` has been prepared by `makePipes`, and nobody else uses it meanwhile. */
  constructor(folder: string, onOutput: OnOutput) {
    this.#onOutput = onOutput;
    makePipes([folder]);
    this.writers = NAMES.map((name, index) => this.#open(path.join(folder, name), index === 0 ? 1 : 2));
  }

  #open(name: string, channel: 1 | 2): number {
    const fd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(name, constants.O_WRONLY);
    const socket = new Socket({ fd, readable: true, writable: false });
    socket.on("data", (data: Uint8Array) => this.#onOutput(channel, data));
    socket.on("error", () => socket.destroy());
    this.#readers.push({ name, channel, fd, socket });
    return writer;
  }

  closeWriters(): void {
    for (const fd of this.writers) closeSync(fd);
  }

  pause(): void {
    for (const { socket } of this.#readers) socket.pause();
  }

  resume(): void {
    for (const { socket } of this.#readers) socket.resume();
  }

  /** Passes on all that has been written until now, and goes on. */
  drain(): void {
    for (const reader of this.#readers) {
      this.#drain(reader);
      reader.socket.resume();
    }
  }

  /** Drains and closes. A pipe that somebody out of reach still writes to is not used again. */
  close(): void {
    for (const reader of this.#readers) {
      if (!this.#drain(reader)) rmSync(reader.name, { force: true });
      reader.socket.destroy();
    }
  }

  /** Whether the last writer is gone. */
  #drain({ channel, fd, socket }: Reader): boolean {
    if (socket.destroyed || socket.readableEnded) return true;
    // First what the stream has read and not told yet: reading it tells it.
    socket.pause();
    while (socket.read() !== null);
    for (;;) {
      const data = Buffer.allocUnsafe(READ_BYTES);
      let size: number;
      try {
        size = readSync(fd, data);
      } catch {
        return false; // no more now, but somebody could write
      }
      if (size === 0) return true;
      this.#onOutput(channel, data.subarray(0, size));
    }
  }
}

/** Makes what is missing of the pipes in these folders. */
export function makePipes(folders: readonly string[]): void {
  const names = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name)));
  const missing = names.filter((name) => !existsSync(name));
  for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (missing.length > 0) execFileSync("mkfifo", ["-m", "600", ...missing]);
}
