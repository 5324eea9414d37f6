//! Every protocol decision of Tabfarm as one pure state machine.

pub mod id;
pub mod io;
pub mod sandbox;
pub mod time;

mod cx;
pub mod group;
pub mod wire;
