/** A client of BuildRunner parallel for Node. Workers are in `buildrunner-parallel/worker`. */
export {
  type ChangeOptions,
  Client,
  type ClientOptions,
  type LockOptions,
  type SessionInput,
  type SubmitOptions,
} from "./client.js";
export type { RunOptions, Services } from "./connection.js";
export { type LocateOptions, locate, type Target } from "./discovery.js";
export * from "./errors.js";
export type { GetInfoResponse, Summary } from "./gen/buildrunner_parallel/v1/coordinator_service_pb.js";
export type { Change, HistoryEvent } from "./gen/buildrunner_parallel/v1/event_service_pb.js";
export * from "./gen/buildrunner_parallel/v1/types_pb.js";
export type { PathItem } from "./lock-paths.js";
export { Lock } from "./locks.js";
export type { OutputOptions, OutputPiece } from "./output.js";
export type { PayloadInput, TaskInput } from "./specs.js";
export {
  isSessionOver,
  isTaskOver,
  outcomeName,
  sessionStatusName,
  taskStatusName,
  workerStatusName,
} from "./states.js";
export type { WaitOptions } from "./waits.js";
export { Watch, type WatchEvent, type WatchOptions } from "./watch.js";
export { findWorkspace, type Workspace } from "./workspace.js";
