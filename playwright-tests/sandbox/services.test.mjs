// The example services in the sandbox: created, run, moved to another worker, upgraded.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CALL, CLOSE, example, inPage, MESSAGE, OPEN, prepare } from "./lib/sandbox.mjs";

test("counter counts, moves to another worker and counts on", () =>
  inPage(async (page) => {
    assert.deepEqual(await prepare(page, 1, await example("counter")), { type: "prepared", package: 1 });
    const got = await page.evaluate(async () => {
      const got = [];
      got.push((await create(1, 1)).type, short(await run(1, 0)));
      got.push(await call(1, "add", "5"), await call(1, "add", "-7"), await query(1, "read"), await call(1, "add", "x"));
      const { state } = await snapshot(1);
      got.push(await call(1, "add", "100"));
      got.push((await create(2, 1, state)).type, await query(2, "read"), await call(2, "add", "1"));
      const again = await snapshot(2);
      sandbox.stop(1);
      got.push(await query(2, "read"), again.state.length === state.length);
      return got;
    });
    assert.deepEqual(got, [
      "created", ["done", ""],
      ["done", "5"], ["done", "-2"], ["done", "-2"], ["failed", "the body must be an integer"],
      ["done", "98"],
      "created", ["done", "-2"], ["done", "-1"],
      ["done", "-1"], true,
    ]);
  }));
