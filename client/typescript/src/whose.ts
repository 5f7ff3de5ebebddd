/** In whose name a program takes locks. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AcquireLocksRequestSchema } from "./gen/buildrunner_parallel/v1/lock_service_pb.js";

/** Inside a task, or below `br parallel lock -- CMD`: what that holds is not in the way of its own locks. */
export function inWhoseName(withLease: boolean): MessageInitShape<typeof AcquireLocksRequestSchema> {
  const env = process.env;
  const inName: { attemptId?: string; fence?: bigint; heldGrantId?: string; heldFence?: bigint } = {};
  if (env["BR_ATTEMPT_ID"] && env["BR_FENCE"]) {
    inName.attemptId = env["BR_ATTEMPT_ID"];
    inName.fence = BigInt(env["BR_FENCE"]);
  }
  if (withLease && env["BR_LOCK_GRANT_ID"] && env["BR_LOCK_FENCE"]) {
    inName.heldGrantId = env["BR_LOCK_GRANT_ID"];
    inName.heldFence = BigInt(env["BR_LOCK_FENCE"]);
  }
  return inName;
}
