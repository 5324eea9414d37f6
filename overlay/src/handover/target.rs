//! The target's and the witness's side of a handover, before they are members of the group.

use std::collections::BTreeMap;

use crate::cx::Cx;
use crate::group::Group;
use crate::hosting::{Hosted, Incoming};
use crate::id::{BlobId, InstanceId, PackageId, PeerId, RequestId, ServiceId};
use crate::instance::{Image, Instance};
use crate::io::Lane;
use crate::net::Net;
use crate::packages::Packages;
use crate::registry::{ServiceRecord, Succession};
use crate::seeded::{self, SeededBug};
use crate::time::{Millis, Time};
use crate::wire::{Control, LogStart, Step};

/// Handovers to here at once.
pub const MAX_TARGETS: usize = 16;
/// Groups that this node is a witness of, or is asked to be.
pub const MAX_WITNESSED: usize = 64;
/// Of these, groups of one peer.
pub const MAX_WITNESSED_PER_PEER: usize = 16;
/// Commands that wait for one service.
const MAX_WAITING: usize = 16;
/// A source that says nothing for this long has given up.
const SILENCE: Millis = Millis::secs(60);

#[derive(Debug)]
enum At {
    /// The package is fetched and compiled.
    Prepare,
    /// The source makes the image.
    Wait,
    /// The image is fetched.
    Fetch { image: BlobId, seed: Seed },
}

/// What a source says of a state that it seeds.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Where the log goes on.
    pub start: LogStart,
    /// The source is out already.
    pub sealed: bool,
    /// How this node comes to host it.
    pub succession: Succession,
    /// This node becomes one of several replicas.
    pub replica: bool,
}

/// A handover to here, until the group is joined.
#[derive(Debug)]
pub struct Target {
    id: u64,
    source: PeerId,
    name: String,
    record: Vec<u8>,
    genesis: PeerId,
    package: PackageId,
    raft_id: u64,
    at: At,
    until: Time,
}

/// A promise to be a witness.
#[derive(Debug)]
struct Promise {
    id: u64,
    source: PeerId,
    name: String,
    raft_id: u64,
    until: Time,
}

/// All handovers to here.
#[derive(Debug, Default)]
pub struct Targets {
    targets: BTreeMap<ServiceId, Target>,
    promises: BTreeMap<ServiceId, Promise>,
    /// Services that this node asked for: who asks, until when, whom.
    wanted: BTreeMap<ServiceId, Wanted>,
}

/// A `host` command under way.
#[derive(Debug)]
pub struct Wanted {
    /// The commands that wait for it.
    pub requests: Vec<RequestId>,
    /// The service as it was asked for.
    pub name: String,
    /// Who serves now.
    pub from: PeerId,
    /// When it fails.
    pub until: Time,
}

/// A state that arrived and may start here.
pub struct Arrival {
    /// What the instance starts from.
    pub image: Image,
    /// What the source says of it.
    pub seed: Seed,
    /// The handover.
    pub target: Target,
}

impl Targets {
    /// Remembers a `host` command.
    pub fn want(&mut self, service: ServiceId, wanted: Wanted) {
        self.wanted.insert(service, wanted);
    }

    /// Lets another command wait for a service that is on its way already. False when none is.
    pub fn want_too(&mut self, service: &ServiceId, request: RequestId) -> bool {
        let wanted = self.wanted.get_mut(service).filter(|wanted| wanted.requests.len() < MAX_WAITING);
        wanted.map(|wanted| wanted.requests.push(request)).is_some()
    }

    /// Did this node ask that peer for the service.
    pub fn wants(&self, service: &ServiceId, from: PeerId) -> bool {
        self.wanted.get(service).is_some_and(|wanted| wanted.from == from)
    }

    /// Ends a `host` command.
    pub fn take_wanted(&mut self, service: &ServiceId) -> Option<Wanted> {
        self.wanted.remove(service)
    }

    /// `host` commands that took too long.
    pub fn late_wanted(&mut self, now: Time) -> Vec<(ServiceId, Wanted)> {
        let late: Vec<_> =
            self.wanted.iter().filter(|(_, wanted)| wanted.until <= now).map(|(id, _)| *id).collect();
        late.into_iter().filter_map(|id| Some((id, self.wanted.remove(&id)?))).collect()
    }

    /// Handovers to here that are under way: service and package.
    pub fn coming(&self) -> impl Iterator<Item = (&ServiceId, PackageId)> {
        self.targets.iter().map(|(service, target)| (service, target.package))
    }

