import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { LockKind, LockMode } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import {
  AuthenticationError,
  findWorkspace,
  InvalidRequestError,
  locate,
  UnavailableError,
} from "../src/index.js";
import { type PathItem, pathRequests } from "../src/lock-paths.js";

const NAMES = ["BR_COORDINATOR", "BR_TOKEN", "BR_TOKEN_FILE", "BR_STATE_DIR"];
let folder: string;
let before: (string | undefined)[];

beforeEach(() => {
  folder = realpathSync(mkdtempSync(path.join(tmpdir(), "br-test-")));
  before = NAMES.map((name) => process.env[name]);
  for (const name of NAMES) delete process.env[name];
});

afterEach(() => {
  rmSync(folder, { recursive: true });
  NAMES.forEach((name, index) => {
    if (before[index] === undefined) delete process.env[name];
    else process.env[name] = before[index];
  });
});

function repository(name = "repo"): string {
  const root = path.join(folder, name);
  mkdirSync(path.join(root, ".git"), { recursive: true });
  return root;
}

function coordinatorIn(stateDir: string, address = `unix:${stateDir}/coordinator.sock`): void {
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(
    path.join(stateDir, "coordinator.json"),
    JSON.stringify({ schema_version: 9, address, later: [] }),
  );
  writeFileSync(path.join(stateDir, "token"), "secret\n");
}

test("the workspace's coordinator is found from any folder of the repository", () => {
  const root = repository();
  coordinatorIn(path.join(root, ".buildrunner"));
  mkdirSync(path.join(root, "src/deep"), { recursive: true });
  const target = locate({ cwd: path.join(root, "src/deep") });
  assert.deepEqual(target, { address: `unix:${root}/.buildrunner/coordinator.sock`, token: "secret" });
});

test("a linked worktree shares the state of its main worktree", () => {
  const root = repository();
  const linked = path.join(folder, "linked");
  mkdirSync(path.join(root, ".git/worktrees/linked"), { recursive: true });
  writeFileSync(path.join(root, ".git/worktrees/linked/commondir"), "../..\n");
  mkdirSync(linked);
  writeFileSync(path.join(linked, ".git"), `gitdir: ${root}/.git/worktrees/linked\n`);
  const workspace = findWorkspace(linked);
  assert.deepEqual([workspace.root, workspace.worktree], [root, linked]);
  assert.equal(workspace.stateDir, path.join(root, ".buildrunner"));
});

test("without git the nearest folder with a state directory is the workspace", () => {
  mkdirSync(path.join(folder, "plain/.buildrunner"), { recursive: true });
  mkdirSync(path.join(folder, "plain/below"));
  assert.equal(findWorkspace(path.join(folder, "plain/below")).root, path.join(folder, "plain"));
});

test("BR_STATE_DIR says where the state is", () => {
  const stateDir = path.join(folder, "elsewhere");
  coordinatorIn(stateDir);
  process.env["BR_STATE_DIR"] = stateDir;
  assert.equal(locate({ cwd: repository() }).token, "secret");
});

test("a token from an option goes before BR_TOKEN, that before BR_TOKEN_FILE, that before the state's", () => {
  const root = repository();
  coordinatorIn(path.join(root, ".buildrunner"));
  const file = path.join(folder, "file");
  writeFileSync(file, "from-file\n");
  process.env["BR_TOKEN_FILE"] = file;
  assert.equal(locate({ cwd: root }).token, "from-file");
  process.env["BR_TOKEN"] = "from-variable";
  assert.equal(locate({ cwd: root }).token, "from-variable");
  assert.equal(locate({ cwd: root, tokenFile: file }).token, "from-file");
  assert.equal(locate({ cwd: root, token: "given" }).token, "given");
  assert.throws(() => locate({ cwd: root, tokenFile: path.join(folder, "none") }), AuthenticationError);
});

test("an address of another coordinator never gets the local one's token", () => {
  const root = repository();
  coordinatorIn(path.join(root, ".buildrunner"));
  assert.deepEqual(locate({ cwd: root, coordinator: "127.0.0.1:7000" }), {
    address: "127.0.0.1:7000",
    token: "",
  });
});

