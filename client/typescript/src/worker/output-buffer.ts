/**
 * The output of one attempt on its way to the coordinator: by offset, acknowledged, bounded.
 *
 * Both channels share one line of offsets in the order read. The beginning is sent whole. Behind it only the
 * newest bytes are held: while the attempt runs they are sent at a bounded rate and some are left out, at its end
 * all that is held follows. A piece is left out only if so much was written behind it that it is no part of the
 * end that is kept. Pure.
 */
export const INLINE_LIMIT_BYTES = 32 << 10;
/** What a piece takes in a message besides its data, at the most. */
export const PIECE_COST_BYTES = 32;
const PIECE_BYTES = 64 << 10;
const LEAST_LIVE_BYTES_PER_S = 64 << 10;
const BURST_MS = 250;
const ERROR_TAIL_BYTES = 4096;

/** `droppedBytes` were left out right before it. */
export interface Piece {
  readonly offset: number;
  readonly channel: 1 | 2;
  readonly data: Uint8Array;
  readonly droppedBytes: number;
}

interface Chunk {
  readonly offset: number;
  readonly channel: 1 | 2;
  data: Buffer;
}

export class OutputBuffer {
  acknowledgedOffset = 0;
  isStreamed = false;
  firstUnsentAtMs = 0;
  errorTail: Buffer = Buffer.alloc(0);
  #chunks: Chunk[] = [];
  #end = 0;
  #next = 0;
  #liveFromMs = 0;
  #isFinished = false;

  /** What is kept of beginning and end, in bytes; 0 and 0 keep everything. */
  constructor(
    private readonly headBytes: number,
    private readonly tailBytes: number,
  ) {
    if (headBytes === 0 && tailBytes === 0) this.headBytes = Number.MAX_SAFE_INTEGER;
  }

  append(channel: 1 | 2, data: Uint8Array, nowMs: number): void {
    if (channel === 2) {
      this.errorTail = Buffer.concat([this.errorTail, data]).subarray(-ERROR_TAIL_BYTES);
    }
    if (this.#next === this.#end) this.firstUnsentAtMs = nowMs;
    const inHead = Math.max(0, Math.min(data.length, this.headBytes - this.#end));
    for (const part of [data.subarray(0, inHead), data.subarray(inHead)]) {
      for (let from = 0; from < part.length; from += PIECE_BYTES) {
        this.#add(channel, part.subarray(from, from + PIECE_BYTES));
      }
    }
    this.#forgetOld();
  }

  #add(channel: 1 | 2, data: Uint8Array): void {
    const last = this.#chunks.at(-1);
    const joins =
      last?.channel === channel &&
      last.offset >= this.#next &&
      this.#end !== this.headBytes &&
      last.data.length + data.length <= PIECE_BYTES / 4;
    if (joins) last.data = Buffer.concat([last.data, data]);
    else this.#chunks.push({ offset: this.#end, channel, data: Buffer.from(data) });
    this.#end += data.length;
  }

  /** Lets go of what is durable, and of what lies between the beginning and the kept end. */
  #forgetOld(): void {
    const tailFrom = this.#end - this.tailBytes;
    const first = this.#chunks.findIndex(({ offset, data }) => {
      const end = offset + data.length;
      return end > this.acknowledgedOffset && (offset < this.headBytes || end > tailFrom);
    });
    if (first > 0) this.#chunks.splice(0, first);
    else if (first < 0) this.#chunks = [];
    // Chunks of the beginning that wait for their turn stand in front of old ones of the end.
    if ((this.#chunks[0]?.offset ?? 0) < this.headBytes && this.#end > this.headBytes + this.tailBytes) {
      this.#chunks = this.#chunks.filter(
        ({ offset, data }) => offset < this.headBytes || offset + data.length > tailFrom,
      );
    }
  }

  /** The attempt is over: all that is held may be sent as fast as it is taken. */
  finish(): void {
    this.#isFinished = true;
  }

  get totalBytes(): number {
    return this.#end;
  }

  /** What of it is not kept. */
  get droppedBytes(): number {
    return Math.max(0, this.#end - this.headBytes - this.tailBytes);
  }

  /** Whether the whole output may travel in the report. */
  get fitsInline(): boolean {
    return !this.isStreamed && this.#end <= INLINE_LIMIT_BYTES;
  }

  get isAcknowledged(): boolean {
    return this.acknowledgedOffset >= this.#end;
  }

  /** Whether `take` would give something: behind the beginning it is rationed. */
  isDue(nowMs: number): boolean {
    if (this.#next >= this.#end) return false;
    const isRationed = this.#next >= this.headBytes && !this.#isFinished;
    return !isRationed || (this.tailBytes > 0 && nowMs >= this.#liveFromMs);
  }

  /** Everything held, for the report of a small output. */
  allPieces(): Piece[] {
    return this.#pieces(0, Number.MAX_SAFE_INTEGER);
  }

  /** The next pieces to send, about so many bytes but at least one piece; they stay held. */
  take(limitBytes: number, nowMs: number): Piece[] {
    this.isStreamed = true;
    const pieces = this.isDue(nowMs) ? this.#pieces(this.#next, limitBytes) : [];
    const last = pieces.at(-1);
    if (last !== undefined) this.#next = last.offset + last.data.length;
    const rationed = pieces.filter((piece) => piece.offset >= this.headBytes);
    this.#ration(
      rationed.reduce((sum, piece) => sum + piece.data.length, 0),
      nowMs,
    );
    return pieces;
  }

  /** Behind the beginning at most the whole kept end is sent in a second. */
  #ration(bytes: number, nowMs: number): void {
    const bytesPerMs = Math.max(this.tailBytes, LEAST_LIVE_BYTES_PER_S) / 1000;
    this.#liveFromMs = Math.max(this.#liveFromMs, nowMs - BURST_MS) + bytes / bytesPerMs;
  }

  #pieces(from: number, limitBytes: number): Piece[] {
    const pieces: Piece[] = [];
    let position = from;
    let room = limitBytes;
    // While the attempt runs, beginning and end are not mixed.
    const isBeginning = from < this.headBytes && !this.#isFinished;
    for (const { offset, channel, data } of this.#chunks) {
      const end = offset + data.length;
      if (end <= position) continue;
      if (isBeginning && offset >= this.headBytes) break;
      const start = Math.max(offset, position);
      const size = Math.min(end - start, Math.max(room - PIECE_COST_BYTES, 1));
      const part = data.subarray(start - offset, start - offset + size);
      pieces.push({ offset: start, channel, data: part, droppedBytes: start - position });
      position = start + size;
      room -= size + PIECE_COST_BYTES;
      if (room <= 0) return pieces;
    }
    if (this.#isFinished && position < this.#end) {
      pieces.push({
        offset: this.#end,
        channel: 1,
        data: new Uint8Array(),
        droppedBytes: this.#end - position,
      });
    }
    return pieces;
  }

  /** Everything before `offset` is durable and is let go. */
  acknowledge(offset: number): void {
    this.acknowledgedOffset = Math.max(this.acknowledgedOffset, Math.min(offset, this.#end));
    this.#next = Math.max(this.#next, this.acknowledgedOffset);
    this.#forgetOld();
  }

  /** Sends again all that is not acknowledged and still held: the stream before is gone. */
  rewind(offset: number = this.acknowledgedOffset): void {
    this.acknowledgedOffset = offset;
    this.#next = offset;
  }
}
