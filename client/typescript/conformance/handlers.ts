/** The handlers of the conformance kit; see tests/conformance/README.md. */
import { setTimeout as sleep } from "node:timers/promises";
import type { HandlerContext, Handlers } from "../src/worker/index.js";

export const handlers: Handlers = {
  "conformance.echo": (ctx) => ctx.payload,
  "conformance.busy": (ctx) => {
    const { ms } = numbers(ctx);
    for (const untilMs = performance.now() + ms; performance.now() < untilMs; );
    return { ms };
  },
  "conformance.wait": async (ctx) => {
    const { ms } = numbers(ctx);
    await sleep(ms, undefined, { signal: ctx.signal }).catch(() => undefined);
    return { ms };
  },
  "conformance.progress": async (ctx) => {
    const { steps } = numbers(ctx);
    for (let step = 1; step <= steps; step += 1) {
      ctx.progress((100 * step) / steps, `step ${step}`);
      await sleep(50);
    }
  },
  "conformance.fail": (ctx) => {
    throw new Error(String((ctx.json() as { message?: unknown }).message));
  },
};

function numbers(ctx: HandlerContext): { ms: number; steps: number } {
  const payload = ctx.json() as Record<string, unknown>;
  return { ms: Number(payload["ms"] ?? 0), steps: Number(payload["steps"] ?? 1) };
}
