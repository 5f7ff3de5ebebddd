/** Starting one command: checks that give a clear reason when it cannot be started. */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import * as path from "node:path";
import type { RefusalKind } from "./messages.js";

const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";
const OUR_FAULT: ReadonlySet<string> = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]);

export class SpawnFailure extends Error {
  constructor(
    readonly kind: RefusalKind,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Starts `argv` in a session of its own, standard input empty, output to `writers`. Throws SpawnFailure, also
 * asynchronously.
 */
export async function spawnCommand(
  argv: readonly string[],
  env: Record<string, string>,
  cwd: string,
  writers: readonly number[],
): Promise<ChildProcess & { readonly pid: number }> {
  checkDirectory(cwd);
  const program = findProgram(argv[0] ?? "", env["PATH"] ?? DEFAULT_PATH, cwd);
  let child: ChildProcess;
  try {
    child = spawn(program, argv.slice(1), {
      argv0: argv[0],
      cwd,
      env,
      detached: true,
      stdio: ["ignore", writers[0], writers[1]],
    });
  } catch (error) {
    throw failure(program, error as NodeJS.ErrnoException);
  }
  if (child.pid !== undefined) {
    child.on("error", () => undefined);
    return child as ChildProcess & { readonly pid: number };
  }
  throw failure(program, await new Promise<NodeJS.ErrnoException>((resolve) => child.once("error", resolve)));
}

function checkDirectory(cwd: string): void {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(cwd).isDirectory();
    accessSync(cwd, constants.X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "No such file or directory" : message;
    throw new SpawnFailure("task", `working directory '${cwd}': ${why}`);
  }
  if (!isDirectory) throw new SpawnFailure("task", `working directory '${cwd}': Not a directory`);
}

/** The file that `name` stands for: itself when it has a slash, else the first match on the path. */
function findProgram(name: string, searchPath: string, cwd: string): string {
  if (name === "") throw new SpawnFailure("task", "the command is empty");
  if (name.includes("/")) return name;
  for (const folder of searchPath.split(":")) {
    const candidate = path.resolve(cwd, folder || ".", name);
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return candidate;
    } catch {}
  }
  throw new SpawnFailure("task", `program not found: '${name}' is not on PATH (${searchPath})`);
}

function failure(program: string, error: NodeJS.ErrnoException): SpawnFailure {
  const code = error.code ?? "";
  if (OUR_FAULT.has(code)) return new SpawnFailure("resources", `cannot start '${program}': ${code}`);
  if (code === "ENOENT" && existsSync(program)) {
    return new SpawnFailure("task", `cannot start '${program}': the interpreter it names is missing`);
  }
  if (code === "ENOENT") return new SpawnFailure("task", `program not found: '${program}'`);
  if (code === "EACCES" || code === "EPERM") {
    return new SpawnFailure("task", `not permitted to execute '${program}'`);
  }
  if (code === "E2BIG") {
    return new SpawnFailure("task", `cannot start '${program}': arguments and environment are too large`);
  }
  return new SpawnFailure("task", `cannot start '${program}': ${error.message}`);
}
