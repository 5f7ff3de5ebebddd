/** Which workspace a directory belongs to: a repository with all its git worktrees, or a directory. */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import * as path from "node:path";

const STATE_DIRECTORY = ".buildrunner";

/**
 * `root` is the main worktree's root (without git the directory itself), `worktree` the checkout that the
 * caller is in, `directory` where below it ("" at its root), `stateDir` where the local coordinator keeps its
 * state.
 */
export interface Workspace {
  /** The root of the main worktree; without git the directory itself. */
  readonly root: string;
  /** The checkout that the caller is in. */
  readonly worktree: string;
  /** Where the local coordinator keeps its state. */
  readonly stateDir: string;
  /** Where below `worktree` the caller is; "" at its root. */
  readonly directory: string;
}

/** The workspace of `cwd`. BR_STATE_DIR overrides its state directory. Nothing is created, git is not run. */
export function findWorkspace(cwd: string = process.cwd()): Workspace {
  const start = realpathSync(cwd);
  const holds = (name: string) => (folder: string) => existsSync(path.join(folder, name));
  const folders = parentsOf(start);
  const worktree = folders.find(holds(".git")) ?? folders.find(holds(STATE_DIRECTORY)) ?? start;
  const root = mainWorktree(worktree);
  const told = process.env["BR_STATE_DIR"];
  const stateDir = told ? path.resolve(told) : path.join(root, STATE_DIRECTORY);
  return { root, worktree, stateDir, directory: path.relative(worktree, start) };
}

/** Whether a coordinator has ever run here. */
export function hasState(workspace: Workspace): boolean {
  return ["state.db", "coordinator.json"].some((name) => existsSync(path.join(workspace.stateDir, name)));
}

/** Whether names in the caller's checkout are not told apart by their case. */
export function ignoresCase(workspace: Workspace): boolean {
  try {
    const [one, other] = [".git", ".GIT"].map((name) => statSync(path.join(workspace.worktree, name)));
    return one?.ino === other?.ino;
  } catch {
    return false;
  }
}

function parentsOf(start: string): string[] {
  const folders = [start];
  for (let folder = start; folder !== path.dirname(folder); ) {
    folder = path.dirname(folder);
    folders.push(folder);
  }
  return folders;
}

function mainWorktree(worktree: string): string {
  const gitDirectory = linked(path.join(worktree, ".git"), "gitdir:");
  const common = gitDirectory === undefined ? undefined : linked(path.join(gitDirectory, "commondir"), "");
  // Without: a submodule or a separate git directory, which is its own main worktree.
  if (common === undefined || !existsSync(common)) return worktree;
  return path.basename(common) === ".git" ? path.dirname(common) : common;
}

/** The path that a small text file names, relative to where the file is. */
function linked(file: string, prefix: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
  if (!text.startsWith(prefix)) return undefined;
  const named = path.resolve(path.dirname(file), text.slice(prefix.length).trim());
  return existsSync(named) ? realpathSync(named) : named;
}
