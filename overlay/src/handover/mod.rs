//! Moving the serving role from one peer to another without a gap: Offer → Seed → Join → Warm → TakeOver → Release.
//!
//! Panitzek, section III: "replicate the service and synchronize the execution states. […] Once the services hosted on
//! both peers are synchronized, the service on the new peer will take over". Here the state is a snapshot, the update
//! messages are the tail of the group's log, and taking over is Raft's leadership transfer among three voters: source
//! S, target T and a witness W, so that the death of any one of them at any step leaves a majority (H7).
//!
//! [`source`] is S's side and how it begins, `steps` how it goes on, `joining` how the group grows, `outcome` how it ends; [`target`] is T's and W's. Without a reachable third peer, S seals its log and T founds the
//! next epoch alone.

#[cfg(test)]
pub(crate) mod hostile_tests;
mod joining;
mod outcome;
pub mod source;
mod steps;
pub mod target;
