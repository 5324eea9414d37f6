//! The Network view: who is connected and how, who serves what, what moves, what happened, and what calls cost.

use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::api::Peer;
use crate::groups::{groups, Group, Part};
use crate::hooks::{link_here, use_catalogue};
use crate::invite::Invite;
use crate::map::Map;
use crate::model::{Path, PeerInfo};
use crate::parts::{Empty, PeerChip};
use crate::plots::Plots;
use crate::state::{State, View};
use crate::timeline::Timeline;
use crate::words::{millis, plural, service_name, short};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn NetworkView(props: &Props) -> Html {
    let state = &props.state;
    let chosen = use_state(String::new);
    let picked = use_state(String::new);
    // Who serves a service that this tab has nothing to do with stands in the catalogue alone.
    use_catalogue(state.peer.clone(), String::new(), state.view == View::Network, state.dispatcher());
    let me = state.peer.as_ref().map(Peer::id).unwrap_or_default();
    let status = &state.status;
    let relayed = status.peers.iter().filter(|peer| peer.path == Path::Relayed).count();
    let all = groups(&me, status, &state.catalogue.services);
    let group = all.iter().find(|group| group.service == *chosen).cloned();
    let on_pick = {
        let picked = picked.clone();
        Callback::from(move |id: String| picked.set(id))
    };
    let on_choose = {
        let chosen = chosen.clone();
        Callback::from(move |service: String| chosen.set(service))
    };
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "Network" }</h1>
                    <p class="lead" role="status">{ summary(&status.peers, relayed) }</p>
                </div>
                <div class="head-actions"><Invite link={link_here()} label="Invite others" title="Join from another device" /></div>
            </div>
            <div class="columns wide-left">
                <section class="card map-card" aria-label="Map of peers">
                    <Choice label="Show" all={Some("all services")} services={all.iter().map(|group| group.service.clone()).collect::<Vec<_>>()}
                        chosen={(*chosen).clone()} on_choose={on_choose.clone()} testid="map-service" />
                    <Map me={me.clone()} peers={status.peers.clone()} groups={all.clone()} chosen={group} flights={state.flights.clone()} picked={(*picked).clone()} {on_pick} />
                    <Details me={me.clone()} id={(*picked).clone()} peers={status.peers.clone()} groups={all.clone()} />
                    <Moving state={state.clone()} />
                </section>
                <section class="stack tight" aria-labelledby="events-title">
                    <h2 id="events-title">{ "What happened" }</h2>
                    <Timeline entries={state.entries.iter().cloned().collect::<Vec<_>>()} />
                </section>
            </div>
            <Measured state={state.clone()} chosen={(*chosen).clone()} {on_choose} />
            <section class="stack" aria-labelledby="groups-title">
                <h2 id="groups-title">{ "Services and who serves them" }</h2>
                <Groups me={me.clone()} groups={all} peers={status.peers.clone()} />
            </section>
            <section class="stack" aria-labelledby="peers-title">
                <h2 id="peers-title">{ "Peers" }</h2>
                <Peers peers={status.peers.clone()} />
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
struct ChoiceProps {
    label: &'static str,
    /// What stands for no choice, where that is one.
    #[prop_or_default]
    all: Option<&'static str>,
    services: Vec<String>,
    chosen: String,
    on_choose: Callback<String>,
    testid: &'static str,
}

/// One of several services.
#[component]
fn Choice(props: &ChoiceProps) -> Html {
    let on_choose = props.on_choose.clone();
    let onchange = Callback::from(move |event: Event| {
        on_choose.emit(event.target_unchecked_into::<HtmlSelectElement>().value())
    });
    html! {
        <label class="choice">
            <span class="field-label">{ props.label }</span>
            <select data-testid={props.testid} {onchange}>
                if let Some(all) = props.all { <option value="" selected={props.chosen.is_empty()}>{ all }</option> }
                { for props.services.iter().map(|service| html! {
                    <option key={service.clone()} value={service.clone()} selected={*service == props.chosen}>{ label(service) }</option>
                }) }
            </select>
        </label>
    }
}

/// A service's name and the end of its publisher's id.
fn label(service: &str) -> String {
    match service.split_once('@') {
        Some((name, publisher)) => format!("{} · {}", crate::words::trimmed(name), short(publisher)),
        None => service.to_owned(),
    }
}

#[derive(Properties, PartialEq)]
struct DetailsProps {
    me: String,
    id: String,
    peers: Vec<PeerInfo>,
    groups: Vec<Group>,
}

