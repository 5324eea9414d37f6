// Types and promises of tabfarm.js.

/** `name@publisher`. */
export type ServiceId = string;
/** How a peer is reached; `external`: it is none, but a server outside of all tabs. */
export type Path = 'direct' | 'relayed' | 'external';
export type ErrorCode =
  | 'not-found' | 'no-server' | 'deadline' | 'trapped' | 'refused' | 'invalid-package' | 'not-permitted'
  | 'overloaded' | 'ambiguous' | 'disconnected' | 'unknown-outcome';
/** Bytes; text is sent as UTF-8. */
export type Body = Uint8Array | ArrayBuffer | string;

/** Why a promise failed. */
export class TabfarmError extends Error {
  readonly code: ErrorCode;
  /** With `ambiguous`: the services that have the name. */
  readonly candidates?: ServiceId[];
  /** With `overloaded`: when it is worth trying again, in ms. */
  readonly retryAfterMs?: number;
  /** Of a service that runs outside of all tabs: where it does. */
  readonly origin?: string;
}

export interface JoinOptions {
  /** Multiaddrs that end in `/p2p/ID`, or `http(s)` URLs of relays. Default: the server that tabfarm.js came from. */
  relays?: string[];
  /** Where the key lives. Default: `indexeddb`. */
  store?: 'indexeddb' | 'memory';
  /** STUN and TURN servers. Default: none; peers behind different NATs need at least one. */
  iceServers?: RTCIceServer[];
  /** A name that other people see. */
  name?: string;
  /** How long to wait for a relay. Default: 20,000. */
  timeoutMs?: number;
}

export interface Manifest {
  format?: 1;
  abi?: 1;
  name: string;
  version: string;
  description?: string;
  tags?: string[];
  /** For information: what made the module. Both are wasm. Or `url`: there is no module, the service runs elsewhere. */
  engine: 'wasm' | 'quickjs' | 'url';
  /** With the engine `url`: where the service runs. Its state is `none`; whatever is about hosts is left out. */
  url?: string;
  state: 'none' | 'single' | 'replicated-3' | 'replicated-5';
  access?: 'anyone' | string[];
  hosts?: 'anyone' | string[];
  interface: Record<string, { body?: object; reply?: object; readOnly?: boolean }>;
  /** Calls that each host makes before it runs the package, at most 16; a reply that is given must come. JSON where the method
   *  has a schema, else text. */
  examples?: { method: string; body?: unknown; reply?: unknown }[];
  requires?: object;
  qos?: object;
  permissions?: { call?: string[]; datagrams?: boolean };
  location?: [number, number];
  ui?: string;
}

export interface Query {
  name?: string;
  /** In name, description or tags. */
  text?: string;
  tag?: string;
  /** Latitude, longitude, kilometres. */
  near?: [number, number, number];
}

export interface ServiceRecord {
  id: ServiceId;
  name: string;
  publisher: string;
  version: string;
  description: string;
  tags: string[];
  state: Manifest['state'];
  package: string;
  location: [number, number] | null;
  hasUi: boolean;
  /** Where it runs, if that is outside of all tabs; no peer hosts it then. */
  url: string | null;
  /** Peers known to serve it now. */
  hosts: string[];
  /** When it was published, in ms since the Unix epoch. */
  sequence: number;
  /** How it is rated: 1 to 5 stars, by how many peers. One person may have many peers. */
  rating: { mean: number; count: number } | null;
}

export interface PeerInfo {
  id: string;
  /** Untrusted text. */
  name: string;
  role: 'tab' | 'relay';
  path: Path;
  rttMs: number | null;
  volunteer: boolean;
  /** How much of what its person grants is used, in percent, roughly. */
  busy: number;
  hosting: ServiceId[];
}

