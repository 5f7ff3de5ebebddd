/**
 * Functions that tasks can name. A module exports them by name:
 *
 *     export const handlers: Handlers = {
 *       resize: async (ctx) => { ctx.progress(50, "half of it"); return { bytes: ctx.payload.length }; },
 *     };
 *
 * They run in child processes, one task at a time in each, so they can be timed out, cancelled and killed like
 * commands, and may compute without yielding for as long as they like.
 */
import type { PayloadInput } from "../specs.js";

/** Bytes become the result as they are, text as UTF-8, anything else as JSON; undefined leaves none. */
export type HandlerResult = PayloadInput | number | boolean | null | undefined;

/** What it throws fails the task, with the message as its error. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a handler too.
export type Handler = (context: HandlerContext) => HandlerResult | void | Promise<HandlerResult | void>;

/** Handlers by the names that tasks use. */
export type Handlers = Readonly<Record<string, Handler>>;

/** One task, as its handler sees it. */
export interface HandlerContext {
  /** What the submitter gave, as bytes. */
  readonly payload: Uint8Array;
  /** The payload's media type. */
  readonly contentType: string;
  /** The session of the task. */
  readonly sessionId: string;
  /** The session's name, which need not be unique. */
  readonly sessionName: string;
  /** Unique in the session. */
  readonly taskId: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** Names this attempt in all sessions. */
  readonly attemptId: string;
  /** Larger than that of any earlier attempt at anything. */
  readonly fence: bigint;
  /**
   * Aborted when the task is asked to end: cancelled, out of time, or its worker stops. Its grace (10 s unless
   * the task says otherwise) has begun by then; the process is killed at its end.
   */
  readonly signal: AbortSignal;
  /** The payload as UTF-8. */
  text(): string;
  /** The payload, parsed. Throws SyntaxError when it is not JSON. */
  json(): unknown;
  /** Shows how far the task is, 0 to 100, and one line of at most 256 characters. */
  progress(percent: number, message?: string): void;
}
