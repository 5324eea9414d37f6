// Runs the tests in real tabs: `node run.mjs [FILE…]`. It moves into a network namespace of its own when the machine
// allows it, so that nothing outside can disturb a test and partitions can be made; else it stays and says so.
//
// Environment: TABFARM_RELAY and TABFARM_WEB (the relay binary and the web tree), CHROMIUM, FIREFOX, TABFARM_BROWSER (`firefox`: every
// test in Firefox, to see what it makes of it), TABFARM_TAP (a file for the machine-readable report).

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { inNamespace } from "./lib/namespace.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

/** All `*.test.mjs` below `dir`, without installed packages. */
function testFiles(dir) {
  const entries = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.name !== "node_modules");
  return entries
    .flatMap((entry) => {
      const path = join(dir, entry.name);
      return entry.isDirectory() ? testFiles(path) : entry.name.endsWith(".test.mjs") ? [path] : [];
    })
    .sort();
}

const chosen = process.argv.slice(2).map((file) => resolve(file));
const files = chosen.length > 0 ? chosen : testFiles(here);
const reporters = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
if (process.env.TABFARM_TAP) {
  reporters.push("--test-reporter=tap", `--test-reporter-destination=${process.env.TABFARM_TAP}`);
}

const { command, env, where } = inNamespace([process.execPath, "--test", "--test-concurrency=1", ...reporters, ...files]);
console.log(`tabs: ${files.length} files, ${where}`);
for (const file of files) console.log(`  ${relative(here, file)}`);
const { status } = spawnSync(command[0], command.slice(1), { stdio: "inherit", env: { ...process.env, ...env } });
process.exit(status ?? 1);
