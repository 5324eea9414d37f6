//! The map: this tab in the middle, relays on the inner ring, tabs around it. Lines are paths, rings are parts in the chosen service, and what
//! flies is a service on its way. Drawn from the peer's state and nothing else.

use yew::prelude::*;

use crate::api::{fly, focus_on};
use crate::flights::Flight;
use crate::groups::{Group, Part};
use crate::map_layout::{ellipses, place, Point, HEIGHT, WIDTH};
use crate::model::{Path, PeerInfo};
use crate::parts::tone;
use crate::words::{millis, plural, service_name, short};

/// Peers that are drawn; more are not readable.
const MAX_DRAWN: usize = 128;
/// Names under the nodes, and times at the lines, are drawn up to this many peers.
const MAX_NAMED: usize = 16;
/// How long a service flies, in ms.
const FLIGHT_MS: f64 = 1_600.0;
/// Characters of a name on the map.
const MAX_NAME: usize = 12;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub me: String,
    pub peers: Vec<PeerInfo>,
    /// Who serves what.
    pub groups: Vec<Group>,
    /// The service whose group is shown.
    pub chosen: Option<Group>,
    pub flights: Vec<Flight>,
    /// The peer that is looked at; an empty id is none.
    pub picked: String,
    pub on_pick: Callback<String>,
}

/// The map.
#[component]
pub fn Map(props: &Props) -> Html {
    let stop = use_state(|| 0usize);
    let named = props.peers.len() <= MAX_NAMED;
    let placed = placed(&props.peers);
    let tabs = placed.iter().filter(|(peer, _)| peer.role != "relay").count();
    let hidden = props.peers.len().saturating_sub(MAX_DRAWN);
    let centre = Point { x: WIDTH / 2, y: HEIGHT / 2 - 8, size: 15 };
    let at = |id: &str| {
        if id == props.me {
            return Some(centre);
        }
        placed.iter().find(|(peer, _)| peer.id == id).map(|(_, point)| *point)
    };
    // One stop in the tab order; arrow keys go from node to node. Node 0 is this tab.
    let nodes = placed.len() + 1;
    let current = (*stop).min(nodes - 1);
    let onkeydown = {
        let stop = stop.clone();
        Callback::from(move |event: KeyboardEvent| {
            let next = match event.key().as_str() {
                "ArrowRight" | "ArrowDown" => (current + 1) % nodes,
                "ArrowLeft" | "ArrowUp" => (current + nodes - 1) % nodes,
                "Home" => 0,
                "End" => nodes - 1,
                _ => return,
            };
            event.prevent_default();
            stop.set(next);
            focus_on(&format!("map-node-{next}"));
        })
    };
    let node = |index: usize, id: &str, label: String, inside: Html| {
        let (pick, id) = (props.on_pick.clone(), id.to_owned());
        let chosen = props.picked == id;
        let look = Callback::from(move |()| pick.emit(id.clone()));
        html! {
            <g id={format!("map-node-{index}")} role="button" tabindex={if index == current { "0" } else { "-1" }} aria-label={label} aria-pressed={chosen.to_string()}
                class={classes!("map-stop", chosen.then_some("picked"))} onclick={look.reform(|_: MouseEvent| ())} onpointerenter={look.reform(|_: PointerEvent| ())}
                onfocus={look.reform(|_: FocusEvent| ())}>{ inside }</g>
        }
    };
    let leader = props.chosen.as_ref().and_then(|group| group.with(Part::Leader).next()).and_then(at);
    html! {
        <figure class="map">
            <svg viewBox={format!("0 0 {WIDTH} {HEIGHT}")} data-testid="network-map" role="group" aria-label={label(&props.peers)} {onkeydown}>
                <g aria-hidden="true">
                    { for ellipses(tabs).into_iter().map(|(across, down)| html! {
                        <ellipse class="map-ring" cx={centre.x.to_string()} cy={centre.y.to_string()} rx={across.to_string()} ry={down.to_string()} />
                    }) }
                    { for placed.iter().map(|(peer, point)| line(peer, point, &centre, named)) }
                    if let (Some(group), Some(leader)) = (&props.chosen, leader) {
                        { for group.members.iter().filter(|(_, part)| *part != Part::Leader).filter_map(|(peer, part)| {
                            let point = at(peer)?;
                            Some(html! { <line class={format!("map-group {}", part.slug())} x1={leader.x.to_string()} y1={leader.y.to_string()} x2={point.x.to_string()} y2={point.y.to_string()} /> })
                        }) }
                    }
                </g>
                { for placed.iter().enumerate().map(|(index, (peer, point))| html! {
                    <g key={peer.id.clone()} class={format!("map-peer tone-{}", tone(&peer.id))} data-testid="map-peer" data-peer={peer.id.clone()}>
                        { node(index + 1, &peer.id, said(peer), shape(peer, point, named, serves(&peer.id, props))) }
                    </g>
                }) }
                <g class="map-me" key="me">
                    { node(0, &props.me, "This tab".into(), html! {
                        <>
                            { rings(&centre, serves(&props.me, props)) }
                            <circle class="map-node" cx={centre.x.to_string()} cy={centre.y.to_string()} r="15" />
                            <text class="map-text strong" x={centre.x.to_string()} y={(centre.y + 40).to_string()}>{ "this tab" }</text>
                        </>
                    }) }
                </g>
                { for props.flights.iter().filter_map(|flight| Some(html! {
                    <Flying key={flight.number} from={at(&flight.from)?} to={at(&flight.to)?} name={service_name(&flight.service).to_owned()}
                        over={flight.step == "done"} failed={flight.step == "aborted"} />
                })) }
            </svg>
            <figcaption class="legend small">
                <span><i class="swatch line" aria-hidden="true"></i>{ "direct" }</span>
                <span><i class="swatch dashed" aria-hidden="true"></i>{ "through a relay" }</span>
                <span><i class="swatch square" aria-hidden="true"></i>{ "relay" }</span>
                <span><i class="swatch ring" aria-hidden="true"></i>{ "serves" }</span>
                if props.chosen.is_some() {
                    <span><i class="swatch ring thin" aria-hidden="true"></i>{ "follows" }</span>
                    <span><i class="swatch ring dotted" aria-hidden="true"></i>{ "stands by" }</span>
                }
                <span><i class="swatch leaf" aria-hidden="true"></i>{ "volunteers" }</span>
                if hidden > 0 { <span>{ format!("and {hidden} more that are not drawn") }</span> }
            </figcaption>
        </figure>
    }
}

