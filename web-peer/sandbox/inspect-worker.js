// Inspects and instruments modules beside the page. A worker of the app's own origin: the module is only read here,
// never run. In: { module: ArrayBuffer, memoryPages }. Out, in order: { code: ArrayBuffer } or { refused: text }.
import init, { prepare } from '../peer/inspector.js';

const ready = init();

self.onmessage = async ({ data: { module, memoryPages } }) => {
  try {
    await ready;
    const code = prepare(new Uint8Array(module), memoryPages).buffer;
    self.postMessage({ code }, [code]);
  } catch (error) {
    // A text is the inspector's own verdict; anything else (no inspector, no memory, a bug) is an Error.
    const refused = typeof error === 'string' ? error : 'the module could not be inspected: ' + error;
    self.postMessage({ refused });
  }
};
