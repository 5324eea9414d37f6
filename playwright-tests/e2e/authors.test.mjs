// An author in Rust: from nothing to a published service, by the commands of the documentation.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { volunteer } from "../lib/moves.mjs";
import { soon } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
// It compiles a service and all that it needs, from nothing.
const LIMIT_MS = 900_000;

/** Runs `cargo xtask service …`; `says(text)` waits until it printed that, `ended` is its exit code. */
function service(world, args) {
  const child = spawn("cargo", ["xtask", "service", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  const heard = new EventEmitter();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      said += data;
      heard.emit("more");
    });
  }
  const ended = once(child, "close").then(([code]) => {
    heard.emit("more");
    return code;
  });
  world.atEnd(() => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  });
  const says = async (text) => {
    while (!said.includes(text)) {
      assert.equal(child.exitCode, null, `it ended without “${text}”:\n${said}`);
      await once(heard, "more");
    }
  };
  return { ended, says, said: () => said, interrupt: () => process.kill(-child.pid, "SIGINT") };
}

test("new, test, publish; stopping hands it over, or keeps its state; a newer version keeps what was stored", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const home = mkdtempSync(join(tmpdir(), "tabfarm-author-"));
    world.atEnd(() => rmSync(home, { recursive: true, force: true }));
    const dir = join(home, "sum");
    assert.equal(await service(world, ["new", dir]).ended, 0);
    assert.equal(await service(world, ["new", dir]).ended, 1, "nothing is written over");
    const tested = service(world, ["test", dir]);
    assert.equal(await tested.ended, 0, tested.said());
    assert.match(tested.said(), /1 passed; 0 failed/);
    assert.match(tested.said(), /trial: .* 3 of 3 examples/);
    const call = async (body) => {
      const response = await fetch(`${relay.url}/s/sum/add`, { method: "POST", body });
      return response.json();
    };
    const alone = service(world, ["publish", dir, "--relay", relay.url]);
    await alone.says("serving from a tab");
    assert.equal(await call("40"), 40);
    alone.interrupt();
    await alone.says("its state is kept for the next time");
    assert.equal(await alone.ended, 0, alone.said());
    const first = service(world, ["publish", dir, "--relay", relay.url]);
    await first.says("serving from a tab");
    assert.equal(await call("0"), 40);
    const host = await volunteer(world, await world.browser(), relay, "volunteer");
    await soon(host, () => peer.status().hosting.some(({ service }) => service.startsWith("sum@")));
    first.interrupt();
    await first.says("handed over");
    await soon(host, () => peer.status().hosting.some(({ service, role }) => service.startsWith("sum@") && role === "leader"));
    assert.equal(await call("2"), 42);
    const edit = (path, from, to) => writeFileSync(join(dir, path), readFileSync(join(dir, path), "utf8").replace(from, to));
    edit("manifest.json", '"version": "1.0.0"', '"version": "2.0.0"');
    edit("src/lib.rs", "give me a whole number", "only whole numbers, please");
    const second = service(world, ["publish", dir, "--relay", relay.url]);
    await second.says("serving from a tab");
    const refused = await (async () => {
      for (;;) {
        const { detail } = await call('"x"');
        if (/only whole numbers/.test(detail)) return detail;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    })();
    assert.match(refused, /only whole numbers, please/);
    assert.equal(await call("1"), 43);
    edit("manifest.json", '"reply": 42', '"reply": 41');
    const wrong = service(world, ["test", dir]);
    assert.notEqual(await wrong.ended, 0);
    assert.match(wrong.said(), /its example 2, add: it answers 42, not 41/);
  }, LIMIT_MS));
