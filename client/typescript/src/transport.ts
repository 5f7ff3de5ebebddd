/** gRPC over HTTP/2 without encryption, on a unix socket or TCP. No proxy is ever in between. */
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
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
  const sessionManager = new SessionManager(
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

/**
 * connect-node 2.1 takes its listeners off a session before it destroys it with an error, as when a ping was not
 * answered; without a listener that error would end the process. The calls of the session are told anyhow.
 */
class SessionManager extends Http2SessionManager {
  readonly #guarded = new WeakSet<ClientHttp2Session>();

  override async request(...call: Parameters<Http2SessionManager["request"]>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...call);
    const session = stream.session as ClientHttp2Session | undefined;
    if (session !== undefined && !this.#guarded.has(session)) {
      this.#guarded.add(session);
      session.on("error", () => undefined);
    }
    return stream;
  }
}
