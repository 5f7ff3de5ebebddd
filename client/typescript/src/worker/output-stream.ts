/** Sending output that is not small over `LogService.WriteOutput`, and taking its acknowledgements. */
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type { Services } from "../connection.js";
import {
  AttemptOutputSchema,
  type WriteOutputRequest,
  WriteOutputRequestSchema,
} from "../gen/buildrunner_parallel/v1/log_service_pb.js";
import type { Attempt } from "./attempt.js";
import type { AttemptBook } from "./book.js";
import { INLINE_LIMIT_BYTES, type OutputBuffer, PIECE_COST_BYTES } from "./output-buffer.js";
import { wirePiece } from "./reports.js";
import { Signal } from "./signal.js";

const MESSAGE_BYTES = 256 << 10;
const LEAST_ROOM_BYTES = 1 << 10;
const STREAM_AFTER_MS = 200;
const RETRY_MS = 500;

/** At most 256 KiB of what is due; undefined when nothing is. Whoever had a turn is last in the next one. */
export function nextRequest(
  book: AttemptBook,
  workerId: string,
  nowMs: number,
): WriteOutputRequest | undefined {
  const request = create(WriteOutputRequestSchema, { workerId });
  let room = MESSAGE_BYTES;
  for (const attempt of book.withOutput) {
    const { output, attemptId, fence } = attempt;
    if (output === undefined || !isDue(attempt, output, nowMs)) continue;
    const pieces = output.take(room, nowMs);
    if (pieces.length === 0) continue;
    request.outputs.push(create(AttemptOutputSchema, { attemptId, fence, chunks: pieces.map(wirePiece) }));
    room -= pieces.reduce((sum, piece) => sum + piece.data.length + PIECE_COST_BYTES, 0);
    book.hadATurn(attempt);
    if (room < LEAST_ROOM_BYTES) break;
  }
  return request.outputs.length > 0 ? request : undefined;
}

/** Small output waits a little: if its task ends soon it travels in the report. */
function isDue(attempt: Attempt, output: OutputBuffer, nowMs: number): boolean {
  if (attempt.isDisowned || !output.isDue(nowMs)) return false;
  if (attempt.state === "over") return !output.fitsInline;
  const isLarge = output.isStreamed || output.totalBytes > INLINE_LIMIT_BYTES;
  return isLarge || nowMs - output.firstUnsentAtMs >= STREAM_AFTER_MS;
}

/** Runs beside one conversation; opened when there is something to send, and anew after a break. */
export class OutputStream {
  readonly #wanted = new Signal();
  readonly #ending = new AbortController();

  constructor(
    private readonly services: Services,
    private readonly book: AttemptBook,
    private readonly workerId: string,
    private readonly afterAcknowledgement: () => void,
  ) {}

  /** There may be output to send. */
  wake(): void {
    this.#wanted.set();
  }

  close(): void {
    this.#ending.abort();
    this.#wanted.set();
  }

  async run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const call = new AbortController();
      call.signal.addEventListener("abort", () => this.#wanted.set(), { once: true });
      const first = await this.#next(call.signal);
      if (first === undefined) return;
      try {
        await this.#send(first, call);
      } catch {
        // opened anew below; what was not acknowledged is sent again
      }
      call.abort();
      for (const attempt of this.book.withOutput) attempt.output?.rewind();
      await sleep(RETRY_MS * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  async #send(first: WriteOutputRequest, call: AbortController): Promise<void> {
    const signal = AbortSignal.any([this.#ending.signal, call.signal]);
    const answers = this.services.logs.writeOutput(this.#requests(first, call.signal), { signal });
    for await (const answer of answers) {
      for (const { attemptId, fence, offset, stale } of answer.acknowledgements) {
        this.book.acknowledgeOutput(attemptId, fence, Number(offset), stale);
      }
      this.afterAcknowledgement();
    }
  }

  async *#requests(first: WriteOutputRequest, call: AbortSignal): AsyncGenerator<WriteOutputRequest> {
    yield first;
    for (;;) {
      const request = await this.#next(call);
      if (request === undefined) return;
      yield request;
    }
  }

  /** Undefined once it, or the call, has ended. */
  async #next(call: AbortSignal): Promise<WriteOutputRequest | undefined> {
    while (!this.#ending.signal.aborted && !call.aborted) {
      this.#wanted.clear();
      const request = nextRequest(this.book, this.workerId, performance.now());
      if (request !== undefined) return request;
      await this.#wanted.wait();
    }
    return undefined;
  }
}
