// Starts the app, or says in words why it cannot start.

start().catch((error) => {
  console.error(error);
  const line = document.getElementById("boot-line");
  const word = document.getElementById("boot-word");
  if (line) {
    line.className = "banner bad";
    line.textContent =
      typeof WebAssembly === "undefined"
        ? "This browser cannot run WebAssembly, which Tabfarm is made of. Open this page in a current Firefox, Chrome, Edge or Safari."
        : "The app could not be loaded. Check your connection, then reload this page.";
  }
  if (word) word.textContent = "could not load";
});

async function start() {
  // The peer is compiled beside the app; where that fails, joining says so.
  import("/tabfarm.js").then(({ Peer }) => Peer.load()).catch(() => {});
  const { default: init } = await import("/app/app.js");
  await init({ module_or_path: "/app/app_bg.wasm" });
}
