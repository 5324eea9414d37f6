//! Packages that this node knows, fetches, prepares and gives to others; state images for handovers.

use std::collections::{BTreeMap, BTreeSet};

use crate::cx::{Cx, Signal};
use crate::id::{BlobId, PackageId, PeerId};
use crate::io::{Lane, Output};
use crate::manifest::{self, Package, Signature};
use crate::net::Net;
use crate::sandbox::SandboxCommand;
use crate::time::{Millis, Time};
use crate::transfer::{BulkMessage, ChunkStore, Fetch, FetchEvent, Sharing};
use crate::wire::Control;

/// Chunks that a node keeps in memory, in bytes.
const STORE: u64 = 512 * 1024 * 1024;
/// Manifests that a node keeps.
const MAX_KNOWN: usize = 1024;
/// Packages that are in use or on their way, at most.
const MAX_PREPARATIONS: usize = 60;
/// Prepared packages that are kept when nothing uses them; the sandbox keeps 64.
const MAX_PREPARED: usize = 24;
/// Blobs that are fetched at once.
const MAX_FETCHES: usize = 32;
/// Weight of the newest measurement of what a preparation costs.
const COST_SMOOTHING: f64 = 0.4;
/// How long one peer may take to give a manifest before the next is asked.
const MANIFEST_TIMEOUT: Millis = Millis::secs(3);

/// A signed manifest.
#[derive(Clone, Debug)]
pub struct Known {
    /// Canonical JSON.
    pub json: Vec<u8>,
    /// The publisher's.
    pub signature: Signature,
    /// What it says.
    pub package: Package,
}

#[derive(Debug, PartialEq, Eq)]
enum Preparation {
    /// The module is on its way.
    Fetching(BlobId),
    /// The sandbox inspects and compiles it.
    Compiling,
    Ready,
}

#[derive(Debug)]
struct Asking {
    providers: Vec<PeerId>,
    until: Time,
}

/// All packages of a node.
#[derive(Debug)]
pub struct Packages {
    store: ChunkStore,
    known: BTreeMap<PackageId, Known>,
    asking: BTreeMap<PackageId, Asking>,
    preparations: BTreeMap<PackageId, Preparation>,
    fetches: BTreeMap<BlobId, Fetch>,
    /// Packages that the sandbox refused: trying again would not help.
    refused: BTreeSet<PackageId>,
    /// Fetches of state images: what they bring is not given to others.
    private: BTreeSet<BlobId>,
    /// Who may read a private blob.
    readers: BTreeMap<BlobId, BTreeSet<PeerId>>,
    /// What preparing costs here.
    costs: Costs,
    /// When the step under way of a preparation began.
    begun: BTreeMap<PackageId, Time>,
    /// Manifests of this node's own that nobody runs: no other makes them go.
    kept: BTreeSet<PackageId>,
}

/// What a KiB of a module costs, in ms: at first a guess (4 Mbit/s, 2 MiB/s), then smoothed measurements.
#[derive(Debug)]
struct Costs {
    fetch: f64,
    compile: f64,
}

impl Costs {
    fn note(cost: &mut f64, took: Millis, bytes: u64) {
        let sample = took.0 as f64 / (bytes as f64 / 1024.0).max(1.0);
        *cost += COST_SMOOTHING * (sample - *cost);
    }

    /// What a module of so many bytes takes, fetched at this cost.
    fn of(&self, bytes: u64, fetch: f64) -> f64 {
        bytes as f64 / 1024.0 * (fetch + self.compile)
    }
}

