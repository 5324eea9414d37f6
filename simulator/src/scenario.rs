//! Scenario files: who is there, how links behave, what goes wrong when.
//!
//! ```
//! let scenario: simulator::scenario::Scenario = toml::from_str(
//!     r#"
//!     name = "one handover after the other"
//!     volunteers = 4
//!     consumers = 2
//!     [handovers]
//!     every_ms = 2000
//!     "#,
//! )
//! .expect("valid");
//! assert_eq!(scenario.relays, 2);
//! assert_eq!(scenario.service.state, "single");
//! ```

use serde::Deserialize;

use crate::link::LinkModel;
use crate::rng::Rng;

/// A simulated experiment. All fields but the name have defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// For people.
    pub name: String,
    /// Virtual seconds in which faults happen.
    #[serde(default = "defaults::seconds")]
    pub seconds: u64,
    /// Virtual seconds after that, in which all must recover; then the final checks are made.
    #[serde(default = "defaults::quiet_seconds")]
    pub quiet_seconds: u64,
    /// Native nodes.
    #[serde(default = "defaults::relays")]
    pub relays: usize,
    /// Tabs that take services; the first ones publish.
    #[serde(default = "defaults::volunteers")]
    pub volunteers: usize,
    /// Tabs that open sessions and call.
    #[serde(default = "defaults::consumers")]
    pub consumers: usize,
    /// The links.
    #[serde(default)]
    pub link: LinkModel,
    /// What is published.
    #[serde(default)]
    pub service: ServiceModel,
    /// What consumers do.
    #[serde(default)]
    pub calls: CallModel,
    /// Planned moves of services.
    #[serde(default)]
    pub handovers: Handovers,
    /// Faults at steps of a handover; each seed gets one combination of fault, victim and step.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Faults at random times.
    #[serde(default)]
    pub churn: Churn,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceModel {
    /// How many services; each by another volunteer.
    pub count: usize,
    /// The toy module (`sandbox`).
    pub module: String,
    /// The manifest's `state`.
    pub state: String,
    /// The manifest's `qos.standby`.
    pub standby: u32,
    /// The first volunteer publishes all of them.
    pub one_publisher: bool,
}

/// What consumers do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallModel {
    /// Calls of each consumer.
    pub per_second: u64,
    /// Calls that may wait for their replies at the same time.
    pub in_flight: usize,
    /// Share of calls that are broadcast to everybody.
    pub say: f64,
    /// Reads of each consumer, at any copy of the state.
    pub reads_per_second: u64,
    /// A consumer closes its session after this many calls and opens another; 0 means never.
    pub session_calls: u64,
    /// Consumers use a counter, registers and queues, and what they ask and hear is recorded and checked.
    pub ledger: bool,
}

/// Planned moves.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Handovers {
    /// Time between the end of a move and the start of the next; 0 means none.
    pub every_ms: u64,
    /// At most this many; 0 means no limit.
    pub most: u64,
}

/// A fault at a step of a handover.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To whom; each seed takes one.
    pub who: Vec<Role>,
    /// At which step; each seed takes one. Steps are those of [`STEPS`].
    #[serde(default = "defaults::steps")]
    pub at: Vec<String>,
    /// Up to this many ms after the step.
    #[serde(default = "defaults::delay_ms")]
    pub delay_ms: u64,
    /// How long a freeze or a block lasts.
    #[serde(default = "defaults::fault_seconds")]
    pub seconds: u64,
}

/// What happens to a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing: handovers that should all succeed.
    None,
    /// Its person closes the page: it has time for a last word, then it dies, and its peers notice soon.
    Leave,
    /// It dies; its peers notice soon.
    Close,
    /// It dies; its peers notice after 12 to 17 s.
    Kill,
    /// Its clock stops for a while.
    Freeze,
    /// Nothing it sends arrives for a while.
    Mute,
    /// It hears and says nothing for a while.
    Isolate,
    /// It and some consumers are on one side of a split for a while, all others on the other.
    Split,
    /// Its connections break once; it may connect again at once.
    Cut,
}

/// A part in a handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Who served.
    Source,
    /// Who is to serve.
    Target,
    /// The third voter.
    Witness,
}

