// What the pages of these tests load: the Rust test peer and a bundle of unmodified js-libp2p.

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../../..");

/** Where everything lies afterwards. */
export const dist = join(root, "target/webrtc-test");

function cargo(...args) {
  const { status } = spawnSync("cargo", args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) throw new Error(`cargo ${args.join(" ")} failed`);
}

/** Builds into `target/webrtc-test`; quick if nothing has changed. */
export async function buildPages({ profile = "web" } = {}) {
  mkdirSync(dist, { recursive: true });
  if (process.env.TABFARM_WEB) {
    // `cargo xtask` has built the peer beside the web tree.
    for (const file of ["tab_test.js", "tab_test_bg.wasm"]) {
      copyFileSync(join(process.env.TABFARM_WEB, "../tab-test", file), join(dist, file));
    }
  } else {
    const target = "wasm32-unknown-unknown";
    cargo("build", "--quiet", "-p", "tab-test", "--target", target, "--profile", profile);
    cargo("xtask", "bindgen", join(root, "target", target, profile, "tab_test.wasm"), dist, "tab_test");
  }
  await build({
    entryPoints: [join(here, "js-peer.mjs")],
    outfile: join(dist, "js-peer.js"),
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "error",
  });
  copyFileSync(join(here, "page.html"), join(dist, "page.html"));
  copyFileSync(join(here, "raw.mjs"), join(dist, "raw.mjs"));
}
