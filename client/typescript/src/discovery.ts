/** Where the coordinator is and with which token: given, from the environment, or the workspace's own. */
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { AuthenticationError, InvalidRequestError, UnavailableError } from "./errors.js";
import { findWorkspace, hasState, type Workspace } from "./workspace.js";

/** What overrides the environment: BR_COORDINATOR, BR_TOKEN, BR_TOKEN_FILE, BR_STATE_DIR. */
export interface LocateOptions {
  /** `unix:PATH` or `HOST:PORT`. */
  readonly coordinator?: string | undefined;
  /** In place of what BR_TOKEN, BR_TOKEN_FILE and the state directory say. */
  readonly token?: string | undefined;
  /** A file whose one line is the token. */
  readonly tokenFile?: string | undefined;
  /** A directory of the workspace whose coordinator is meant; default: the current one. */
  readonly cwd?: string | undefined;
}

/** An address, `unix:PATH` or `HOST:PORT`, and the token to present there (may be empty). */
export interface Target {
  /** `unix:PATH` or `HOST:PORT`. */
  readonly address: string;
  /** What every call carries. */
  readonly token: string;
}

/**
 * The coordinator to talk to, without asking whether it is alive. Throws UnavailableError when the workspace
 * has none, AuthenticationError for a token file that cannot be read, InvalidRequestError for a bad address.
 */
export function locate(options: LocateOptions = {}): Target {
  const workspace = findWorkspace(options.cwd);
  const address = explicitAddress(options.coordinator);
  const given = givenToken(options);
  if (address !== undefined) return { address, token: given ?? tokenBeside(address, workspace) };
  const target = localTarget(workspace.stateDir);
  if (target === undefined) {
    const what = hasState(workspace) ? "no coordinator runs for" : "nothing has been started yet in";
    throw new UnavailableError(`${what} ${workspace.root}; any \`br parallel\` command there starts one`);
  }
  return given === undefined ? target : { address: target.address, token: given };
}

/** The address asked for by option or BR_COORDINATOR, normalised. */
function explicitAddress(coordinator: string | undefined): string | undefined {
  const text = (coordinator || process.env["BR_COORDINATOR"] || "").trim();
  if (text === "") return undefined;
  if (text.startsWith("/")) return `unix:${text}`;
  if (text.startsWith("unix:"))
    return `unix:${path.resolve(text.slice("unix:".length).replace(/^\/+/, "/"))}`;
  const [, port] = /^.+:(\d+)$/.exec(text) ?? [];
  if (port !== undefined && Number(port) > 0 && Number(port) < 65536) return text;
  throw new InvalidRequestError(
    `${JSON.stringify(text)} is no coordinator address; give unix:PATH or HOST:PORT`,
    "INVALID",
  );
}

function givenToken(options: LocateOptions): string | undefined {
  if (options.token) return options.token;
  if (options.tokenFile === undefined && process.env["BR_TOKEN"]) return process.env["BR_TOKEN"];
  const file = options.tokenFile ?? process.env["BR_TOKEN_FILE"];
  if (!file) return undefined;
  const found = readToken(file);
  if (found) return found;
  throw new AuthenticationError(`no token can be read from ${file}; check the path and its permissions`);
}

/** The token of a local coordinator when `address` is its own; a stranger never gets one. */
function tokenBeside(address: string, workspace: Workspace): string {
  const folders = [workspace.stateDir];
  if (address.startsWith("unix:")) folders.push(path.dirname(address.slice("unix:".length)));
  return folders.map(localTarget).find((target) => target?.address === address)?.token ?? "";
}

/** Where the state directory's coordinator last said that it is. */
function localTarget(stateDir: string): Target | undefined {
  try {
    const told: unknown = JSON.parse(readFileSync(path.join(stateDir, "coordinator.json"), "utf8"));
    const address = (told as { address?: unknown } | null)?.address;
    if (typeof address !== "string" || address === "") return undefined;
    return { address, token: readToken(path.join(stateDir, "token")) ?? "" };
  } catch {
    return undefined;
  }
}

function readToken(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
