// The AssemblyScript compiler fetches a small wasm from a `data:` URL, which the page's `connect-src` forbids, rightly.
// This worker needs no network at all, so its `fetch` reads such URLs itself and refuses everything else.

globalThis.fetch = async (url) => {
  const [, type, encoded] = /^data:([^;,]+);base64,(.*)$/s.exec(String(url)) ?? [];
  if (!type) throw new TypeError("the compiler has no network");
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  return new Response(bytes, { headers: { "content-type": type } });
};
