// Clients that do not get to the end of what they ask, against those who do.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";

import { volunteer } from "../lib/moves.mjs";
import { publish } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const PLACES = 40;

test("bodies that do not come keep nobody out", () =>
  inWorld(async (world) => {
    const relay = await world.relay({ args: ["--max-http", String(PLACES), "--http-per-ip", String(PLACES)] });
    await publish(await volunteer(world, await world.browser(), relay, "host"), "echo");
    const { hostname, port } = new URL(relay.url);
    const slow = [];
    for (let n = 0; n < 3 * PLACES; n += 1) {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      socket.write(`POST /s/echo/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n${"a".repeat(100_000)}`);
      await new Promise((done) => socket.once("connect", done));
      slow.push(socket);
      world.atEnd(() => socket.destroy());
    }
    for (let n = 0; n < 5; n += 1) {
      assert.equal((await fetch(`${relay.url}/health`)).status, 200);
      const echo = await fetch(`${relay.url}/s/echo/echo`, { method: "POST", body: `call ${n}` });
      assert.deepEqual([echo.status, await echo.text()], [200, `call ${n}`]);
    }
    const metrics = await (await fetch(`${relay.url}/metrics`)).text();
    const evicted = Number(metrics.match(/tabfarm_relay_http_evicted_total (\d+)/)[1]);
    assert.ok(evicted >= 2 * PLACES, `${evicted} made room`);
    assert.match(metrics, /tabfarm_relay_http_refused_total 0\n/);
    assert.ok(slow.some((socket) => !socket.closed), "those that nobody needed room of go on");
  }));