export interface HostedService {
  service: ServiceId;
  role: 'leader' | 'follower' | 'standby' | 'joining' | 'witness';
  epoch: number;
  term: number;
  /** It has no worker until somebody calls it: nobody did for a minute. */
  asleep: boolean;
  sessions: number;
  events: number;
  gas: number;
  traps: number;
  /** Those who vote: host or replicas. */
  members: string[];
  /** Peers that hold a warm copy of a `single` service, as its host sees them. */
  standbys: string[];
  /** How many of them the manifest wants. */
  standbysWanted: number;
  /** Target and step of a handover under way. */
  handover: [string, string] | null;
  memoryMiB: number;
  /** State holders that the manifest wants: 1, 3 or 5. */
  wanted: number;
  /** State holders that the leader can count on, itself among them. */
  replicas: number;
  /** Log entries that the slowest member lacks. */
  lag: number;
  /** What is executed and not yet on this tab's disk, in log entries; null before the first checkpoint. */
  unstored: number | null;
  /** The service came back from a checkpoint of this time (ms since 1970): what happened since then may be lost. */
  lostSince: number | null;
  /** A copy of a stateless service that came by itself, since this tab calls it much; it goes when nobody calls it. */
  forOwnCalls: boolean;
}

/** Somebody who claims a nick name. Several peers may: compare their keys. */
export interface Candidate {
  /** As its person writes it; untrusted text. */
  nick: string;
  peer: string;
  /** The end of the peer's id. */
  short: string;
  /** Untrusted text. */
  profile: string;
  /** When it was signed, in ms since 1970. */
  announced: number;
}

/** Somebody asks this tab's person into a conference. */
export interface Ring {
  ring: number;
  /** The caller's peer id. */
  from: string;
  /** Its end. */
  short: string;
  /** The name that the caller gives itself; untrusted text. */
  nick: string;
  /** What the caller passed to `ring`; untrusted text. */
  conference: string;
  /** `not-found` when the ring is over. */
  accept(): Promise<void>;
  decline(): Promise<void>;
}

export interface SessionInfo {
  id: string;
  service: ServiceId;
  server: string;
  epoch: number;
  term: number;
  path: Path;
}

export interface HandoverReport {
  service: ServiceId;
  from: string;
  to: string;
  witness: string | null;
  term: number;
  pauseMs: number;
  bytes: number;
  stateBytes: number;
  uncertain: boolean;
}

/** What became of a service that a peer served which left. */
export interface Left {
  service: ServiceId;
  /** The peer that serves it now, or null. */
  to: string | null;
  /** Why nobody took it over, in words. */
  reason: string | null;
  /** Nobody took it over, and all of its state is kept in this browser: it goes on when this peer joins again. */
  stored: boolean;
}

export interface Status {
  id: string;
  /** Others can reach this peer. */
  joined: boolean;
  peers: PeerInfo[];
  relays: string[];
  hosting: HostedService[];
  /** Replicated services of which this tab holds a stored copy, and waits for the other copies. */
  waiting: ServiceId[];
  sessions: SessionInfo[];
  volunteer: { cpu: number; memoryMiB: number; storageMiB: number; upKbps: number; mains: boolean; services: string[]; publishers: string[]; tags: string[] } | null;
}

export interface VolunteerPolicy {
  /** Percent of a core. Default: 50. */
  cpu?: number;
  /** Default: 256. */
  memoryMiB?: number;
  /** Default: 256. */
  storageMiB?: number;
  /** Bandwidth up, in kbit/s: services are taken as long as what their manifests ask for fits. Default: 2,000. */
  upKbps?: number;
  /** Runs on mains power; services that ask for it go nowhere else. Default: true. */
  mains?: boolean;
  /** Names or `name@publisher`. Default: any. A service has to be on each list that is given. */
  services?: string[] | 'any';
  /** Peer ids of publishers. Default: any. */
  publishers?: string[] | 'any';
  /** A service has one of these tags. Default: any. */
  tags?: string[] | 'any';
}

/** What this page's calls of one service cost until now. */
export interface Measured {
  service: ServiceId;
  calls: number;
  /** Of them, those that were rejected. */
  failed: number;
  /** Sum over those that were answered. */
  totalMs: number;
}

