// Plain HTTP clients call services that live in tabs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { move, volunteer } from "../lib/moves.mjs";
import { publish } from "../lib/peer.mjs";
import { inWorld } from "../lib/world.mjs";

const post = (relay, path, body, headers = {}) => fetch(`${relay.url}${path}`, { method: "POST", body, headers });

test("a client without a browser calls a service in a tab, and goes on when it moves", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const browser = await world.browser();
    const [a, b] = [await volunteer(world, browser, relay, "a"), await volunteer(world, browser, relay, "b")];
    const service = await publish(a, "counter");
    const add = async (name = "counter") => {
      const response = await post(relay, `/s/${name}/add`, "1");
      assert.equal(response.status, 200, await response.clone().text());
      return { total: await response.json(), server: response.headers.get("tabfarm-server"), term: Number(response.headers.get("tabfarm-term")) };
    };
    const first = await add();
    assert.deepEqual({ total: first.total, server: first.server }, { total: 1, server: a.id });
    assert.equal((await add(service)).total, 2, "by its full name");
    await move(a, b, service);
    const moved = await add();
    assert.deepEqual({ total: moved.total, server: moved.server }, { total: 3, server: b.id });
    assert.ok(moved.term > first.term);
    const many = await Promise.all(Array.from({ length: 20 }, () => add()));
    assert.deepEqual(many.map(({ total }) => total).sort((x, y) => x - y), Array.from({ length: 20 }, (_, n) => n + 4), "each once");
  }));

test("what is wrong is a problem document", () =>
  inWorld(async (world) => {
    const relay = await world.relay();
    const host = await volunteer(world, await world.browser(), relay, "host");
    await publish(host, "counter");
    const problem = async (path, body, headers) => {
      const response = await post(relay, path, body, headers);
      assert.equal(response.headers.get("content-type"), "application/problem+json");
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      const { status, code, detail } = await response.json();
      assert.equal(status, response.status);
      assert.ok(detail.length > 0);
      return [status, code];
    };
    assert.deepEqual(await problem("/s/nobody-has-it/add", "1"), [404, "not-found"]);
    assert.deepEqual(await problem("/s/counter/no-such-method", "1"), [502, "trapped"]);
    assert.deepEqual(await problem("/s/counter/add", new Uint8Array(256 * 1024 + 1)), [413, undefined]);
    assert.deepEqual(await problem("/s/counter/add", "1", { "tabfarm-deadline": "soon" }), [400, undefined]);
    assert.deepEqual(await problem(`/s/counter/${"m".repeat(300)}`, "1"), [414, undefined]);
    const preflight = await fetch(`${relay.url}/s/counter/add`, { method: "OPTIONS", headers: { origin: "https://example.org", "access-control-request-method": "POST" } });
    assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-methods")], [204, "POST, GET"]);
  }));
