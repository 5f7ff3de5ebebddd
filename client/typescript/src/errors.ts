/**
 * Everything that this client throws.
 *
 *     BuildRunnerError
 *     ├── InvalidRequestError     malformed, or asks for something that cannot be
 *     ├── NotFoundError           no such session, task, worker or lock (any more)
 *     ├── WrongStateError         the state does not allow it
 *     ├── LimitError              too large, too many, too fast
 *     ├── UnsupportedError        this coordinator does not serve the call
 *     ├── LockConflictError       paths are held by others; `conflicts` has each clash
 *     │   └── DeadlockError       waiting would close a circle
 *     ├── StaleError              not, or no more, the holder
 *     │   └── LockLostError       what was held went away while it was needed
 *     ├── AuthenticationError     no valid token
 *     ├── UnavailableError        no coordinator answers
 *     ├── TimeoutError            a wait of the caller's own ran out
 *     └── InternalError           a fault of the coordinator's
 *
 * An AbortSignal of the caller's rejects with its own reason, as everywhere in Node.
 */
import type { LockConflict } from "./gen/buildrunner_parallel/v1/types_pb.js";

/** The class of an error in one word, the same in the clients of all languages. */
export type ErrorKind =
  | "invalid"
  | "not_found"
  | "conflict"
  | "wrong_state"
  | "limit"
  | "stale"
  | "unauthenticated"
  | "unavailable"
  | "unsupported"
  | "timeout"
  | "internal";

/** `message` says what was wrong and what to do next; `reason` is UPPER_SNAKE, or empty. */
export abstract class BuildRunnerError extends Error {
  /** Its class in one word. */
  abstract readonly kind: ErrorKind;
  /** UPPER_SNAKE, as the protocol lists them; empty for what the client itself found. */
  readonly reason: string;

  constructor(message: string, reason = "", options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.reason = reason;
  }
}

/** Malformed, or asks for something that cannot be; the message names the field. */
export class InvalidRequestError extends BuildRunnerError {
  readonly kind = "invalid";
}

/** With the reason AMBIGUOUS_ID, `candidates` has the ids that the prefix fits. */
export class NotFoundError extends BuildRunnerError {
  readonly kind = "not_found";
  /** Ids that an ambiguous prefix fits. */
  readonly candidates: readonly string[];

  constructor(message: string, reason = "", options?: ErrorOptions & { candidates?: readonly string[] }) {
    super(message, reason, options);
    this.candidates = options?.candidates ?? [];
  }
}

/** The state of the session, task or worker does not allow it. */
export class WrongStateError extends BuildRunnerError {
  readonly kind = "wrong_state";
}

/** Too large, too many, or too fast. */
export class LimitError extends BuildRunnerError {
  readonly kind = "limit";
}

/** This coordinator does not serve the call. */
export class UnsupportedError extends BuildRunnerError {
  readonly kind = "unsupported";
}

/** `conflicts` has one entry for each clash: path asked, path held, by whom, for how long. */
export class LockConflictError extends BuildRunnerError {
  readonly kind = "conflict";
  /** One for each clash. */
  readonly conflicts: readonly LockConflict[];

  constructor(
    message: string,
    reason = "",
    options?: ErrorOptions & { conflicts?: readonly LockConflict[] },
  ) {
    super(message, reason, options);
    this.conflicts = options?.conflicts ?? [];
  }
}

/** Waiting would close a circle, which the message names. */
export class DeadlockError extends LockConflictError {}

/** The caller is not, or no more, the holder. */
export class StaleError extends BuildRunnerError {
  readonly kind = "stale";
}

/** Others may have changed the paths meanwhile. */
export class LockLostError extends StaleError {}

/** No valid token came with the call. */
export class AuthenticationError extends BuildRunnerError {
  readonly kind = "unauthenticated";
}

/** No coordinator answers; for calls that change something it is not known whether they took effect. */
export class UnavailableError extends BuildRunnerError {
  readonly kind = "unavailable";
}

/** What was waited for goes on. */
export class TimeoutError extends BuildRunnerError {
  readonly kind = "timeout";
}

/** A fault of the coordinator's; its log has more. */
export class InternalError extends BuildRunnerError {
  readonly kind = "internal";
}
