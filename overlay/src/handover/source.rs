//! The source's side of a handover: what it is, and how it begins.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use crate::cx::Cx;
use crate::hosting::Hosted;
use crate::id::{BlobId, PeerId, RequestId};
use crate::io::{Error, Output, Role};
use crate::net::Net;
use crate::packages::Packages;
use crate::registry::Succession;
use crate::time::{Millis, Time};
use crate::wire::{Member, Step};

/// The target fetches and prepares the package.
pub(super) const OFFER_WITHIN: Millis = Millis::secs(30);
/// The target fetches the image.
pub(super) const SEED_WITHIN: Millis = Millis::secs(60);
/// The target executes what is left.
pub(super) const WARM_WITHIN: Millis = Millis::secs(10);
/// How long leadership may be in transfer on top of four round trips, before the source goes on serving.
pub(super) const TAKE_OVER_WITHIN: Millis = Millis(50);
/// A sealed handover has no majority to fall back on (docs/protocols/handover.md).
pub(super) const CONFIRM_WITHIN: Millis = Millis::secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Offer,
    Witness,
    /// The sandbox takes the snapshot.
    Image,
    Seed,
    Join,
    Warm,
    TakeOver,
    /// The target leads; it has not released us yet.
    Release,
    /// Sealed: the log ends here.
    Sealing,
    /// Sealed: the target founds the next epoch.
    Confirm,
}

/// What a target is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It serves in this node's place.
    Handover,
    /// It joins the replicas.
    Replica,
    /// Nobody: only a witness joins.
    Witness,
    /// It is kept warm beside this node.
    Standby,
}

/// A handover from here, or a replica that joins.
#[derive(Debug)]
pub struct Source {
    pub(super) id: u64,
    pub(super) purpose: Purpose,
    pub(super) request: Option<RequestId>,
    pub(super) target: PeerId,
    pub(super) target_raft: u64,
    pub(super) witnesses: Vec<PeerId>,
    pub(super) witness: Option<(PeerId, u64)>,
    pub(super) at: At,
    pub(super) until: Time,
    pub(super) seeded: BTreeSet<PeerId>,
    pub(super) image: Option<BlobId>,
    pub(super) bytes: u64,
    pub(super) state_bytes: u64,
    pub(super) paused_at: Option<Time>,
    pub(super) pause: Millis,
    pub(super) attempts: u32,
    /// [`TAKE_OVER_WITHIN`] and four round trips to the target.
    pub(super) slack: Millis,
    pub(super) last_warm: Option<(u64, u64)>,
    /// The target's chain of hosts.
    pub(super) succession: Succession,
}

/// How a step left the handover.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It goes on.
    On,
    /// It is over and this node is out: forget the service.
    Out {
        /// Who serves.
        to: PeerId,
        /// In which epoch and term.
        authority: (u64, u64),
    },
    /// It did not happen; this node serves on.
    Aborted,
    /// A sealed handover whose target did not confirm: serve on in this epoch.
    Resume(u64),
    /// It is done; this node goes on as a member.
    Done,
}

impl Source {
    /// Where it goes.
    pub fn target(&self) -> PeerId {
        self.target
    }

    /// What the target is wanted for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Its step, for people and simulators.
    pub fn step_name(&self) -> &'static str {
        match self.at {
            At::Offer | At::Witness => "offer",
            At::Image | At::Seed => "seed",
            At::Join => "join",
            At::Warm => "warm",
            At::TakeOver => "take-over",
            At::Release => "release",
            At::Sealing => "seal",
            At::Confirm => "confirm",
        }
    }

    /// It goes to a standby, which has the state.
    pub(super) fn is_for_standby(&self) -> bool {
        self.purpose != Purpose::Standby && self.seeded.contains(&self.target) && self.image.is_none()
    }

    /// Calls wait: the log is sealed.
    pub fn is_sealing(&self) -> bool {
        matches!(self.at, At::Sealing | At::Confirm)
    }

    /// When it wants to be woken.
    pub fn timeout(&self) -> Time {
        self.until
    }
}