interface PeerEvents {
  /** `joined` or the relays changed. */
  status: CustomEvent<object>;
  peer: CustomEvent<{ id: string; connected: boolean }>;
  hosting: CustomEvent<{ service: ServiceId }>;
  /** A session of this peer follows its service to another server. */
  moved: CustomEvent<SessionInfo>;
  handover: CustomEvent<{ service: ServiceId; from: string; to: string; step: string; reason: string }>;
  /** A service came back from a checkpoint of that time (ms since 1970): what happened since then may be lost. */
  restored: CustomEvent<{ service: ServiceId; since: number }>;
  /** More load than this tab's person grants is foreseen (`percent` of it), or its alarms ring `lateMs` late because its thread
   *  has too much to do: a service moves to another tab. */
  shed: CustomEvent<{ service: ServiceId; to: string; percent: number; lateMs: number }>;
  /** A stateless service that this tab calls runs here from now on, or not any more. Times of one call and what it costs to
   *  have the service here in ms, as far as measured; `rate` in calls a second. */
  placed: CustomEvent<{
    service: ServiceId;
    here: boolean;
    hereMs: number | null;
    thereMs: number | null;
    rate: number;
    costMs: number;
  }>;
  ring: CustomEvent<Ring>;
  /** A ring ended before it was answered. */
  ringOver: CustomEvent<{ ring: number }>;
  log: CustomEvent<{ service: ServiceId; level: number; text: string }>;
  error: CustomEvent<{ code: ErrorCode; message: string }>;
}

/** This tab as a peer. */
export class Peer extends EventTarget {
  private constructor();
  /** Loads what a peer is made of, before it is needed. */
  static load(): Promise<void>;
  /** Resolves once others can reach this peer. `disconnected` when no relay answers in time. */
  static join(options?: JoinOptions): Promise<Peer>;
  /** A peer without a network and with a key of its own: what it publishes runs in this tab alone, for trying it. */
  static alone(): Promise<Peer>;
  /** libp2p PeerId: the same after a reload, never that of another tab. */
  readonly id: string;
  status(): Status;
  /** Signs and publishes a package, and serves it here until a volunteer takes over. Without a module where the manifest says that the
   *  service runs elsewhere; it is found from then on, and nobody hosts it. */
  publish(pkg: { manifest: Manifest; module?: Uint8Array; ui?: Record<string, Body> }): Promise<ServiceId>;
  /** `complete` is false when no index could be asked. */
  find(query?: Query): Promise<ServiceRecord[] & { complete: boolean }>;
  /** `service` is a name or `name@publisher`; `ambiguous` when several publishers have the name and none is pinned. */
  open(service: string, options?: { deadlineMs?: number }): Promise<Session>;
  /** A session for one call. */
  call(service: string, method: string, body?: Body, options?: { deadlineMs?: number }): Promise<Uint8Array>;
  /** What this tab takes on; false: nothing. A failure shows as an `error` event. */
  volunteer(policy: VolunteerPolicy | false): void;
  /** Pulls a service and serves it here. */
  host(service: string): Promise<void>;
  /** Moves the serving role held here to peer `to`. */
  handover(service: string, to: string): Promise<HandoverReport>;
  /** The manifest and UI assets of a service. */
  package(service: string): Promise<{ manifest: Manifest; ui: Record<string, Uint8Array> }>;
  /** Stops serving here without handing over: the state is lost. A service of this peer's own that runs elsewhere is taken out of the catalogue. */
  drop(service: string): Promise<void>;
  /** Goes on with this tab's stored copy of a replicated service that this peer published (`status().waiting`), without the other copies. */
  recover(service: string): Promise<void>;
  /** Lets people find this peer by a nick name of 1 to 32 characters; null withdraws it. Kept up until the peer leaves. */
  announce(nick: string | null, profile?: string): Promise<void>;
  /** Everybody who claims a nick name, and how long the search in the DHT took. */
  lookup(nick: string): Promise<Candidate[] & { tookMs: number }>;
  /** Asks a peer's person into a conference (1 to 512 bytes that both sides understand); true when the person accepts. `nick` says who asks; by
   *  default the announced one, or the name given to `join`. `deadline` when
   *  nobody answers within 30 s, `overloaded` when the line is busy, `disconnected` when the peer cannot be reached. */
  ring(peerId: string, conference: string, nick?: string): Promise<boolean>;
  /**
   * What a bare name means to this person when several publishers have it: `open`, `call`, `host` and `package` take the pinned service, `find`
   * of the name lists it first. `null` lets go of it. Kept in this browser (in memory where it refuses), at most 256.
   */
  pin(name: string, service: ServiceId | null): void;
  /** The pinned names and what they mean. */
  pins(): Record<string, ServiceId>;
  /** What the calls of this peer's sessions cost, by service; the last 128 that were called. */
  measured(): Measured[];
  /** Bytes of memory of the modules that run in this tab, each as its last event left it. */
  memory(): number;
  /** Gives a service 1 to 5 stars, or takes them back with 0; refusals are `error` events. Relays keep ratings, one of each peer, for
   *  90 days; a publisher cannot rate its own. */
  rate(service: string, stars: number): void;
  /** Open sessions of this peer. */
  sessions(): Session[];
  /**
   * Hands over what it serves, within 10 s, to whoever takes it; stores in this browser what nobody takes; then disconnects. Says
   * what became of each service, an empty list when it had left before.
   */
  leave(): Promise<Left[]>;
  addEventListener<T extends keyof PeerEvents>(type: T, listener: (event: PeerEvents[T]) => void, options?: AddEventListenerOptions): void;
}

