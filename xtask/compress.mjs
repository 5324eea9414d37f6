// Writes a `.br` beside each text and wasm file of a served tree, so that relays need not: `node compress.mjs DIR QUALITY`.

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const [dir, quality] = process.argv.slice(2);
const COMPRESSIBLE = /\.(html|css|js|mjs|json|svg|txt|ts|wasm)$/;
/** Smaller files gain nothing. */
const MIN_BYTES = 512;

for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath ?? entry.path, entry.name);
  if (!entry.isFile() || !COMPRESSIBLE.test(entry.name) || statSync(path).size < MIN_BYTES) continue;
  const made = statSync(`${path}.br`, { throwIfNoEntry: false });
  if (made && made.mtimeMs > statSync(path).mtimeMs) continue;
  const body = readFileSync(path);
  const params = { [constants.BROTLI_PARAM_QUALITY]: Number(quality), [constants.BROTLI_PARAM_SIZE_HINT]: body.length };
  writeFileSync(`${path}.br`, brotliCompressSync(body, { params }));
}
