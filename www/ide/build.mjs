// Bundles the editor and the compiler for the browser: `node build.mjs OUT_DIR` writes ide.js and the compilers' workers.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const sdkDir = join(here, "../../service-modules/assemblyscript/assembly");
const out = process.argv[2];
if (!out) {
  console.error("usage: node build.mjs OUT_DIR");
  process.exit(2);
}

// `import sdk from "tabfarm:sdk"`: the AssemblyScript SDK's files by the path under which the compiler asks for them.
const sdk = {
  name: "sdk",
  setup(pipeline) {
    pipeline.onResolve({ filter: /^tabfarm:sdk$/ }, () => ({ path: "sdk", namespace: "tabfarm" }));
    pipeline.onLoad({ filter: /^sdk$/, namespace: "tabfarm" }, async () => {
      const names = (await readdir(sdkDir)).filter((name) => name.endsWith(".ts")).sort();
      const files = await Promise.all(names.map(async (name) => [`node_modules/tabfarm/${name}`, await readFile(join(sdkDir, name), "utf8")]));
      return { contents: JSON.stringify(Object.fromEntries(files)), loader: "json", watchDirs: [sdkDir] };
    });
  },
};

await build({
  absWorkingDir: here,
  entryPoints: ["src/ide.js", "src/compiler-worker.js", "src/wat-worker.js", "src/script.js", "src/script-worker.js"],
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "linked",
  loader: { ".ts": "text", ".html": "text", ".wat": "text" },
  external: ["node:*", "fs", "module", "path", "url"],
  plugins: [sdk],
  logLevel: "warning",
});
