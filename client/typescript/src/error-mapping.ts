/** gRPC statuses to the errors of errors.ts: by reason where the coordinator gave one, else by code. */
import { Code, ConnectError } from "@connectrpc/connect";
import * as errors from "./errors.js";
import { LockConflictSchema } from "./gen/buildrunner_parallel/v1/types_pb.js";
import { type ErrorInfo, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const DOMAIN = "parallel.buildrunner.dev";

type Make = new (message: string, reason?: string, options?: ErrorOptions) => errors.BuildRunnerError;

const BY_REASON: Readonly<Record<string, Make>> = {
  INVALID: errors.InvalidRequestError,
  CYCLE: errors.InvalidRequestError,
  UNKNOWN_NEED: errors.InvalidRequestError,
  TASK_EXISTS: errors.InvalidRequestError,
  REQUEST_ID_REUSED: errors.InvalidRequestError,
  WRONG_STATE: errors.WrongStateError,
  SESSION_CLOSED: errors.WrongStateError,
  LIMIT: errors.LimitError,
  WATCHER_TOO_SLOW: errors.LimitError,
  WORKER_TOO_SLOW: errors.LimitError,
  STALE: errors.StaleError,
  LOCK_CONFLICT: errors.LockConflictError,
  DEADLOCK: errors.DeadlockError,
  UNSUPPORTED: errors.UnsupportedError,
  DRAINING: errors.UnavailableError,
  STOPPING: errors.UnavailableError,
};

const BY_CODE: Readonly<Partial<Record<Code, Make>>> = {
  [Code.InvalidArgument]: errors.InvalidRequestError,
  [Code.OutOfRange]: errors.InvalidRequestError,
  [Code.AlreadyExists]: errors.InvalidRequestError,
  [Code.NotFound]: errors.NotFoundError,
  [Code.FailedPrecondition]: errors.WrongStateError,
  [Code.ResourceExhausted]: errors.LimitError,
  [Code.Unimplemented]: errors.UnsupportedError,
  [Code.Unauthenticated]: errors.AuthenticationError,
  [Code.PermissionDenied]: errors.AuthenticationError,
  [Code.Unavailable]: errors.UnavailableError,
  [Code.DeadlineExceeded]: errors.UnavailableError,
};

/** The coordinator's reason in an error's details; empty when it gave none. */
export function reasonOf(error: ConnectError): string {
  return infoOf(error)?.reason ?? "";
}

function infoOf(error: ConnectError): ErrorInfo | undefined {
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === DOMAIN || info.domain === "");
}

/** Codes with which a connection that breaks ends its calls; the same from the coordinator have a reason. */
const BROKEN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Canceled, Code.Aborted]);
const TRANSPORT_FAULT = /http\/2|protocol error|missing trailer|premature/i;

/** Whether a call ended because the coordinator went away, and not because it said something. */
export function isLoss(error: ConnectError): boolean {
  if (reasonOf(error) !== "") return false;
  if (BROKEN.has(error.code)) return true;
  if (error.code !== Code.Internal && error.code !== Code.Unknown) return false;
  return isSystemError(error.cause) || TRANSPORT_FAULT.test(error.message);
}

/** Of a socket or an HTTP/2 stream, and not an answer. */
function isSystemError(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  const { syscall, code = "" } = cause as NodeJS.ErrnoException;
  return typeof syscall === "string" || /^ERR_(HTTP2|STREAM)_/.test(code);
}

/** The client's error for whatever a call threw; `address` names the coordinator in it. */
export function toClientError(thrown: unknown, address: string): errors.BuildRunnerError {
  if (thrown instanceof errors.BuildRunnerError) return thrown;
  const error = ConnectError.from(thrown);
  const info = infoOf(error);
  const reason = info?.reason ?? "";
  if (reason === "" && (isLoss(error) || error.code === Code.DeadlineExceeded)) {
    return new errors.UnavailableError(silence(error, address), "", { cause: error });
  }
  const Kind = BY_REASON[reason] ?? BY_CODE[error.code] ?? errors.InternalError;
  const message = error.rawMessage || `the coordinator answered ${Code[error.code]}`;
  return new Kind(message, reason, {
    cause: error,
    conflicts: error.findDetails(LockConflictSchema),
    candidates: (info?.metadata["candidates"] ?? "").split(",").filter((id) => id !== ""),
  } as ErrorOptions);
}

function silence(error: ConnectError, address: string): string {
  if (error.code === Code.DeadlineExceeded) {
    return `the coordinator at ${address} did not answer in time; see whether its machine is overloaded, then try again`;
  }
  return `the coordinator at ${address} cannot be reached (${error.rawMessage}); see whether it runs, then try again`;
}
