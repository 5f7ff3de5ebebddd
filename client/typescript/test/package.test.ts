/** The package as its users see it: what it carries, what can be imported from it, what says what it is for. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const ENTRIES = ["index", "worker/index"];
const run = promisify(execFile);

test("each public name has a comment of its own", () => {
  const silent = ENTRIES.flatMap((entry) => reexports(entry)).flatMap(([file, names]) =>
    withoutComment(path.join(PACKAGE, "dist/src", `${file}.d.ts`), names).map((name) => `${file}: ${name}`),
  );
  assert.deepEqual(silent, []);
});

test("it can be packed from a checkout, and all of it can be imported where nothing else is", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "br-package-"));
  try {
    await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], {
      cwd: PACKAGE,
    });
    const [archive = ""] = readdirSync(folder);
    await run("tar", ["xzf", archive], { cwd: folder });
    const packed = path.join(folder, "package");
    const carried = readdirSync(packed, { recursive: true, encoding: "utf8" });
    assert.ok(carried.includes("LICENSE"));
    const foreign = carried.filter(
      (name) => !/^(dist(\/src.*)?|src.*|package\.json|README\.md|LICENSE)$/.test(name),
    );
    assert.deepEqual(foreign, []);
    const manifest = JSON.parse(readFileSync(path.join(packed, "package.json"), "utf8"));
    for (const name of Object.values(manifest.exports).flatMap((told) => files(told))) {
      assert.ok(name.includes("*") || existsSync(path.join(packed, name)), name);
    }
    await importAll(folder, packed);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function importAll(folder: string, packed: string): Promise<void> {
  const modules = path.join(folder, "user/node_modules");
  mkdirSync(modules, { recursive: true });
  await run("cp", ["-r", packed, path.join(modules, "buildrunner-parallel")]);
  for (const scope of ["@bufbuild", "@connectrpc"]) {
    await run("cp", ["-r", path.join(PACKAGE, "node_modules", scope), modules]);
  }
  const program = `
    import { Client, TaskStatus } from "buildrunner-parallel";
    import { Worker } from "buildrunner-parallel/worker";
    import * as short from "buildrunner-parallel/gen/buildrunner_parallel/v1/types_pb";
    import * as long from "buildrunner-parallel/gen/buildrunner_parallel/v1/types_pb.js";
    import told from "buildrunner-parallel/package.json" with { type: "json" };
    console.log(typeof Client.connect, typeof Worker, short === long, short.TaskStatus === TaskStatus, told.license);`;
  writeFileSync(path.join(folder, "user/program.mjs"), program);
  const { stdout } = await run(process.execPath, ["program.mjs"], { cwd: path.join(folder, "user") });
  assert.equal(stdout, "function function true true Apache-2.0\n");
}

function files(told: unknown): string[] {
  return typeof told === "string" ? [told] : Object.values(told as Record<string, string>);
}

/** The files that an entry names, and what it takes from each; undefined is all. */
function reexports(entry: string): [string, string[] | undefined][] {
  const text = readFileSync(path.join(PACKAGE, "src", `${entry}.ts`), "utf8");
  const statements = [...text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from "(\.[^"]+)\.js";$/gm)];
  assert.ok(statements.length > 0);
  return statements
    .filter(([, , file = ""]) => !file.startsWith("./gen/"))
    .map(([, names = "", file = ""]) => [
      path.join(path.dirname(entry), file),
      names === "*"
        ? undefined
        : names
            .replace(/[{}]|\btype\b/g, "")
            .split(",")
            .map((name) => name.trim()),
    ]);
}

/** Exported declarations, and members of classes and interfaces, that no comment stands before. */
function withoutComment(file: string, wanted: string[] | undefined): string[] {
  const silent: string[] = [];
  let owner = "";
  let isType = false;
  let isCommented = false;
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const outer = /^export (?:declare )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/.exec(
      line,
    )?.[1];
    const inner = /^ {4}(?!private |#|constructor\b)(?:[a-z]+ )*([\w.[\]]+)[?(:;<]/.exec(line)?.[1];
    if (outer !== undefined) owner = outer;
    isType = outer === undefined ? isType : line.includes(` type ${outer}`);
    const name = outer ?? (inner === undefined || isType ? undefined : `${owner}.${inner}`);
    const isWanted = wanted === undefined || wanted.includes(owner);
    if (name !== undefined && isWanted && !isCommented) silent.push(name);
    isCommented = line.trimEnd().endsWith("*/");
  }
  return silent;
}