impl Packages {
    /// None yet.
    pub fn new() -> Self {
        Self {
            store: ChunkStore::new(STORE),
            known: BTreeMap::new(),
            asking: BTreeMap::new(),
            preparations: BTreeMap::new(),
            fetches: BTreeMap::new(),
            refused: BTreeSet::new(),
            private: BTreeSet::new(),
            readers: BTreeMap::new(),
            costs: Costs { fetch: 2.0, compile: 0.5 },
            begun: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    /// A package that is known.
    pub fn get(&self, package: &PackageId) -> Option<&Known> {
        self.known.get(package)
    }

    /// Checks a signed manifest and keeps it.
    pub fn learn(&mut self, cx: &mut Cx, json: &[u8], signature: &[u8]) -> Result<PackageId, String> {
        let signature: Signature =
            signature.try_into().map_err(|_| "the signature has the wrong size".to_owned())?;
        let package = manifest::verify(json, &signature).map_err(|error| error.to_string())?;
        let id = package.id;
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&id) {
            let unused = |id: &&PackageId| !self.preparations.contains_key(id) && !self.kept.contains(id);
            let unused = self.known.keys().find(unused).copied();
            unused.map(|id| self.known.remove(&id)).ok_or("too many packages are in use here")?;
        }
        self.known.insert(id, Known { json: json.to_vec(), signature, package });
        if self.asking.remove(&id).is_some() {
            cx.signal(Signal::Manifest(id, Ok(())));
        }
        Ok(id)
    }

    /// Keeps a manifest whatever else comes.
    pub fn keep(&mut self, package: PackageId) {
        self.kept.insert(package);
    }

    /// It may go when others need its place.
    pub fn let_go(&mut self, package: &PackageId) {
        self.kept.remove(package);
    }

    /// Adds a file of a package of this node's own.
    pub fn add_file(&mut self, bytes: &[u8]) -> Result<BlobId, String> {
        self.store.insert(bytes, Sharing::Public, true).map_err(|full| full.to_string())
    }

    /// The bytes of a public file that is here.
    pub fn bytes(&self, blob: BlobId) -> Option<Vec<u8>> {
        self.store.read(blob)
    }

    /// Adds a state image that only `reader` may fetch.
    pub fn add_image(&mut self, bytes: &[u8], reader: PeerId) -> Result<BlobId, String> {
        let blob = self.store.insert(bytes, Sharing::Private, true).map_err(|full| full.to_string())?;
        self.readers.entry(blob).or_default().insert(reader);
        Ok(blob)
    }

    /// Forgets a state image.
    pub fn remove_image(&mut self, blob: BlobId) {
        if self.readers.remove(&blob).is_some() {
            self.store.remove(blob);
        }
    }

    /// What it would take to have a known package prepared, in ms, as downloads and compilations here took before.
    pub fn cost_ms(&self, package: &PackageId) -> Option<f64> {
        let module = self.known.get(package)?.package.module;
        if self.preparations.get(package) == Some(&Preparation::Ready) {
            return Some(0.0);
        }
        let fetch = if self.store.contains(module.hash) { 0.0 } else { self.costs.fetch };
        Some(self.costs.of(module.size, fetch))
    }

    /// What it takes to fetch and prepare a known package that is not here, in ms.
    pub fn module_cost_ms(&self, package: &PackageId) -> Option<f64> {
        let module = self.known.get(package)?.package.module;
        Some(self.costs.of(module.size, self.costs.fetch))
    }

    /// Did the sandbox refuse it.
    pub fn is_refused(&self, package: &PackageId) -> bool {
        self.refused.contains(package)
    }

    /// Is a manifest asked for.
    pub fn is_asked(&self, package: &PackageId) -> bool {
        self.asking.contains_key(package)
    }

    /// Gets a manifest; ends in [`Signal::Manifest`].
    pub fn find_manifest(&mut self, cx: &mut Cx, net: &mut Net, package: PackageId, providers: Vec<PeerId>) {
        if self.known.contains_key(&package) {
            cx.signal(Signal::Manifest(package, Ok(())));
        } else {
            self.asking.insert(package, Asking { providers, until: cx.now });
            self.ask_next(cx, net, package);
        }
    }

    /// Makes a known package ready to be instantiated; ends in [`Signal::Prepared`].
    pub fn prepare(&mut self, cx: &mut Cx, net: &mut Net, package: PackageId, providers: &[PeerId]) {
        let Some(known) = self.known.get(&package) else {
            return cx.signal(Signal::Prepared(package, Err("its manifest is not known".to_owned())));
        };
        let module = known.package.module;
        if self.preparations.len() >= MAX_PREPARATIONS && !self.preparations.contains_key(&package) {
            let reason = "too many packages are in use here".to_owned();
            return cx.signal(Signal::Prepared(package, Err(reason)));
        }
        match self.preparations.get(&package) {
            Some(Preparation::Ready) => cx.signal(Signal::Prepared(package, Ok(()))),
            Some(Preparation::Fetching(_)) => {
                if let Some(fetch) = self.fetches.get_mut(&module.hash) {
                    fetch.add_providers(cx.now, providers.iter().copied());
                }
            }
            Some(Preparation::Compiling) => {}
            None if self.store.contains(module.hash) => self.compile(cx, package),
            None => {
                self.preparations.insert(package, Preparation::Fetching(module.hash));
                self.begun.insert(package, cx.now);
                self.fetch(cx, net, module.hash, module.size, providers);
            }
        }
    }

    /// Gets a blob; ends in [`Signal::Blob`].
    pub fn fetch(&mut self, cx: &mut Cx, net: &mut Net, blob: BlobId, cap: u64, providers: &[PeerId]) {
        if let Some(bytes) = self.store.get(blob) {
            return cx.signal(Signal::Blob(blob, Ok(bytes)));
        }
        if self.fetches.len() >= MAX_FETCHES && !self.fetches.contains_key(&blob) {
            return cx.signal(Signal::Blob(blob, Err("too many downloads are under way".to_owned())));
        }
        let providers: Vec<PeerId> = providers.iter().filter(|peer| **peer != cx.me).copied().collect();
        let now = cx.now;
        self.fetches
            .entry(blob)
            .and_modify(|fetch| fetch.add_providers(now, providers.iter().copied()))
            .or_insert_with(|| Fetch::new(blob, cap, providers.iter().copied(), now));
        self.poll_fetch(cx, net, blob);
    }

    /// Gets a state image from the peer that made it; ends in [`Signal::Blob`].
    pub fn fetch_image(&mut self, cx: &mut Cx, net: &mut Net, blob: BlobId, cap: u64, from: PeerId) {
        self.private.insert(blob);
        self.fetch(cx, net, blob, cap, &[from]);
        if !self.fetches.contains_key(&blob) {
            self.private.remove(&blob);
        }
    }

    /// A frame of the bulk lane.
    pub fn handle_bulk(&mut self, cx: &mut Cx, net: &mut Net, from: PeerId, frame: &[u8]) {
        let Ok(message) = BulkMessage::decode(frame) else { return };
        let readers = &self.readers;
        let may_read = |blob| readers.get(&blob).is_some_and(|readers| readers.contains(&from));
        if let Some(answer) = self.store.serve(&message, may_read) {
            net.send_frame(cx, from, Lane::Bulk, answer.encode());
            return;
        }
        let blob = message.blob();
        let Some(fetch) = self.fetches.get_mut(&blob) else { return };
        let is_list = matches!(message, BulkMessage::BlobMeta { .. });
        fetch.on_message(cx.now, from, message);
        if is_list {
            fetch.fill_from(&self.store);
        }
        // What came makes room for requests of other fetches to the same peer.
        let others = self.fetches.iter().filter(|(_, fetch)| fetch.in_flight().any(|(peer, _)| peer == from));
        let others: Vec<BlobId> = others.map(|(id, _)| *id).filter(|id| *id != blob).collect();
        self.poll_fetch(cx, net, blob);
        for other in others {
            self.poll_fetch(cx, net, other);
        }
    }

    /// A peer has no such package.
    pub fn on_no_package(&mut self, cx: &mut Cx, net: &mut Net, package: PackageId) {
        if self.asking.contains_key(&package) {
            self.ask_next(cx, net, package);
        }
    }

    /// A peer is gone, or cannot be reached.
    pub fn on_unreachable(&mut self, cx: &mut Cx, net: &mut Net, peer: PeerId) {
        for blob in self.fetches.keys().copied().collect::<Vec<_>>() {
            if let Some(fetch) = self.fetches.get_mut(&blob) {
                fetch.on_disconnected(peer);
            }
            self.poll_fetch(cx, net, blob);
        }
    }

    /// Are more packages prepared than are kept for later.
    pub fn has_surplus(&self) -> bool {
        self.preparations.len() > MAX_PREPARED
    }

    /// Makes the sandbox forget prepared packages that nothing uses, when there are many.
    pub fn release_unused(&mut self, cx: &mut Cx, used: &BTreeSet<PackageId>) {
        let unused =
            |(id, state): &(&PackageId, &Preparation)| **state == Preparation::Ready && !used.contains(id);
        let unused: Vec<PackageId> = self.preparations.iter().filter(unused).map(|(id, _)| *id).collect();
        let surplus = self.preparations.len().saturating_sub(MAX_PREPARED);
        for package in unused.into_iter().take(surplus) {
            self.preparations.remove(&package);
            cx.put(Output::Sandbox(SandboxCommand::Release { package }));
        }
    }

    /// The sandbox compiled a module or refused it.
    pub fn on_compiled(&mut self, cx: &mut Cx, package: PackageId, result: Result<(), String>) {
        if self.preparations.get(&package) == Some(&Preparation::Compiling) {
            let took = self.begun.remove(&package).map(|at| cx.now.since(at));
            if let (Some(took), Some(known)) = (took.filter(|_| result.is_ok()), self.known.get(&package)) {
                Costs::note(&mut self.costs.compile, took, known.package.module.size);
            }
            match &result {
                Ok(()) => self.preparations.insert(package, Preparation::Ready),
                Err(_) => {
                    if self.refused.len() >= MAX_KNOWN {
                        self.refused.pop_first();
                    }
                    self.refused.insert(package);
                    self.preparations.remove(&package)
                }
            };
            cx.signal(Signal::Prepared(package, result));
        }
    }

    /// A blob for [`Packages::prepare`] may have come.
    pub fn on_blob(&mut self, cx: &mut Cx, blob: BlobId, result: &Result<Vec<u8>, String>) {
        let waits = |preparation: &Preparation| *preparation == Preparation::Fetching(blob);
        let packages: Vec<PackageId> =
            self.preparations.iter().filter(|(_, state)| waits(state)).map(|(id, _)| *id).collect();
        for package in packages {
            let took = self.begun.remove(&package).map(|at| cx.now.since(at));
            match result {
                Ok(bytes) => {
                    let measured = took.map(|took| (took, bytes.len() as u64));
                    measured.inspect(|(took, bytes)| Costs::note(&mut self.costs.fetch, *took, *bytes));
                    self.compile(cx, package);
                }
                Err(reason) => {
                    self.preparations.remove(&package);
                    cx.signal(Signal::Prepared(package, Err(format!("the module cannot be had: {reason}"))));
                }
            }
        }
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, cx: &mut Cx, net: &mut Net) {
        for blob in self.fetches.keys().copied().collect::<Vec<_>>() {
            self.poll_fetch(cx, net, blob);
        }
        let late = self.asking.iter().filter(|(_, asking)| asking.until <= cx.now);
        for package in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ask_next(cx, net, package);
        }
    }