impl Hosted {
    /// Begins to hand over to the holder of `succession`, or to make it a replica. The offer goes out at once.
    #[allow(clippy::too_many_arguments)]
    pub fn start_source(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &Packages,
        id: u64,
        succession: Succession,
        request: Option<RequestId>,
        purpose: Purpose,
    ) {
        let target = succession.holder();
        let resting = !self.group.is_joint() && !self.group.is_changing();
        let refusal = if self.source.is_some() {
            Some("a handover of this service is under way")
        } else if !self.is_serving() || !resting || self.wanted == 1 && self.group.voters().len() != 1 {
            Some("this node does not serve the service alone at the moment")
        } else if self.instance.as_ref().map(|instance| instance.machine().package) != self.package {
            Some("a newer version of the service is being put in place")
        } else if target == cx.me && purpose != Purpose::Witness {
            Some("the target is this node itself")
        } else if !net.is_connected(cx, target) {
            Some("the target is not connected")
        } else {
            None
        };
        let known = self.package.and_then(|package| packages.get(&package));
        let (Some(known), None) = (known, refusal) else {
            let reason = refusal.unwrap_or("the package is not here").to_owned();
            if purpose == Purpose::Handover {
                self.stays.clone_from(&reason);
            }
            if let Some(request) = request {
                cx.put(Output::Answer { request, result: Err(Error::Refused(reason)) });
            }
            return;
        };
        let round_trip =
            Millis(net.peer(&target).and_then(|peer| peer.rtt).unwrap_or(0).div_ceil(1000).min(1000));
        let standby = self.standbys(cx, net).into_iter().find(|(_, peer)| *peer == target).map(|(id, _)| id);
        let member = |(id, member): &(&u64, &Member)| {
            member.peer == target && !member.witness && !self.group.is_learner(**id)
        };
        let member = self.group.members().iter().find(member).map(|(id, _)| *id);
        let (member, standby) = match purpose {
            Purpose::Handover => (member, standby),
            Purpose::Replica => (None, standby),
            _ => (None, None),
        };
        let live = self.voters_seen(cx.now).into_iter().filter(|voter| voter.live && !voter.witness);
        let holders: BTreeSet<PeerId> =
            live.filter_map(|voter| self.group.members().get(&voter.id)).map(|member| member.peer).collect();
        self.source = Some(Source {
            id,
            purpose,
            request,
            target,
            target_raft: 0,
            witnesses: witnesses(net, &holders, target),
            witness: None,
            at: At::Offer,
            until: cx.now + OFFER_WITHIN,
            seeded: BTreeSet::new(),
            image: None,
            bytes: known.package.module.size,
            state_bytes: 0,
            paused_at: None,
            pause: Millis(0),
            attempts: 0,
            slack: Millis(TAKE_OVER_WITHIN.0 + 4 * round_trip.0),
            last_warm: None,
            succession,
        });
        if let Some(raft_id) = member {
            // A replica has the state already: it only has to be warm.
            if let Some(source) = &mut self.source {
                (source.target_raft, source.at, source.until) = (raft_id, At::Warm, cx.now + WARM_WITHIN);
                source.bytes = 0;
            }
            self.say(cx, net, target, Step::AskWarm);
            return self.tell(cx, "warm", "");
        }
        if let (Some(raft_id), Some(source)) = (standby, &mut self.source) {
            // It has the state already, and no vote yet.
            source.target_raft = raft_id;
            // One that an earlier host made cost it about as much as this host.
            let size = self.instance.as_ref().map_or(0, |instance| instance.image_bytes());
            (source.bytes, source.state_bytes) =
                self.seeded.get(&raft_id).copied().unwrap_or((source.bytes, size));
            source.seeded.insert(target);
            if purpose == Purpose::Handover {
                self.say(cx, net, target, Step::AskWarm);
            }
            self.tell(cx, "offer", "");
            return match self.takes_witness(cx) {
                true => self.ask_witness(cx, net),
                false => self.begin_join(cx),
            };
        }
        if purpose == Purpose::Witness {
            return self.ask_witness(cx, net);
        }
        let offer = Step::Offer {
            record: ByteBuf::from(self.record.clone()),
            manifest: ByteBuf::from(known.json.clone()),
            signature: ByteBuf::from(known.signature.to_vec()),
            succession: self.succession.clone(),
            standby: purpose == Purpose::Standby,
        };
        self.say(cx, net, target, offer);
        self.tell(cx, "offer", "");
    }
}

/// Who may be the third voter, best last: tabs, then relays; the nearest of each. Never one of the state's `holders`.
fn witnesses(net: &Net, holders: &BTreeSet<PeerId>, target: PeerId) -> Vec<PeerId> {
    let mut found: Vec<(bool, std::cmp::Reverse<u64>, PeerId)> = net
        .peers()
        .filter(|(id, _)| *id != target && !holders.contains(id))
        .filter_map(|(id, peer)| {
            let hello = peer.hello.as_ref().filter(|hello| hello.witness)?;
            Some((hello.role == Role::Relay, std::cmp::Reverse(peer.rtt.unwrap_or(u64::MAX)), id))
        })
        .collect();
    found.sort();
    let keep = found.len().saturating_sub(6);
    found.split_off(keep).into_iter().map(|(_, _, id)| id).collect()
}