test("a socket's own folder has its token", () => {
  coordinatorIn(path.join(folder, "state"));
  process.env["BR_COORDINATOR"] = `unix:${folder}/state/coordinator.sock`;
  assert.equal(locate({ cwd: repository() }).token, "secret");
});

test("what is no address is refused with what to give", () => {
  for (const coordinator of ["nonsense", "host:0", "host:99999", ":1"]) {
    assert.throws(() => locate({ coordinator }), /give unix:PATH or HOST:PORT/);
  }
});

test("where no coordinator runs the error says what starts one", () => {
  const root = repository();
  assert.throws(
    () => locate({ cwd: root }),
    (error: Error) => {
      assert.ok(error instanceof UnavailableError);
      assert.match(error.message, /nothing has been started yet in .*br parallel/);
      return true;
    },
  );
  mkdirSync(path.join(root, ".buildrunner"));
  writeFileSync(path.join(root, ".buildrunner/state.db"), "");
  assert.throws(() => locate({ cwd: root }), /no coordinator runs for .*br parallel/);
});

function asked(root: string, ...items: PathItem[]): [string, LockKind, LockMode][] {
  return pathRequests(items, false, root).map((one) => [one.path, one.kind, one.mode]);
}

test("paths are files, trees, patterns and resources, as they are on disk", () => {
  const root = repository();
  mkdirSync(path.join(root, "app/[id]"), { recursive: true });
  writeFileSync(path.join(root, "app/[id]/page.tsx"), "");
  symlinkSync("app", path.join(root, "link"));
  const { FILE, TREE, GLOB, RESOURCE } = LockKind;
  const { EXCLUSIVE, SHARED } = LockMode;
  assert.deepEqual(asked(root, "new.txt", "app", "gone/", ".", "res:db", { path: "new.txt", shared: true }), [
    ["new.txt", FILE, EXCLUSIVE],
    ["app", TREE, EXCLUSIVE],
    ["gone", TREE, EXCLUSIVE],
    [".", TREE, EXCLUSIVE],
    ["res:db", RESOURCE, EXCLUSIVE],
    ["new.txt", FILE, SHARED],
  ]);
  assert.deepEqual(
    asked(root, "app/[id]/page.tsx", "link/[id]/page.tsx", "link/**/*.ts", { literal: "a*" }),
    [
      ["app/[id]/page.tsx", FILE, EXCLUSIVE],
      ["app/[id]/page.tsx", FILE, EXCLUSIVE],
      ["app/**/*.ts", GLOB, EXCLUSIVE],
      ["a*", FILE, EXCLUSIVE],
    ],
  );
  assert.deepEqual(asked(path.join(root, "app/[id]"), { glob: "*.tsx" }), [
    ["app/[[]id]/*.tsx", GLOB, EXCLUSIVE],
  ]);
});

test("what is outside the repository, empty, too long or no list cannot be locked", () => {
  const root = repository();
  for (const item of ["../other", "/etc/passwd", "", "a\0b", "x".repeat(4097)]) {
    assert.throws(() => pathRequests([item], false, root), InvalidRequestError);
  }
  assert.throws(() => pathRequests("src" as unknown as string[], false, root), /must be a list/);
});

test("a path in another worktree of the repository is the same path", () => {
  const git = (cwd: string, ...words: string[]) =>
    execFileSync("git", ["-C", cwd, "-c", "user.name=t", "-c", "user.email=t@t", ...words], {
      stdio: "pipe",
    });
  const root = path.join(folder, "main");
  mkdirSync(root);
  git(root, "init", "-q");
  git(root, "commit", "-q", "--allow-empty", "-m", "first");
  git(root, "worktree", "add", "-q", path.join(folder, "second"));
  const there = path.join(folder, "second/src/a.ts");
  assert.deepEqual(asked(root, there), [["src/a.ts", LockKind.FILE, LockMode.EXCLUSIVE]]);
});
