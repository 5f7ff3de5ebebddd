/** gRPC over HTTP/2 without encryption, on a unix socket or TCP. No proxy is ever in between. */
import { connect as connectSocket } from "node:net";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Target } from "./discovery.js";

const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
// A page of a thousand tasks with long errors is more than we would ever send.
const MAX_ANSWER_BYTES = 16 * MAX_MESSAGE_BYTES;
const FOR_EVER_MS = 2 ** 31 - 1;

/** A connection that opens with the first call and again after each break; close it when done. */
export interface OpenTransport {
  readonly transport: Transport;
  /** Ends the connection and every call on it. */
  close(): void;
}

/** `clientId` names the space of the caller's request ids. */
export function openTransport(target: Target, clientId: string): OpenTransport {
  const socketPath = target.address.startsWith("unix:") ? target.address.slice("unix:".length) : undefined;
  const baseUrl = socketPath === undefined ? `http://${target.address}` : "http://localhost";
  const sessionManager = new Http2SessionManager(
    baseUrl,
    {
      pingIntervalMs: 20_000,
      pingTimeoutMs: 10_000,
      pingIdleConnection: true,
      idleConnectionTimeoutMs: FOR_EVER_MS,
    },
    socketPath === undefined ? {} : { createConnection: () => connectSocket(socketPath) },
  );
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    readMaxBytes: MAX_ANSWER_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    interceptors: [
      (next) => (request) => {
        if (target.token !== "") request.header.set("authorization", `Bearer ${target.token}`);
        request.header.set("br-client-id", clientId);
        return next(request);
      },
    ],
  });
  return { transport, close: () => sessionManager.abort() };
}