/// Every drawn peer and its place. In the order of ids, so that a node stays where it is while others change.
fn placed(peers: &[PeerInfo]) -> Vec<(&PeerInfo, Point)> {
    let mut sorted: Vec<&PeerInfo> = peers.iter().take(MAX_DRAWN).collect();
    sorted.sort_by(|one, other| one.id.cmp(&other.id));
    let (relays, tabs): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|peer| peer.role == "relay");
    let places = place(relays.len(), tabs.len());
    relays.into_iter().chain(tabs).zip(places).collect()
}

/// A peer's part in the chosen service; without a choice, whether it serves anything.
fn serves(id: &str, props: &Props) -> Option<Part> {
    match &props.chosen {
        Some(group) => group.part(id),
        None => props.groups.iter().any(|group| group.part(id) == Some(Part::Leader)).then_some(Part::Leader),
    }
}

fn line(peer: &PeerInfo, at: &Point, centre: &Point, named: bool) -> Html {
    let time = peer.rtt_ms.filter(|_| named);
    // Two fifths of the way, where lines have parted and names do not begin.
    let (x, y) = (centre.x + (at.x - centre.x) * 11 / 20, centre.y + (at.y - centre.y) * 11 / 20);
    html! {
        <g key={format!("line-{}", peer.id)}>
            <line class={classes!("map-line", (peer.path == Path::Relayed).then_some("relayed"))}
                x1={centre.x.to_string()} y1={centre.y.to_string()} x2={at.x.to_string()} y2={at.y.to_string()} />
            if let Some(time) = time { <text class="map-time" x={x.to_string()} y={(y + 4).to_string()}>{ millis(time) }</text> }
        </g>
    }
}

