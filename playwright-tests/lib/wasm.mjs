// Hand-written service modules.

import binaryen from "binaryen";

/** A service module whose `handle` has the given body in WAT; `parts` are further declarations. */
export function moduleOf(handle, parts = "") {
  const wat = `(module
    (import "host" "input" (func $input (param i32)))
    (import "host" "reply" (func $reply (param i32 i32)))
    ${parts}
    (func $handle (export "handle") (param $kind i32) (param $session i32) (param $len i32) (result i32) ${handle}))`;
  const module = binaryen.parseText(wat);
  const bytes = module.emitBinary();
  module.dispose();
  return [...bytes];
}

/** Exported memory of one page. */
export const MEMORY = '(memory (export "memory") 1 4)';

/** Runs `body` for calls (kind 3) and answers `1` to everything else. */
export const onCall = (body) => `(if (i32.eq (local.get $kind) (i32.const 3)) (then ${body})) (i32.const 0)`;

/** A manifest for it. */
export const manifestOf = (name, more = {}) => ({
  name,
  version: "1.0.0",
  engine: "wasm",
  state: "single",
  interface: { go: {} },
  requires: { memoryMiB: 1 },
  ...more,
});

/** Publishes such a module from a page; how it ended. */
export function tryPublish(page, manifest, bytes) {
  return page.evaluate(
    ([manifest, bytes]) =>
      peer.publish({ manifest, module: new Uint8Array(bytes) }).then((id) => ({ id }), ({ code, message }) => ({ code, message })),
    [manifest, bytes],
  );
}
