/** What the worker and its supervisor process say to each other. Plain data, over an IPC channel. */

/** Why a run was told to end; empty when it ended by itself. */
export type Cause = "" | "cancel" | "timeout" | "lease" | "stop";

interface Start {
  readonly key: string;
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly slots: number;
  /** 0 is no limit. */
  readonly timeoutMs: number;
  readonly graceMs: number;
}

export interface StartCommand extends Start {
  readonly type: "run";
  readonly argv: readonly string[];
}

export interface StartHandler extends Start {
  readonly type: "handle";
  readonly name: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  readonly identity: Identity;
}

/** What a handler is told of its task. */
export interface Identity {
  readonly sessionId: string;
  readonly sessionName: string;
  readonly taskId: string;
  readonly attempt: number;
  readonly attemptId: string;
  readonly fence: bigint;
}

export type ToSupervisor =
  | {
      readonly type: "configure";
      readonly slots: number;
      readonly scratch: string;
      readonly baseEnv: Record<string, string>;
      readonly handlerModules: readonly string[];
    }
  | StartCommand
  | StartHandler
  | {
      readonly type: "cancel";
      readonly key: string;
      readonly graceMs: number;
      readonly cause: Cause;
      readonly reason: string;
    }
  | { readonly type: "environment"; readonly baseEnv: Record<string, string> }
  /** Moments of the clock of clock.ts. */
  | { readonly type: "lease"; readonly stopAtMs: number; readonly killAtMs: number }
  | { readonly type: "quit"; readonly graceMs: number };

/** Why something could not be started: only `resources` is the worker's own fault, `lease` may be tried again. */
export type RefusalKind = "task" | "resources" | "lease";

export interface Ended {
  readonly type: "ended";
  readonly key: string;
  readonly cause: Cause;
  /** Undefined when a signal, or nothing but a handler, ended it. */
  readonly exitCode: number | undefined;
  readonly signal: number;
  readonly endedAtUs: bigint;
  readonly wallMs: number;
  readonly result: { readonly data: Uint8Array; readonly contentType: string } | undefined;
  /** In the task's own words; with a handler, empty says that it succeeded. */
  readonly error: string;
  readonly usage:
    | { readonly userUs: number; readonly systemUs: number; readonly maxRssBytes: number }
    | undefined;
}

export type FromSupervisor =
  | { readonly type: "ready"; readonly handlers: readonly string[] }
  | { readonly type: "failed"; readonly message: string }
  | {
      readonly type: "started";
      readonly key: string;
      readonly pid: number;
      readonly slot: number;
      readonly startedAtUs: bigint;
    }
  | { readonly type: "output"; readonly key: string; readonly channel: 1 | 2; readonly data: Uint8Array }
  | { readonly type: "progress"; readonly key: string; readonly percent: number; readonly message: string }
  | { readonly type: "refused"; readonly key: string; readonly kind: RefusalKind; readonly message: string }
  | { readonly type: "revoked"; readonly key: string }
  | Ended;

export type ToHost =
  | {
      readonly type: "task";
      readonly name: string;
      readonly payload: Uint8Array;
      readonly contentType: string;
      readonly identity: Identity;
      readonly cwd: string;
      readonly env: Record<string, string>;
    }
  | { readonly type: "cancel"; readonly reason: string };

export type FromHost =
  | { readonly type: "ready"; readonly handlers: readonly string[] }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "progress"; readonly percent: number; readonly message: string }
  | {
      readonly type: "done";
      /** It had been asked to end before it was done. */
      readonly cancelled: boolean;
      readonly error: string;
      readonly result: { readonly data: Uint8Array; readonly contentType: string } | undefined;
      readonly usage: { readonly userUs: number; readonly systemUs: number; readonly maxRssBytes: number };
    };

export function nowUs(): bigint {
  return BigInt(Date.now()) * 1000n;
}
