//! The map: this tab in the middle, relays on the inner ring, tabs on the outer one.

use std::f64::consts::TAU;

use yew::prelude::*;

use crate::model::{Path, PeerInfo};
use crate::parts::tone;
use crate::words::{plural, short};

/// Peers that are drawn; a ring of more is not readable.
const MAX_DRAWN: usize = 48;
/// Names under the nodes are drawn up to this many peers.
const MAX_NAMED: usize = 16;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub me: String,
    pub peers: Vec<PeerInfo>,
    /// What runs in this tab.
    pub hosting: Vec<String>,
}

/// The map.
#[component]
pub fn Map(props: &Props) -> Html {
    let (relays, tabs): (Vec<_>, Vec<_>) =
        props.peers.iter().take(MAX_DRAWN).partition(|peer| peer.role == "relay");
    let named = props.peers.len() <= MAX_NAMED;
    let placed: Vec<(&PeerInfo, Point)> = ring(&relays, 0.46, 0.125).chain(ring(&tabs, 0.86, 0.0)).collect();
    let hidden = props.peers.len().saturating_sub(MAX_DRAWN);
    html! {
        <figure class="map">
            <svg viewBox="0 0 640 400" data-testid="network-map" role="img" aria-label={label(&props.peers)}>
                <ellipse class="map-ring" cx="320" cy="200" rx="135" ry="75" />
                <ellipse class="map-ring" cx="320" cy="200" rx="252" ry="141" />
                { for placed.iter().map(|(peer, at)| html! {
                    <line key={format!("line-{}", peer.id)} class={classes!("map-line", (peer.path == Path::Relayed).then_some("relayed"))}
                        x1="320" y1="200" x2={at.x.clone()} y2={at.y.clone()} />
                }) }
                { for placed.iter().map(|(peer, at)| node(peer, at, named)) }
                <g class="map-me">
                    if !props.hosting.is_empty() { <circle class="map-hosting" cx="320" cy="200" r="22" /> }
                    <circle class="map-node" cx="320" cy="200" r="15" />
                    <text class="map-text strong" x="320" y="240">{ "this tab" }</text>
                    <title>{ &props.me }</title>
                </g>
            </svg>
            <figcaption class="legend small">
                <span><i class="swatch line" aria-hidden="true"></i>{ "direct" }</span>
                <span><i class="swatch dashed" aria-hidden="true"></i>{ "relayed" }</span>
                <span><i class="swatch square" aria-hidden="true"></i>{ "relay" }</span>
                <span><i class="swatch ring" aria-hidden="true"></i>{ "serves something" }</span>
                <span><i class="swatch leaf" aria-hidden="true"></i>{ "volunteers" }</span>
                if hidden > 0 { <span>{ format!("and {hidden} more that are not drawn") }</span> }
            </figcaption>
        </figure>
    }
}

struct Point {
    x: String,
    y: String,
    below: String,
    left: String,
    top: String,
    leaf_x: String,
    leaf_y: String,
}

/// Places peers evenly on an ellipse, starting `turn` of a circle after the top.
fn ring<'a>(
    peers: &'a [&'a PeerInfo],
    size: f64,
    turn: f64,
) -> impl Iterator<Item = (&'a PeerInfo, Point)> + 'a {
    peers.iter().enumerate().map(move |(index, peer)| {
        let angle = TAU * (index as f64 / peers.len() as f64 + turn - 0.25);
        let x = (WIDTH / 2.0 + angle.cos() * WIDTH * 0.46 * size) as i32;
        let y = (HEIGHT / 2.0 + angle.sin() * HEIGHT * 0.41 * size) as i32;
        let text = |number: i32| number.to_string();
        let point = Point {
            x: text(x),
            y: text(y),
            below: text(y + 30),
            left: text(x - 9),
            top: text(y - 9),
            leaf_x: text(x + 9),
            leaf_y: text(y - 9),
        };
        (*peer, point)
    })
}

fn node(peer: &PeerInfo, at: &Point, named: bool) -> Html {
    let name = if peer.name.is_empty() { short(&peer.id) } else { peer.name.chars().take(12).collect() };
    html! {
        <g key={peer.id.clone()} class={format!("map-peer tone-{}", tone(&peer.id))} data-testid="map-peer" data-peer={peer.id.clone()}>
            <title>{ format!("{} {} ({}, {})", peer.name, peer.id, peer.role, peer.path.word()) }</title>
            if !peer.hosting.is_empty() {
                <circle class="map-hosting" cx={at.x.clone()} cy={at.y.clone()} r="16" />
            }
            if peer.role == "relay" {
                <rect class="map-node" x={at.left.clone()} y={at.top.clone()} width="18" height="18" rx="4" />
            } else {
                <circle class="map-node" cx={at.x.clone()} cy={at.y.clone()} r="10" />
            }
            if peer.volunteer {
                <circle class="map-leaf" cx={at.leaf_x.clone()} cy={at.leaf_y.clone()} r="5" />
            }
            if named {
                <text class="map-text" x={at.x.clone()} y={at.below.clone()}>{ name }</text>
            }
        </g>
    }
}

fn label(peers: &[PeerInfo]) -> String {
    let relayed = peers.iter().filter(|peer| peer.path == Path::Relayed).count();
    format!(
        "This tab and {}, {relayed} of them through a relay. The table below tells the same.",
        plural(peers.len(), "peer")
    )
}
