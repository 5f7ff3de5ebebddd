/**
 * What to lock, as the coordinator wants it: paths of this machine become paths from the repository's root.
 * What exists literally is a file, or a tree when it is a directory, whatever characters its name has.
 */
import { lstatSync, realpathSync, statSync } from "node:fs";
import * as path from "node:path";
import { create } from "@bufbuild/protobuf";
import { InvalidRequestError } from "./errors.js";
import {
  LockKind,
  LockMode,
  type PathRequest,
  PathRequestSchema,
} from "./gen/buildrunner_parallel/v1/types_pb.js";
import { findWorkspace, type Workspace } from "./workspace.js";

/** A path (exclusive), or one with a mode; `literal` and `glob` say how special characters are meant. */
export type PathItem =
  | string
  | { readonly path: string; readonly shared?: boolean | undefined }
  | { readonly literal: string; readonly shared?: boolean | undefined }
  | { readonly glob: string; readonly shared?: boolean | undefined };

const WILD = /[*?[{]/;
const MAX_PATH_BYTES = 4096;

/** Relative paths are relative to `cwd`. Throws InvalidRequestError for what is no path of the workspace. */
export function pathRequests(
  items: readonly PathItem[],
  shared: boolean,
  cwd: string,
  workspace: Workspace = findWorkspace(cwd),
): PathRequest[] {
  if (!Array.isArray(items)) throw new InvalidRequestError("the paths to lock must be a list", "INVALID");
  if (items.length === 0) return [];
  const here = realpathSync(cwd);
  return items.map((item) => pathRequest(item, shared, here, workspace));
}

function pathRequest(item: PathItem, shared: boolean, cwd: string, workspace: Workspace): PathRequest {
  const told: { path?: string; literal?: string; glob?: string; shared?: boolean | undefined } =
    typeof item === "string" ? { path: item } : item;
  const text = told.path ?? told.literal ?? told.glob ?? "";
  refuseBad(text);
  const mode = (told.shared ?? shared) ? LockMode.SHARED : LockMode.EXCLUSIVE;
  if (told.path?.startsWith("res:")) {
    return create(PathRequestSchema, { path: text, mode, kind: LockKind.RESOURCE });
  }
  const whole = path.resolve(cwd, text);
  const isPattern = told.glob !== undefined || (told.path !== undefined && WILD.test(text) && !exists(whole));
  if (isPattern) {
    return create(PathRequestSchema, { path: pattern(text, cwd, workspace), mode, kind: LockKind.GLOB });
  }
  const kind = text.endsWith("/") || isDirectory(whole) ? LockKind.TREE : LockKind.FILE;
  return create(PathRequestSchema, { path: inside(real(whole), text, workspace), mode, kind });
}

/** From the root: links in front of the first wildcard followed, what is not the caller's text literal. */
function pattern(text: string, cwd: string, workspace: Workspace): string {
  const segments = text.split("/");
  const first = Math.max(
    0,
    segments.findIndex((segment) => WILD.test(segment)),
  );
  const base = inside(
    real(path.resolve(cwd, segments.slice(0, first).join("/") || (first > 0 ? "/" : "."))),
    text,
    workspace,
  );
  const rest = segments.slice(first).join("/");
  return base === "." ? rest : `${base.replace(/[*?[{]/g, "[$&]")}/${rest}`;
}

/** All links on the way followed, as far as the path exists. */
function real(whole: string): string {
  try {
    return realpathSync(whole);
  } catch {
    const parent = path.dirname(whole);
    return parent === whole ? whole : path.join(real(parent), path.basename(whole));
  }
}

function inside(whole: string, told: string, workspace: Workspace): string {
  const here = below(workspace.worktree, whole) ?? inOtherCheckout(whole, workspace);
  if (here !== undefined) return here;
  throw refusal(
    told,
    `which is outside the repository ${workspace.worktree}; locks are for paths inside it, or names such as res:database`,
  );
}

function inOtherCheckout(whole: string, workspace: Workspace): string | undefined {
  let folder = path.dirname(whole);
  while (!exists(folder)) folder = path.dirname(folder);
  const there = findWorkspace(folder);
  return there.root === workspace.root ? below(there.worktree, whole) : undefined;
}

function below(root: string, whole: string): string | undefined {
  const relative = path.relative(root, whole);
  if (relative === "") return ".";
  return relative === ".." || relative.startsWith("../") ? undefined : relative;
}

function refuseBad(text: string): void {
  if (typeof text !== "string") throw refusal(String(text), "which is no text");
  if (text === "") throw refusal(text, 'which is empty; the whole repository is "."');
  if (text.includes("\0")) throw refusal(text, "which has a NUL, as no path can");
  const size = Buffer.byteLength(text);
  if (size > MAX_PATH_BYTES)
    throw refusal(text, `which has ${size} bytes, and ${MAX_PATH_BYTES} is the most`);
}

function refusal(text: string, why: string): InvalidRequestError {
  return new InvalidRequestError(`cannot lock ${JSON.stringify(text.slice(0, 200))}, ${why}`, "INVALID");
}

function exists(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

function isDirectory(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch {
    return false;
  }
}