/// Where a handover can be hit: steps that nodes report, and messages between them on their way.
pub const STEPS: [&str; 16] = [
    "offer",
    "seed",
    "join",
    "warm",
    "take-over",
    "release",
    "done",
    "sent-offer",
    "sent-ready",
    "sent-ask-witness",
    "sent-seed",
    "sent-seed-witness",
    "sent-seeded",
    "sent-warm",
    "sent-group",
    "sent-release",
];

/// Faults at random times.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Churn {
    /// A tab that hosts nothing and publishes nothing dies this often, in ms; 0 means never.
    pub death_every_ms: u64,
    /// It comes back after this many ms, with the same identity.
    pub revive_after_ms: u64,
    /// The leader of a group whose members all run dies this often, in ms, and comes back like other tabs; 0 means never.
    pub leader_death_every_ms: u64,
    /// Instead of dying, the leader is struck by one of these, at random.
    pub leader_faults: Vec<FaultKind>,
    /// A random pair is separated this often, in ms; 0 means never.
    pub block_every_ms: u64,
    /// For this long.
    pub block_ms: u64,
    /// Only one direction.
    pub one_way: bool,
    /// A relay dies at this second and comes back 10 s later; 0 means never.
    pub relay_dies_at: u64,
}

impl Default for ServiceModel {
    fn default() -> Self {
        Self {
            count: 1,
            module: "toy:counter:20000".into(),
            state: "single".into(),
            standby: 0,
            one_publisher: false,
        }
    }
}

impl Default for CallModel {
    fn default() -> Self {
        Self { per_second: 20, in_flight: 4, say: 0.1, reads_per_second: 0, session_calls: 0, ledger: false }
    }
}

impl Scenario {
    /// The fault of this seed: seeds go through all combinations before one comes again.
    pub fn fault_of(&self, seed: u64) -> Option<PlannedFault> {
        let combinations: Vec<(usize, Role, &String)> = self
            .fault
            .iter()
            .enumerate()
            .flat_map(|(n, fault)| {
                fault.who.iter().flat_map(move |who| fault.at.iter().map(move |at| (n, *who, at)))
            })
            .collect();
        let (n, who, at) = *combinations.get(seed.checked_rem(combinations.len() as u64)? as usize)?;
        let fault = &self.fault[n];
        let mut rng = Rng::new(seed, 5);
        Some(PlannedFault {
            kind: fault.kind,
            who,
            at: at.clone(),
            delay_us: rng.below(fault.delay_ms * 1000 + 1),
            // Which handover is hit, and which occurrence of the step within it.
            handover: rng.below(3),
            occurrence: if at == "sent-group" { rng.below(60) } else { 0 },
            seconds: fault.seconds,
        })
    }
}

/// One fault, all choices made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// What happens.
    pub kind: FaultKind,
    /// To whom.
    pub who: Role,
    /// At which step.
    pub at: String,
    /// How long after it.
    pub delay_us: u64,
    /// In which handover, counted from 0.
    pub handover: u64,
    /// At which occurrence of the step, counted from 0.
    pub occurrence: u64,
    /// How long a freeze or a block lasts.
    pub seconds: u64,
}

mod defaults {
    pub fn seconds() -> u64 {
        20
    }
    pub fn quiet_seconds() -> u64 {
        20
    }
    pub fn relays() -> usize {
        2
    }
    pub fn volunteers() -> usize {
        6
    }
    pub fn consumers() -> usize {
        3
    }
    pub fn steps() -> Vec<String> {
        super::STEPS.map(str::to_owned).to_vec()
    }
    pub fn delay_ms() -> u64 {
        40
    }
    pub fn fault_seconds() -> u64 {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_go_through_all_combinations() {
        let scenario: Scenario = toml::from_str(
            "name = 'x'\n[[fault]]\nkind = 'kill'\nwho = ['source', 'target']\nat = ['seed', 'warm']\n\
             [[fault]]\nkind = 'freeze'\nwho = ['witness']\nat = ['join']",
        )
        .unwrap();
        let plans: Vec<_> =
            (0..5).filter_map(|seed| scenario.fault_of(seed)).map(|f| (f.kind, f.who, f.at)).collect();
        let kill = |who, at: &str| (FaultKind::Kill, who, at.to_owned());
        assert_eq!(
            plans,
            [
                kill(Role::Source, "seed"),
                kill(Role::Source, "warm"),
                kill(Role::Target, "seed"),
                kill(Role::Target, "warm"),
                (FaultKind::Freeze, Role::Witness, "join".to_owned()),
            ]
        );
    }
}