    /// Takes an offer that was found good: prepares the package.
    #[allow(clippy::too_many_arguments)]
    pub fn accept(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        service: ServiceId,
        id: u64,
        source: PeerId,
        (known, record): (&ServiceRecord, Vec<u8>),
    ) {
        let (name, package, genesis) = (known.full_name(), known.package, known.genesis.host);
        let raft_id = cx.random_id();
        let until = cx.now + SILENCE;
        let target = Target { id, source, name, record, genesis, package, raft_id, at: At::Prepare, until };
        self.targets.insert(service, target);
        packages.prepare(cx, net, package, &[source]);
    }

    /// Promises to be a witness.
    pub fn promise(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        service: ServiceId,
        id: u64,
        source: PeerId,
        name: String,
    ) {
        let raft_id = cx.random_id();
        self.promises.insert(service, Promise { id, source, name, raft_id, until: cx.now + SILENCE });
        say(cx, net, service, source, id, Step::Ready { raft_id });
    }

    /// Does another peer hand the service over to here. Its handover is not displaced by an offer of anybody else.
    pub fn comes_from_other(&self, service: &ServiceId, from: PeerId) -> bool {
        self.targets.get(service).is_some_and(|target| target.source != from)
    }

    /// Did this node promise another peer to be the service's witness.
    pub fn is_promised_to_other(&self, service: &ServiceId, from: PeerId) -> bool {
        self.promises.get(service).is_some_and(|promise| promise.source != from)
    }

    /// Promises to be a witness that are not redeemed yet.
    pub fn promised(&self) -> usize {
        self.promises.len()
    }

    /// Those of them to one peer.
    pub fn promised_to(&self, source: PeerId) -> usize {
        self.promises.values().filter(|promise| promise.source == source).count()
    }

    /// Handovers to here.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// The package was prepared, or was not.
    pub fn on_prepared(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        package: PackageId,
        result: &Result<(), String>,
    ) {
        let waiting = |target: &Target| target.package == package && matches!(target.at, At::Prepare);
        let services: Vec<ServiceId> =
            self.targets.iter().filter(|(_, target)| waiting(target)).map(|(id, _)| *id).collect();
        for service in services {
            match result {
                Ok(()) => {
                    if let Some(target) = self.targets.get_mut(&service) {
                        target.at = At::Wait;
                        target.until = cx.now + SILENCE;
                        say(
                            cx,
                            net,
                            service,
                            target.source,
                            target.id,
                            Step::Ready { raft_id: target.raft_id },
                        );
                    }
                }
                Err(reason) => self.refuse(cx, net, service, reason),
            }
        }
    }

    /// The source says where the state is.
    #[allow(clippy::too_many_arguments)]
    pub fn on_seed(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        service: ServiceId,
        from: PeerId,
        id: u64,
        (image, image_bytes): (BlobId, u64),
        seed: Seed,
    ) {
        let Some(target) = self.targets.get_mut(&service).filter(|t| t.source == from && t.id == id) else {
            return;
        };
        if !matches!(target.at, At::Wait) {
            return;
        }
        let Some(known) = packages.get(&target.package) else { return };
        let cap = image_cap(
            known.package.manifest.requires.memory_mib,
            known.package.manifest.requires.storage_mib,
        );
        if image_bytes > cap {
            let reason = format!("the state has {image_bytes} bytes, more than the manifest allows");
            return self.refuse(cx, net, service, &reason);
        }
        let proven = seed.succession.proves(service, target.genesis, cx.me);
        if !proven && !seed.succession.is_full(service, cx.me) {
            return self.refuse(cx, net, service, "the source did not sign this node as its successor");
        }
        target.at = At::Fetch { image, seed };
        target.until = cx.now + SILENCE;
        packages.fetch_image(cx, net, image, image_bytes, from);
    }

    /// An image came, or did not. Gives the handover that it is for.
    pub fn on_blob(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &Packages,
        blob: BlobId,
        result: &Result<Vec<u8>, String>,
    ) -> Option<(ServiceId, Arrival)> {
        let fetches = |target: &Target| matches!(target.at, At::Fetch { image, .. } if image == blob);
        let service = self.targets.iter().find(|(_, target)| fetches(target)).map(|(id, _)| *id)?;
        let unpacked = match result {
            Err(reason) => Err(reason.clone()),
            Ok(bytes) => {
                let target = self.targets.get(&service)?;
                let At::Fetch { seed, .. } = &target.at else { return None };
                let requires = &packages.get(&target.package)?.package.manifest.requires;
                let mib = |mib: u32| u64::from(mib) << 20;
                Image::unpack(bytes, seed.start.index, mib(requires.memory_mib), mib(requires.storage_mib))
                    .map_err(|error| error.to_string())
            }
        };
        match unpacked {
            Err(reason) => {
                self.refuse(cx, net, service, &reason);
                None
            }
            Ok(image) => {
                let target = self.targets.remove(&service)?;
                let At::Fetch { seed, .. } = &target.at else { return None };
                let seed = seed.clone();
                Some((service, Arrival { image, seed, target }))
            }
        }
    }

