/** A worker as a whole program. */
import { Worker, type WorkerOptions } from "./worker.js";

/**
 * Serves until it is told to leave: SIGTERM or SIGINT drain, a second one stops what runs. Returns the exit code:
 * 0 after a drain, 1 when the coordinator refuses it, 3 when it stays away; what was wrong is one line on
 * standard error.
 */
export async function serve(options: WorkerOptions = {}): Promise<number> {
  try {
    const worker = new Worker(options);
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals) => {
      signals += 1;
      if (signals === 1) worker.drain(`received ${signal}`);
      else worker.stop();
    };
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
    try {
      await worker.run();
    } finally {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
    }
    return 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return (error as { kind?: string }).kind === "unavailable" ? 3 : 1;
  }
}
