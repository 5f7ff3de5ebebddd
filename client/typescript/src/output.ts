/** Reading what tasks wrote, also while they write it, through breaks without gap or repeat. */
import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { Connection, Retry } from "./connection.js";
import { isLoss, toClientError } from "./error-mapping.js";
import {
  ReadOutputRequestSchema,
  type ReadOutputResponse,
} from "./gen/buildrunner_parallel/v1/log_service_pb.js";
import { OutputChannel } from "./gen/buildrunner_parallel/v1/types_pb.js";

/** Which part of the output, and whether to wait for more. */
export interface OutputOptions {
  /** Default 0: the last one. */
  readonly attempt?: number | undefined;
  /** Default: both, in the order in which they were written. */
  readonly channel?: "stdout" | "stderr" | undefined;
  /** Go on with what is written later, until the task (or session) is over. */
  readonly follow?: boolean | undefined;
  /** With a task: begin so many lines before the end. */
  readonly tailLines?: number | undefined;
  /** Ends the call, or the waiting, with the signal's own reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A piece of a task's output. `droppedBytes` are missing right before it because of the cap. */
export interface OutputPiece {
  /** The task that wrote it. */
  readonly taskId: string;
  /** In which of its attempts; 1 is the first. */
  readonly attempt: number;
  /** Where to. */
  readonly channel: "stdout" | "stderr";
  /** Bytes of the attempt's output before this piece, both channels together. */
  readonly offset: number;
  /** As the task wrote it. */
  readonly data: Uint8Array;
  /** Bytes missing right before it. */
  readonly droppedBytes: number;
}

/** Output of one task, or with an empty `taskId` of all tasks of the session. */
export async function* readOutput(
  connection: Connection,
  sessionId: string,
  taskId: string,
  options: OutputOptions,
): AsyncGenerator<OutputPiece, void> {
  const channels = { stdout: OutputChannel.STDOUT, stderr: OutputChannel.STDERR };
  const request = create(ReadOutputRequestSchema, {
    sessionId,
    taskId,
    attempt: options.attempt ?? 0,
    channel: options.channel ? channels[options.channel] : OutputChannel.UNSPECIFIED,
    follow: options.follow ?? false,
    tailLines: options.tailLines ?? 0,
  });
  const delivered = new Map<string, number>();
  let retry: Retry | undefined;
  for (;;) {
    const services = connection.services;
    try {
      const signal = options.signal ? { signal: options.signal } : {};
      for await (const answer of services.logs.readOutput(request, signal)) {
        retry = undefined;
        const piece = newPart(answer, delivered);
        if (piece !== undefined) yield piece;
      }
      return;
    } catch (thrown) {
      options.signal?.throwIfAborted();
      if (!isLoss(ConnectError.from(thrown))) throw toClientError(thrown, connection.address);
      retry ??= connection.newRetry();
      await connection.retry(services, thrown, retry, options.signal);
      // All of it again, and what was delivered is passed over: a new attempt may have begun.
      if (delivered.size > 0) request.tailLines = 0;
    }
  }
}

function newPart(answer: ReadOutputResponse, delivered: Map<string, number>): OutputPiece | undefined {
  const chunk = answer.chunk;
  if (chunk === undefined || answer.attemptEnded) return undefined;
  const key = `${answer.attempt} ${answer.taskId}`;
  const known = delivered.get(key);
  const offset = Number(chunk.offset);
  const end = offset + chunk.data.length;
  const droppedBytes = Math.min(Number(chunk.droppedBytes), Math.max(0, offset - (known ?? 0)));
  if (known !== undefined && end <= known && droppedBytes === 0) return undefined;
  delivered.set(key, Math.max(end, known ?? 0));
  const skipped = Math.max(0, (known ?? 0) - offset);
  return {
    taskId: answer.taskId,
    attempt: answer.attempt,
    channel: chunk.channel === OutputChannel.STDERR ? "stderr" : "stdout",
    offset: offset + skipped,
    data: chunk.data.subarray(skipped),
    droppedBytes,
  };
}
