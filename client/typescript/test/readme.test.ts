/** The programs of README.md compile, and the first one runs. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EventService } from "../src/gen/buildrunner_parallel/v1/event_service_pb.js";
import { SessionService } from "../src/gen/buildrunner_parallel/v1/session_service_pb.js";
import { TaskService } from "../src/gen/buildrunner_parallel/v1/task_service_pb.js";
import { SessionStatus } from "../src/gen/buildrunner_parallel/v1/types_pb.js";
import { VERSION } from "../src/version.js";
import { FakeCoordinator } from "./fake-coordinator.js";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

test("the version that workers tell is that of the package", () => {
  const told = JSON.parse(readFileSync(path.join(PACKAGE, "package.json"), "utf8")) as { version: string };
  assert.equal(VERSION, told.version);
});

test("the programs of the README compile, and the first one runs", async () => {
  const blocks = [...readFileSync(path.join(PACKAGE, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
  assert.ok(blocks.length >= 4);
  // Within the package, so that its name means it.
  const folder = mkdtempSync(path.join(PACKAGE, "dist/readme-"));
  try {
    blocks.forEach(([, code = ""], index) => {
      const named = /^\/\/ (\w+\.ts)\n/.exec(code)?.[1];
      writeFileSync(path.join(folder, named ?? `program-${index}.ts`), code);
    });
    const options = {
      extends: "../../tsconfig.json",
      compilerOptions: { rootDir: ".", outDir: "out" },
      include: ["*.ts"],
    };
    writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(options));
    await run(path.join(PACKAGE, "node_modules/.bin/tsc"), ["-p", folder]);
    assert.equal(await runFirst(path.join(folder, "out/program-0.js")), "completed 2\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function runFirst(program: string): Promise<string> {
  const seen: string[] = [];
  const session = { sessionId: "ab12ab12", status: SessionStatus.CREATED };
  await using coordinator = await FakeCoordinator.start((router) => {
    router.service(SessionService, {
      createSession: ({ name, wantedWorkers }) => {
        seen.push(`create ${name} ${wantedWorkers}`);
        return { session };
      },
      startSession: () => {
        seen.push("start");
        return { session };
      },
      getSession: () => ({ session }),
    });
    router.service(TaskService, {
      submitTasks: ({ tasks, seal }) => {
        seen.push(`submit ${tasks.map((task) => task.taskId)} ${seal}`);
        return {};
      },
    });
    router.service(EventService, {
      async *watch() {
        const ended = { ...session, status: SessionStatus.COMPLETED, counts: { succeeded: 2 } };
        yield { revision: 2n, changes: [{ entity: { case: "session", value: ended } }] };
      },
    });
  });
  const env = { ...process.env, BR_COORDINATOR: coordinator.address };
  const { stdout } = await run(process.execPath, [program], { env });
  assert.deepEqual(seen, ["create checks 2", "submit lint,unit true", "start"]);
  return stdout;
}