/// What is known of the peer that is looked at on the map. It always has its place, so that nothing jumps.
#[component]
fn Details(props: &DetailsProps) -> Html {
    let parts: Vec<String> = props
        .groups
        .iter()
        .filter_map(|group| {
            Some(format!("{} {}", group.part(&props.id)?.word(), service_name(&group.service)))
        })
        .collect();
    let parts = if parts.is_empty() { "serves nothing".to_owned() } else { listed(&parts) };
    let peer = props.peers.iter().find(|peer| peer.id == props.id);
    html! {
        <div class="map-details" data-testid="map-details" aria-live="polite">
            if props.id == props.me && !props.me.is_empty() {
                <PeerChip id={props.me.clone()} me={true} />
                <bdi>{ parts }</bdi>
            } else if let Some(peer) = peer {
                <PeerChip id={peer.id.clone()} name={peer.name.clone()} />
                <span>{ if peer.role == "relay" { "relay" } else { "tab" } }</span>
                <span>{ match peer.rtt_ms { Some(time) => format!("{}, {}", peer.path.word(), millis(time)), None => peer.path.word().to_owned() } }</span>
                if peer.volunteer { <span>{ format!("volunteers, {} % busy", peer.busy.min(100)) }</span> }
                <bdi>{ parts }</bdi>
            } else {
                <span class="faint">{ "Point at a node, tap it, or go to it by Tab and arrow keys." }</span>
            }
        </div>
    }
}

/// The handovers that the map draws, in words.
#[component]
fn Moving(props: &Props) -> Html {
    html! {
        <ul class="plain small moving" aria-label="Handovers now">
            { for props.state.flights.iter().map(|flight| html! {
                <li key={flight.number} class="peers" data-testid="flight" data-step={flight.step.clone()}>
                    <strong><bdi>{ service_name(&flight.service) }</bdi></strong>
                    <span class="mono">{ format!("{} → {}", short(&flight.from), short(&flight.to)) }</span>
                    <span class={classes!("pill", (flight.step == "done").then_some("good"), (flight.step == "aborted").then_some("warn"))}>{ &flight.step }</span>
                </li>
            }) }
        </ul>
    }
}

#[derive(Properties, PartialEq)]
struct MeasuredProps {
    state: UseReducerHandle<State>,
    chosen: String,
    on_choose: Callback<String>,
}

/// Plots of the chosen service, else of the most relevant one.
#[component]
fn Measured(props: &MeasuredProps) -> Html {
    let history = &props.state.history;
    let services: Vec<String> = history.services().map(str::to_owned).collect();
    let series = history.of(&props.chosen).or_else(|| history.of(services.first()?));
    html! {
        <section class="stack" aria-labelledby="measured-title">
            <div class="head wraps compact">
                <h2 id="measured-title">{ "Measured over the last minutes" }</h2>
                if let Some(series) = series {
                    <Choice label="Service" services={services.clone()} chosen={series.service.clone()} on_choose={props.on_choose.clone()} testid="plot-service" />
                }
            </div>
            if let Some(series) = series {
                <Plots series={series.clone()} />
            } else {
                <Empty title="Nothing is measured yet"><p>{ "Open a service, or serve one, and its delay and load appear here." }</p></Empty>
            }
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct GroupsProps {
    me: String,
    groups: Vec<Group>,
    peers: Vec<PeerInfo>,
}

#[component]
fn Groups(props: &GroupsProps) -> Html {
    if props.groups.is_empty() {
        return html! { <Empty title="No service is known"><p>{ "What is published appears here with the tabs that serve it." }</p></Empty> };
    }
    let chips = |group: &Group, part: Part| {
        let members: Vec<&str> = group.with(part).collect();
        if members.is_empty() {
            return html! { <span class="faint">{ "–" }</span> };
        }
        html! {
            <span class="peers">{ for members.iter().map(|id| {
                let name = props.peers.iter().find(|peer| peer.id == *id).map(|peer| peer.name.clone()).unwrap_or_default();
                html! { <PeerChip key={(*id).to_owned()} id={(*id).to_owned()} {name} me={*id == props.me} /> }
            }) }</span>
        }
    };
    html! {
        <div class="card table-card">
            <table class="wide-cells" data-testid="group-table">
                <thead><tr><th scope="col">{ "Service" }</th><th scope="col">{ "Serves" }</th><th scope="col">{ "Follow" }</th><th scope="col">{ "Stand by" }</th></tr></thead>
                <tbody>
                    { for props.groups.iter().map(|group| html! {
                        <tr key={group.service.clone()} data-testid="group" data-service={group.service.clone()}>
                            <td data-label="Service"><bdi>{ label(&group.service) }</bdi></td>
                            <td data-label="Serves">{ chips(group, Part::Leader) }</td>
                            <td data-label="Follow">{ chips(group, Part::Follower) }</td>
                            <td data-label="Stand by">{ chips(group, Part::Standby) }</td>
                        </tr>
                    }) }
                </tbody>
            </table>
        </div>
    }
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
                            <td data-label="Volunteers">{ if peer.volunteer { format!("yes, {} % busy", peer.busy.min(100)) } else { "no".to_owned() } }</td>
                            <td data-label="Serves"><bdi>{ serves(&peer.hosting) }</bdi></td>
                        </tr>
                    }) }
                </tbody>
            </table>
        </div>
    }
}

fn serves(hosting: &[String]) -> String {
    if hosting.is_empty() {
        return "nothing".into();
    }
    listed(&hosting.iter().map(|id| service_name(id).to_owned()).collect::<Vec<_>>())
}

/// The first of several texts; the rest is a number.
fn listed(texts: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut line = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if texts.len() > SHOWN {
        line.push_str(&format!(" and {} more", texts.len() - SHOWN));
    }
    line
}
