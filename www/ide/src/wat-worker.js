// The compiler of WebAssembly's text format in a worker of its own: `wat.js` and its wasm are `www/wat`, made by the build.

const { default: load, compile } = await import(new URL("./wat.js", import.meta.url).href);
await load();

onmessage = ({ data: { id, sources } }) => {
  const started = performance.now();
  const [[file, text]] = [...sources].filter(([path]) => path === "service.wat");
  const { module, line, column, message } = compile(text);
  const diagnostics = module ? [] : [{ file, line, column, length: 1, severity: "error", message }];
  postMessage({ id, result: { module: module ?? null, diagnostics, ms: performance.now() - started } });
};
postMessage({ ready: true });
