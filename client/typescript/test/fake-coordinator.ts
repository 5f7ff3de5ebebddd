/** A coordinator for tests: served over gRPC on a unix socket, with whatever methods a test gives it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { CoordinatorService } from "../src/gen/buildrunner_parallel/v1/coordinator_service_pb.js";
import { LockConflictSchema } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";

export const TOKEN = "token-of-the-tests";

export class FakeCoordinator implements AsyncDisposable {
  /** A repository with a state directory, as clients find it. */
  readonly folder = mkdtempSync(path.join(tmpdir(), "br-test-"));
  /** The headers of each call, newest last. */
  readonly headers: Headers[] = [];
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #routes: (router: ConnectRouter) => void;
  #server: Http2Server | undefined;

  constructor(routes: (router: ConnectRouter) => void = () => undefined) {
    this.#routes = routes;
  }

  static async start(routes?: (router: ConnectRouter) => void): Promise<FakeCoordinator> {
    const coordinator = new FakeCoordinator(routes);
    writeFileSync(path.join(coordinator.folder, "token"), `${TOKEN}\n`);
    const told = { address: coordinator.address };
    writeFileSync(path.join(coordinator.folder, "coordinator.json"), JSON.stringify(told));
    await coordinator.listen();
    return coordinator;
  }

  get address(): string {
    return `unix:${path.join(this.folder, "socket")}`;
  }

  async listen(): Promise<void> {
    const handler = connectNodeAdapter({
      interceptors: [
        (next) => (request) => {
          this.headers.push(request.header);
          if (request.header.get("authorization") === `Bearer ${TOKEN}`) return next(request);
          throw new ConnectError("No valid token came with this call.", Code.Unauthenticated);
        },
      ],
      routes: (router) => {
        router.service(CoordinatorService, {
          getInfo: () => ({ version: "test", epoch: 7n, capabilities: [] }),
        });
        this.#routes(router);
      },
    });
    const server = createServer(handler);
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(path.join(this.folder, "socket"), resolve));
  }

  /** As if it were killed: all connections break, and nobody answers any more. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const session of this.#sessions) session.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A refusal as the coordinator makes it. */
export function refusal(
  code: Code,
  reason: string,
  message: string,
  conflicts: readonly string[] = [],
): ConnectError {
  const info = create(ErrorInfoSchema, { reason, domain: "parallel.buildrunner.dev" });
  const clashes = conflicts.map((heldPath) => ({
    desc: LockConflictSchema,
    value: create(LockConflictSchema, {
      askedPath: heldPath,
      heldPath,
      holder: { sessionId: "cd34cd34", sessionName: "Docs" },
    }),
  }));
  return new ConnectError(message, code, undefined, [{ desc: ErrorInfoSchema, value: info }, ...clashes]);
}
