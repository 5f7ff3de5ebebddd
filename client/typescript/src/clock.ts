/** The clock of leases. */
import { uptime } from "node:os";

/** Milliseconds since some moment, those in which the machine slept among them; in steps of 10. */
export function bootTimeMs(): number {
  return uptime() * 1000;
}
