// Which service a bare name means to this person, where several publishers have the name.
//
// Pins lie in localStorage, for all pages of this origin; where that is refused they live as long as the page.

const KEY = 'tabfarm.pins';
/** Names that are pinned; one more is refused. */
const MAX_PINS = 256;
/** The longest name or id, in characters. */
const MAX_LENGTH = 512;

export class Pins {
  /** What stands in for a storage that is refused. */
  #memory = null;

  /** `{ name: serviceId }`, a copy. What somebody else wrote into the storage and is no pin is left out. */
  all() {
    const pins = {};
    for (const [name, service] of Object.entries(this.#read()).slice(0, MAX_PINS)) {
      if (isPin(name, service)) pins[name] = service;
    }
    return pins;
  }

  /** The pinned service of a bare name, else what was given. */
  resolve(service) {
    if (service.includes('@')) return service;
    const pins = this.all();
    return Object.hasOwn(pins, service) ? pins[service] : service;
  }

  /** Pins a name, or lets go of it with `null`. Throws what is wrong with the arguments. */
  set(name, service) {
    const pins = this.all();
    if (service === null) {
      delete pins[name];
    } else {
      if (!isPin(name, service)) throw new TypeError('a pin is a name and a service of that name, `name@publisher`');
      if (!Object.hasOwn(pins, name) && Object.keys(pins).length >= MAX_PINS) throw new RangeError(`no more than ${MAX_PINS} names can be pinned`);
      pins[name] = service;
    }
    this.#write(pins);
  }

  #read() {
    if (this.#memory) return this.#memory;
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}');
      return kept && typeof kept === 'object' ? kept : {};
    } catch {
      return {};
    }
  }

  #write(pins) {
    try {
      localStorage.setItem(KEY, JSON.stringify(pins));
      this.#memory = null;
    } catch {
      this.#memory = pins;
    }
  }
}

function isPin(name, service) {
  const texts = typeof name === 'string' && typeof service === 'string' && service.length <= MAX_LENGTH;
  return texts && name !== '' && name !== '__proto__' && !name.includes('@') && service.startsWith(`${name}@`) && service.length > name.length + 1;
}
