//! The Network view: who is connected, how, and what happened.

use yew::prelude::*;

use crate::api::Peer;
use crate::map::Map;
use crate::model::{Path, PeerInfo};
use crate::parts::{Empty, PeerChip};
use crate::state::{EntryKind, State};
use crate::words::{clock, millis, plural, service_name};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn NetworkView(props: &Props) -> Html {
    let state = &props.state;
    let me = state.peer.as_ref().map(Peer::id).unwrap_or_default();
    let relayed = state.status.peers.iter().filter(|peer| peer.path == Path::Relayed).count();
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "Network" }</h1>
                    <p class="lead" role="status">{ summary(&state.status.peers, relayed) }</p>
                </div>
            </div>
            <div class="columns wide-left">
                <section class="card map-card" aria-label="Map of peers">
                    <Map {me} peers={state.status.peers.clone()} hosting={state.status.hosting.iter().map(|hosted| hosted.service.clone()).collect::<Vec<_>>()} />
                </section>
                <section class="stack" aria-labelledby="events-title">
                    <h2 id="events-title">{ "What happened" }</h2>
                    <Timeline {state} />
                </section>
            </div>
            <section class="stack" aria-labelledby="peers-title">
                <h2 id="peers-title">{ "Peers" }</h2>
                <Peers peers={state.status.peers.clone()} />
            </section>
        </div>
    }
}

fn summary(peers: &[PeerInfo], relayed: usize) -> String {
    if peers.is_empty() {
        return "No peers yet.".into();
    }
    let mut line = plural(peers.len(), "peer");
    line.push_str(" connected");
    if relayed > 0 {
        line.push_str(&format!(", {relayed} of them through a relay: slow until a direct path is found"));
    }
    line.push('.');
    line
}

#[derive(Properties, PartialEq)]
struct PeersProps {
    peers: Vec<PeerInfo>,
}

#[component]
fn Peers(props: &PeersProps) -> Html {
    if props.peers.is_empty() {
        return html! { <Empty title="Nobody is connected"><p>{ "Open this page in another tab or browser, and it appears here." }</p></Empty> };
    }
    html! {
        <div class="card table-card">
            <table data-testid="peer-table">
                <thead><tr><th scope="col">{ "Peer" }</th><th scope="col">{ "Kind" }</th><th scope="col">{ "Path" }</th><th scope="col" class="end">{ "Round trip" }</th><th scope="col">{ "Volunteers" }</th><th scope="col">{ "Serves" }</th></tr></thead>
                <tbody>
                    { for props.peers.iter().map(|peer| html! {
                        <tr key={peer.id.clone()} data-testid="peer" data-peer={peer.id.clone()}>
                            <td data-label="Peer"><PeerChip id={peer.id.clone()} name={peer.name.clone()} /></td>
                            <td data-label="Kind">{ if peer.role == "relay" { "relay" } else { "tab" } }</td>
                            <td data-label="Path"><span class={classes!("pill", (peer.path == Path::Relayed).then_some("warn"))}>{ peer.path.word() }</span></td>
                            <td data-label="Round trip" class="end mono">{ peer.rtt_ms.map_or_else(|| "–".to_owned(), millis) }</td>
                            <td data-label="Volunteers">{ if peer.volunteer { "yes" } else { "no" } }</td>
                            <td data-label="Serves"><bdi>{ serves(&peer.hosting) }</bdi></td>
                        </tr>
                    }) }
                </tbody>
            </table>
        </div>
    }
}

fn serves(hosting: &[String]) -> String {
    /// Names in a cell; the rest is a number.
    const SHOWN: usize = 4;
    if hosting.is_empty() {
        return "nothing".into();
    }
    let mut line = hosting.iter().take(SHOWN).map(|id| service_name(id)).collect::<Vec<_>>().join(", ");
    if hosting.len() > SHOWN {
        line.push_str(&format!(" and {} more", hosting.len() - SHOWN));
    }
    line
}

#[component]
fn Timeline(props: &Props) -> Html {
    let entries = &props.state.entries;
    if entries.is_empty() {
        return html! { <p class="log-empty hint">{ "Peers that come and go, handovers and what services log appear here." }</p> };
    }
    html! {
        <ol class="log" role="log" data-testid="timeline" tabindex="0" aria-label="Events">
            { for entries.iter().map(|entry| {
                let (tone, sign) = match entry.kind {
                    EntryKind::Peer => ("peer-line", "peer"),
                    EntryKind::Service => ("got", "service"),
                    EntryKind::Handover => ("moved", "move"),
                    EntryKind::Log => ("got", "log"),
                    EntryKind::Error => ("bad", "error"),
                };
                html! {
                    <li key={entry.number} class={tone}>
                        <time class="faint mono small">{ clock(entry.at) }</time>
                        <span class="log-sign small">{ sign }</span>
                        <bdi class="wrap">{ &entry.text }</bdi>
                    </li>
                }
            }) }
        </ol>
    }
}
