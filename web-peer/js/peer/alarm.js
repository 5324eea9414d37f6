// One alarm that hidden tabs do not throttle: while the page is seen its own timer counts, while it is hidden a worker.

const WORKER = 'let t;onmessage=({data})=>{clearTimeout(t);if(data!==null)t=setTimeout(()=>postMessage(0),data)}';
/** The longest delay that setTimeout takes, in ms. */
const LONGEST = 2 ** 31 - 1;

export class Alarm {
  #ring;
  #due = Infinity;
  #timer;
  #worker;
  #broken = false;
  #changed = () => this.#arm();

  /** @param {() => void} ring called when the time has come, now and then a little early */
  constructor(ring) {
    this.#ring = ring;
    document.addEventListener('visibilitychange', this.#changed);
  }

  /** Replaces the alarm by one in `ms`. */
  set(ms) {
    this.#due = performance.now() + ms;
    this.#arm();
  }

  close() {
    this.#due = Infinity;
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    document.removeEventListener('visibilitychange', this.#changed);
  }

  #arm() {
    clearTimeout(this.#timer);
    if (this.#due === Infinity) return;
    const ms = Math.min(Math.max(0, this.#due - performance.now()), LONGEST);
    const worker = document.hidden ? this.#counting() : undefined;
    if (worker) {
      worker.postMessage(ms);
    } else {
      this.#worker?.postMessage(null);
      this.#timer = setTimeout(() => this.#fire(), ms);
    }
  }

  #fire() {
    this.#due = Infinity;
    this.#ring();
  }

  /** The worker, made when it is first needed; undefined where the page's policy forbids it. */
  #counting() {
    if (this.#worker || this.#broken) return this.#worker;
    const fail = () => {
      this.#broken = true;
      this.#worker = undefined;
      this.#arm();
    };
    try {
      const url = URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' }));
      const worker = new Worker(url);
      URL.revokeObjectURL(url);
      worker.onmessage = () => this.#fire();
      worker.onerror = fail;
      this.#worker = worker;
    } catch {
      this.#broken = true;
    }
    return this.#worker;
  }
}