fn rings(at: &Point, part: Option<Part>) -> Html {
    let Some(part) = part else { return Html::default() };
    html! { <circle class={format!("map-hosting {}", part.slug())} cx={at.x.to_string()} cy={at.y.to_string()} r={(at.size + 6).to_string()} /> }
}

fn shape(peer: &PeerInfo, at: &Point, named: bool, part: Option<Part>) -> Html {
    let name: String =
        if peer.name.is_empty() { short(&peer.id) } else { peer.name.chars().take(MAX_NAME).collect() };
    let size = at.size;
    html! {
        <>
            // What a finger or a pointer can hit.
            <circle class="map-reach" cx={at.x.to_string()} cy={at.y.to_string()} r={(size + 8).to_string()} />
            { rings(at, part) }
            if peer.role == "relay" {
                <rect class="map-node" x={(at.x - size).to_string()} y={(at.y - size).to_string()} width={(size * 2).to_string()} height={(size * 2).to_string()} rx="4" />
            } else {
                <circle class="map-node" cx={at.x.to_string()} cy={at.y.to_string()} r={size.to_string()} />
            }
            if peer.volunteer {
                <circle class="map-leaf" cx={(at.x + size).to_string()} cy={(at.y - size).to_string()} r={(size / 2).max(3).to_string()} />
            }
            if named {
                <text class="map-text" x={at.x.to_string()} y={(at.y + size + 22).to_string()}>{ name }</text>
            }
        </>
    }
}

/// What is said of a node.
fn said(peer: &PeerInfo) -> String {
    let name =
        if peer.name.is_empty() { String::new() } else { format!("{} ", crate::words::trimmed(&peer.name)) };
    let time = peer.rtt_ms.map(|time| format!(", {}", millis(time))).unwrap_or_default();
    format!(
        "{name}{}: {}, {}{time}",
        short(&peer.id),
        if peer.role == "relay" { "relay" } else { "tab" },
        peer.path.word()
    )
}

#[derive(Properties, PartialEq)]
struct FlyingProps {
    from: Point,
    to: Point,
    name: String,
    over: bool,
    failed: bool,
}

/// A service on its way: a line that stays, and a leaf that flies along it once.
#[component]
fn Flying(props: &FlyingProps) -> Html {
    let leaf = use_node_ref();
    {
        let leaf = leaf.clone();
        let (x, y) = (props.to.x - props.from.x, props.to.y - props.from.y);
        let flies = !props.failed;
        use_effect_with((), move |()| {
            if let Some(leaf) = leaf.cast::<web_sys::Element>().filter(|_| flies) {
                fly(&leaf, f64::from(x), f64::from(y), FLIGHT_MS);
            }
        });
    }
    let tone = if props.failed {
        "failed"
    } else if props.over {
        "over"
    } else {
        "under-way"
    };
    html! {
        <g class={classes!("map-flight", tone)} data-testid="map-flight" aria-hidden="true">
            <line x1={props.from.x.to_string()} y1={props.from.y.to_string()} x2={props.to.x.to_string()} y2={props.to.y.to_string()} />
            <g transform={format!("translate({} {})", props.from.x, props.from.y)}>
                <g ref={leaf}>
                    <circle r="8" />
                    <text class="map-text strong" y="-14">{ props.name.chars().take(MAX_NAME).collect::<String>() }</text>
                </g>
            </g>
        </g>
    }
}

fn label(peers: &[PeerInfo]) -> String {
    let relayed = peers.iter().filter(|peer| peer.path == Path::Relayed).count();
    format!(
        "Map: this tab and {}, {relayed} of them through a relay. Arrow keys go from node to node. The tables below tell the same.",
        plural(peers.len(), "peer")
    )
}
