/** Workers of BuildRunner parallel: they run commands, and functions of yours. */
export type { Handler, HandlerContext, HandlerResult, Handlers } from "./handlers.js";
export { serve } from "./serve.js";
export { Worker, type WorkerOptions } from "./worker.js";
