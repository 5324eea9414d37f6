// What the calls of this page cost, by service: sums that a reader turns into rates and means.

/** Services that are counted; the one that was called longest ago is forgotten for another. */
const MAX_SERVICES = 128;

export class Measures {
  /** In the order of the last call. */
  #services = new Map();

  /** Takes a call that was answered, or failed, after `ms`. */
  take(service, ms, ok) {
    const sum = this.#services.get(service) ?? { service, calls: 0, failed: 0, totalMs: 0 };
    sum.calls += 1;
    if (ok) sum.totalMs += ms;
    else sum.failed += 1;
    this.#services.delete(service);
    if (this.#services.size >= MAX_SERVICES) this.#services.delete(this.#services.keys().next().value);
    this.#services.set(service, sum);
  }

  all() {
    return [...this.#services.values()].map((sum) => ({ ...sum }));
  }
}