interface SessionEvents {
  /** An ordered message from the service. */
  message: CustomEvent<Uint8Array>;
  /** A lossy one. */
  datagram: CustomEvent<Uint8Array>;
  moved: CustomEvent<SessionInfo>;
  close: CustomEvent<{ reason: string }>;
  /** A `send` or `datagram` failed. */
  error: CustomEvent<{ code: ErrorCode; message: string }>;
}

/**
 * A connection to a service, wherever it is served. With one that runs outside of all tabs each call is a request of its own: in order,
 * not exactly once (`unknown-outcome` when its answer is lost; every call has an `Idempotency-Key`), and `send` and `datagram` are refused.
 */
export class Session extends EventTarget {
  private constructor();
  readonly id: string;
  readonly service: ServiceId;
  /** The peer that serves it now; of a service that runs outside of all tabs scheme, host and port. */
  readonly server: string;
  readonly epoch: number;
  readonly term: number;
  readonly path: Path;
  /** Exactly once and in order, across handovers. Default deadline: 30 s. */
  call(method: string, body?: Body, options?: { deadlineMs?: number }): Promise<Uint8Array>;
  /** Read-only, outside the order of calls. */
  query(method: string, body?: Body, options?: { deadlineMs?: number }): Promise<Uint8Array>;
  /**
   * As `query`, at the nearest tab that holds the state: host, replica or standby. It reads everything that was
   * acknowledged up to `maxAgeMs` ago (default: 0, everything), what this session did, and nothing older than what this
   * session read before. `ageMs` is how old what it read may be, counted until the answer left `server`.
   */
  read(method: string, body?: Body, options?: { maxAgeMs?: number; deadlineMs?: number }): Promise<{ body: Uint8Array; server: string; ageMs: number }>;
  /** An ordered message to the service. */
  send(body: Body): void;
  /** A lossy one to the session's rooms, at most 1,200 bytes. The manifest must say `permissions: { datagrams: true }`. */
  datagram(body: Body): void;
  close(): void;
  addEventListener<T extends keyof SessionEvents>(type: T, listener: (event: SessionEvents[T]) => void, options?: AddEventListenerOptions): void;
}