    /// The source says where the log of a promised group starts.
    pub fn on_seed_witness(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        service: ServiceId,
        from: PeerId,
        id: u64,
        start: &LogStart,
    ) -> Option<Hosted> {
        self.promises.get(&service).filter(|promise| promise.source == from && promise.id == id)?;
        let promise = self.promises.remove(&service)?;
        let group = Group::join(cx, promise.raft_id, start, true);
        say(cx, net, service, from, id, Step::Seeded);
        let mut hosted = Hosted::new(cx, service, promise.name, group, None);
        hosted.succession = Succession::of(from);
        Some(hosted)
    }

    /// The source gave up.
    pub fn on_refuse(&mut self, service: &ServiceId, from: PeerId, id: u64) {
        self.targets.retain(|key, target| key != service || target.source != from || target.id != id);
        self.promises.retain(|key, promise| key != service || promise.source != from || promise.id != id);
    }

    /// A peer is gone.
    pub fn on_unreachable(&mut self, peer: PeerId) {
        // A sealed target goes on with what it has; it fetches from nobody else.
        self.targets.retain(|_, target| target.source != peer);
        self.promises.retain(|_, promise| promise.source != peer);
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, now: Time) {
        self.targets.retain(|_, target| target.until > now);
        self.promises.retain(|_, promise| promise.until > now);
    }

    /// When [`Targets::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let targets = self.targets.values().map(|target| target.until);
        let promises = self.promises.values().map(|promise| promise.until);
        targets.chain(promises).chain(self.wanted.values().map(|wanted| wanted.until)).min()
    }

    fn refuse(&mut self, cx: &mut Cx, net: &mut Net, service: ServiceId, reason: &str) {
        if let Some(target) = self.targets.remove(&service) {
            let reason = reason.chars().take(400).collect();
            say(cx, net, service, target.source, target.id, Step::Refuse { reason });
        }
    }
}

impl Arrival {
    /// The handover: who hands over, and its id.
    pub fn handover(&self) -> (PeerId, u64) {
        (self.target.source, self.target.id)
    }

    /// Makes the group and the instance. The source is told once the instance runs ([`Hosted::on_instance_ready`]).
    pub fn start(self, cx: &mut Cx, packages: &Packages, service: ServiceId, instance: InstanceId) -> Hosted {
        let Arrival { mut image, seed, target } = self;
        if seeded::has(SeededBug::DedupeLostInHandover) {
            image.machine.forget_executed();
        }
        let Seed { start, sealed, succession, replica } = seed;
        let executed = image.index;
        let instance = Instance::new(cx, instance, target.package, executed, Some(image));
        let group = if sealed {
            // A term ahead of the source, should that come back from its disk.
            Group::found(cx, start.epoch, start.index, start.term + 1)
        } else {
            Group::join(cx, target.raft_id, &start, false)
        };
        let mut hosted = Hosted::new(cx, service, target.name, group, Some(instance));
        hosted.record = target.record;
        hosted.succession = succession;
        hosted.incoming = Some(Incoming { id: target.id, source: target.source, replica });
        if let Some(known) = packages.get(&target.package) {
            hosted.runs(target.package, &known.package.manifest);
            hosted.wanted = known.package.manifest.state.voters().max(1);
        }
        hosted
    }
}

impl Hosted {
    /// The module runs: the source may go on.
    pub fn on_instance_ready(&mut self, cx: &mut Cx, net: &mut Net) {
        if let Some(incoming) = self.incoming.filter(|_| !self.group.leads()) {
            say(cx, net, self.service, incoming.source, incoming.id, Step::Seeded);
        }
    }

    /// This node serves alone: source and witness are out. `former` are the peers that were members.
    pub fn release_others(&mut self, cx: &mut Cx, net: &mut Net, former: impl IntoIterator<Item = PeerId>) {
        let id = self.incoming.map_or(0, |incoming| incoming.id);
        let step = Step::Release { epoch: self.group.epoch(), term: self.group.term() };
        for peer in former {
            if peer != cx.me {
                say(cx, net, self.service, peer, id, step.clone());
            }
        }
    }
}

/// The most bytes of a packed image: lz4 can grow what it cannot compress by less than one percent.
fn image_cap(memory_mib: u32, storage_mib: u32) -> u64 {
    (u64::from(memory_mib) + u64::from(storage_mib) + 65) << 20
}

fn say(cx: &mut Cx, net: &mut Net, service: ServiceId, to: PeerId, id: u64, step: Step) {
    net.send_or_dial(cx, to, Lane::Control, &Control::Handover { service, id, step });
}
