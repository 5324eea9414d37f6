//! What a search believes of those who answer it.

use super::*;
use crate::handover::hostile_tests::{host, record, service, NOW};
use crate::io::{Input, Path};
use crate::node::Node;
use crate::wire::{self, Hello};

const TOLD: Rating = Rating { stars: 5, count: 1 };

/// A node that knows a service and has met a peer of this role.
fn met(role: Role) -> (Node, PeerId) {
    let (mut node, peer, record) = (host(), PeerId([9; 32]), record());
    assert!(node.directory.learn(&node.cx, &mut node.net, &record));
    node.handle(NOW, Input::Connected { peer, path: Path::Direct });
    let hello = Hello {
        role,
        name: String::new(),
        volunteer: false,
        witness: false,
        capacity: 0,
        busy: 0,
        hosting: Vec::new(),
        addresses: Vec::new(),
    };
    let frame = wire::encode(&Control::Hello(hello));
    node.handle(NOW, Input::Received { peer, lane: Lane::Control, frame });
    (node, peer)
}

/// The rating that a node believes after a search for this name, which the peer answered.
fn heard(role: Role, name: &str) -> Option<Rating> {
    let (mut node, peer) = met(role);
    let (cx, net) = (&mut node.cx, &mut node.net);
    let query = Query { name: Some(name.to_owned()), ..Query::default() };
    let id = node.directory.search(cx, net, query, None);
    let asked = node.directory.searches.get(&id).is_some_and(|search| search.asked.contains(&peer));
    assert!(asked, "relays are asked, and tabs where there is no relay");
    node.directory.on_found(cx, net, peer, id, (&[], &[(service(), TOLD)]));
    node.directory.index().rating(service(), NOW)
}

#[test]
fn a_relay_is_believed_and_a_tab_is_not() {
    assert_eq!(heard(Role::Relay, "counter"), Some(TOLD));
    assert_eq!(heard(Role::Tab, "counter"), None);
}

#[test]
fn a_relay_is_not_believed_about_what_was_not_searched() {
    assert_eq!(heard(Role::Relay, "chat"), None);
}