    /// When [`Packages::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let fetches = self.fetches.values().filter_map(Fetch::timeout);
        fetches.chain(self.asking.values().map(|asking| asking.until)).min()
    }

    fn compile(&mut self, cx: &mut Cx, package: PackageId) {
        let Some(known) = self.known.get(&package) else { return };
        let limits = manifest::limits(&known.package.manifest);
        let examples = manifest::examples(&known.package.manifest);
        if let Some(module) = self.store.get(known.package.module.hash) {
            self.preparations.insert(package, Preparation::Compiling);
            self.begun.insert(package, cx.now);
            cx.put(Output::Sandbox(SandboxCommand::Prepare { package, module, limits, examples }));
        }
    }

    fn ask_next(&mut self, cx: &mut Cx, net: &mut Net, package: PackageId) {
        let Some(asking) = self.asking.get_mut(&package) else { return };
        while let Some(peer) = asking.providers.pop() {
            if peer != cx.me && net.send_or_dial(cx, peer, Lane::Control, &Control::GetPackage(package)) {
                asking.until = cx.now + MANIFEST_TIMEOUT;
                return;
            }
        }
        self.asking.remove(&package);
        cx.signal(Signal::Manifest(package, Err("nobody who has it could be reached".to_owned())));
    }

    fn poll_fetch(&mut self, cx: &mut Cx, net: &mut Net, blob: BlobId) {
        let mut beside: BTreeMap<PeerId, usize> = BTreeMap::new();
        for (_, other) in self.fetches.iter().filter(|(id, _)| **id != blob) {
            for (peer, count) in other.in_flight() {
                *beside.entry(peer).or_default() += count;
            }
        }
        let Some(fetch) = self.fetches.get_mut(&blob) else { return };
        for (peer, message) in fetch.poll_beside(cx.now, &beside) {
            let reachable = net.is_connected(cx, peer) || net.connect(cx, peer);
            if net.is_connected(cx, peer) {
                net.send_frame(cx, peer, Lane::Bulk, message.encode());
            } else if !reachable {
                fetch.on_disconnected(peer);
            }
        }
        while let Some(event) = fetch.poll_event() {
            if event == FetchEvent::Rediscover {
                // Everybody who is connected may hold it: a downloader is a provider.
                let peers: Vec<PeerId> = net.peers().map(|(id, _)| id).take(16).collect();
                fetch.add_providers(cx.now, peers);
            }
        }
        if fetch.result().is_none() {
            return;
        }
        let result = self.fetches.remove(&blob).and_then(Fetch::take);
        let private = self.private.remove(&blob);
        let result = match result {
            Some(Ok(bytes)) if private => Ok(bytes),
            Some(Ok(bytes)) => self
                .store
                .insert(&bytes, Sharing::Public, false)
                .map(|_| bytes)
                .map_err(|full| full.to_string()),
            Some(Err(error)) => Err(error.to_string()),
            None => return,
        };
        cx.signal(Signal::Blob(blob, result));
    }
}
