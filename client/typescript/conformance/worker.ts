/** The worker under test: `worker [--slots N] [--label L]... [--session ID]`. */
import { parseArgs } from "node:util";
import { serve } from "../src/worker/index.js";

const { values } = parseArgs({
  options: {
    slots: { type: "string", default: "1" },
    label: { type: "string", multiple: true, default: [] },
    session: { type: "string", default: "" },
  },
});

process.exitCode = await serve({
  handlers: [new URL("./handlers.js", import.meta.url)],
  slots: Number(values.slots),
  labels: values.label,
  sessionId: values.session,
  log: (message) => process.stderr.write(`${message}\n`),
});
