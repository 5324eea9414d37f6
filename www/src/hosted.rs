//! One service that runs in this tab: its figures, and the buttons that move or stop it.

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use crate::api::Peer;
use crate::history::Load;
use crate::hooks::Dispatch;
use crate::model::{count as number, field, Hosted, PeerInfo, Report};
use crate::parts::PeerChip;
use crate::state::Action;
use crate::words::{clock, count, explain, plural, service_name, short};

#[derive(Properties, PartialEq)]
pub struct Props {
    pub hosted: Hosted,
    /// What it does now.
    pub load: Option<Load>,
    /// Who would take it.
    pub targets: Vec<PeerInfo>,
    /// Everybody, for their names.
    pub peers: Vec<PeerInfo>,
    pub peer: Peer,
    pub dispatch: Dispatch,
}

/// The item.
#[component]
pub fn HostedItem(props: &Props) -> Html {
    let hosted = &props.hosted;
    let name_of = |id: &str| {
        props.peers.iter().find(|peer| peer.id == id).map(|peer| peer.name.clone()).unwrap_or_default()
    };
    let me = props.peer.id();
    let limit = use_gas_limit(&props.peer, &hosted.service);
    html! {
        <li class="card hosted stack" data-testid="hosted-service" data-service={service_name(&hosted.service).to_owned()}
            data-service-id={hosted.service.clone()} data-role={hosted.role.clone()}>
            <div class="service-head">
                <h3><bdi>{ service_name(&hosted.service) }</bdi></h3>
                <span class={classes!("pill", (hosted.role == "leader").then_some("good"))} data-testid="hosted-role">{ role_word(&hosted.role) }</span>
                if hosted.asleep {
                    <span class="pill" data-testid="hosted-asleep" title="Nobody called it for a minute: it takes no processor, and wakes with the next call">{ "asleep" }</span>
                }
                <span class="mono small faint" title="Who leads: the term rises each time the service moves, the epoch when it had to begin anew">{ format!("epoch {}, term {}", hosted.epoch, hosted.term) }</span>
            </div>
            <dl class="numbers">
                <div title="Users who have it open"><dt>{ "Sessions" }</dt><dd data-testid="hosted-sessions">{ hosted.sessions.to_string() }</dd></div>
                <div title="Calls, messages and timers that it handled here"><dt>{ "Events" }</dt><dd data-testid="hosted-events">{ count(hosted.events) }</dd></div>
                <div title="Events that it handles now"><dt>{ "Events/s" }</dt><dd data-testid="hosted-rate">{ props.load.map_or_else(|| "–".into(), |load| count((load.events + 0.5) as u64)) }</dd></div>
                <div title={format!("Steps that it computes now, of the most that its manifest asks for; {} in all", count(hosted.gas))}><dt>{ "Gas, of its limit" }</dt>
                    <dd data-testid="hosted-gas">{ share(props.load, *limit) }</dd></div>
                <div title="Events that it could not finish; its state was put back each time"><dt>{ "Failures" }</dt><dd class={classes!((hosted.traps > 0).then_some("bad"))}>{ count(hosted.traps) }</dd></div>
                if hosted.wanted > 1 && hosted.role == "leader" {
                    <div title="Tabs that hold the state, and how many the service wants"><dt>{ "Copies" }</dt><dd data-testid="hosted-replicas">{ format!("{} of {}", hosted.replicas, hosted.wanted) }</dd></div>
                    <div title="Steps that the slowest of them still has to hear of"><dt>{ "Lag" }</dt><dd>{ count(hosted.lag) }</dd></div>
                }
                <div><dt>{ "Memory limit" }</dt><dd>{ format!("{} MiB", hosted.memory_mib) }</dd></div>
            </dl>
            if let Some(since) = hosted.lost_since {
                <p class="banner" data-testid="state-lost">{ format!("It came back with its state of {}. What happened after that, in this tab, may be lost.", clock(since)) }</p>
            }
            if hosted.for_own_calls {
                <p class="hint" data-testid="for-own-calls">{ "It came by itself, because this tab calls it much, and goes when nobody here calls it any more." }</p>
            }
            if hosted.wanted > 1 && hosted.role == "leader" && hosted.replicas < hosted.wanted {
                <p class="banner" data-testid="replicas-missing">{ missing(hosted.replicas, hosted.wanted) }</p>
            }
            if hosted.role == "leader" && hosted.standbys_wanted > 0 {
                if hosted.standbys.is_empty() {
                    <p class="banner" data-testid="no-standby">{ "No other tab holds a warm copy: if this one closes, the service stops until it is back. Let other tabs volunteer." }</p>
                } else {
                    <p class="peers small" title="Goes on at once when this tab is closed"><span class="faint">{ "Standing by" }</span>
                        { for hosted.standbys.iter().map(|id| html! { <PeerChip id={id.clone()} name={name_of(id)} me={*id == me} /> }) }</p>
                }
            }
            if hosted.members.len() > 1 {
                <p class="peers small"><span class="faint">{ "Members" }</span>
                    { for hosted.members.iter().map(|id| html! { <PeerChip id={id.clone()} name={name_of(id)} me={*id == me} /> }) }</p>
            }
            <Move hosted={hosted.clone()} targets={props.targets.clone()} peer={props.peer.clone()} dispatch={props.dispatch.clone()} />
        </li>
    }
}

/// The gas per second that the manifest asks for, once known. This tab holds the package, so nobody else is asked.
#[hook]
fn use_gas_limit(peer: &Peer, service: &str) -> UseStateHandle<Option<u64>> {
    /// Of a manifest that names none.
    const DEFAULT: u64 = 50_000_000;
    let limit = use_state(|| None);
    {
        let limit = limit.clone();
        use_effect_with((peer.clone(), service.to_owned()), move |(peer, service)| {
            let (peer, service) = (peer.clone(), service.clone());
            spawn_local(async move {
                // Without a package the share is not shown, and nothing else is missing.
                if let Ok(package) = peer.package(&service).await {
                    let requires = field(&field(&package, "manifest"), "requires");
                    let asked = number(&requires, "gasPerSecond");
                    limit.set(Some(if asked == 0 { DEFAULT } else { asked }));
                }
            });
        });
    }
    limit
}

/// What of a limit is used, in whole percent.
fn share(load: Option<Load>, limit: Option<u64>) -> String {
    let Some((load, limit)) = load.zip(limit) else { return "–".into() };
    let percent = load.gas * 100.0 / limit as f64;
    if percent > 0.0 && percent < 1.0 {
        "under 1 %".into()
    } else {
        format!("{} %", (percent + 0.5) as u64)
    }
}

/// Fewer copies than the service wants.
fn missing(replicas: u64, wanted: u64) -> String {
    if replicas <= 1 {
        return format!("This tab holds the only copy of its state, of {wanted} wanted: if it closes, the service is gone. Let other tabs volunteer.");
    }
    format!("{replicas} of {wanted} copies of its state. A volunteer that fits is asked by itself.")
}

fn role_word(role: &str) -> &str {
    match role {
        "leader" => "serving",
        "follower" | "standby" => "standing by",
        "joining" => "taking over",
        other => other,
    }
}

#[derive(Properties, PartialEq)]
struct MoveProps {
    hosted: Hosted,
    targets: Vec<PeerInfo>,
    peer: Peer,
    dispatch: Dispatch,
}

#[component]
fn Move(props: &MoveProps) -> Html {
    let chosen = use_state(String::new);
    let moving = use_state(|| false);
    let stopping = use_state(|| false);
    let hosted = &props.hosted;
    // A target that went away is no choice any more; the first one stands in.
    let target = props
        .targets
        .iter()
        .find(|peer| peer.id == *chosen)
        .or(props.targets.first())
        .map(|peer| peer.id.clone());
    let busy = *moving || hosted.handover.is_some();
    let choose = {
        let chosen = chosen.clone();
        Callback::from(move |event: Event| {
            chosen.set(event.target_unchecked_into::<HtmlSelectElement>().value())
        })
    };
    let start = {
        let (peer, dispatch, moving, service, target) = (
            props.peer.clone(),
            props.dispatch.clone(),
            moving.clone(),
            hosted.service.clone(),
            target.clone(),
        );
        Callback::from(move |_: MouseEvent| {
            let Some(target) = target.clone() else { return };
            moving.set(true);
            let (peer, dispatch, moving, service) =
                (peer.clone(), dispatch.clone(), moving.clone(), service.clone());
            spawn_local(async move {
                match peer.handover(&service, &target).await {
                    Ok(report) => {
                        let report = Report::read(&service, &report);
                        dispatch.dispatch(Action::tell(format!(
                            "{} moved to {}.",
                            service_name(&service),
                            short(&report.to)
                        )));
                        dispatch.dispatch(Action::Reported(report));
                    }
                    Err(error) => {
                        let why = explain(&error);
                        dispatch.dispatch(Action::warn(format!(
                            "{} was not moved. {why}",
                            service_name(&service)
                        )));
                    }
                }
                moving.set(false);
            });
        })
    };
    let stop = {
        let (peer, dispatch, stopping, service) =
            (props.peer.clone(), props.dispatch.clone(), stopping.clone(), hosted.service.clone());
        Callback::from(move |_: MouseEvent| {
            let (peer, dispatch, stopping, service) =
                (peer.clone(), dispatch.clone(), stopping.clone(), service.clone());
            spawn_local(async move {
                dispatch.dispatch(match peer.drop_service(&service).await {
                    Ok(_) => Action::tell(format!("{} is stopped in this tab.", service_name(&service))),
                    Err(error) => Action::warn(explain(&error)),
                });
                stopping.set(false);
            });
        })
    };
    let ask = {
        let stopping = stopping.clone();
        Callback::from(move |_: MouseEvent| stopping.set(!*stopping))
    };
    let last = hosted.members.len() <= 1;
    html! {
        <div class="stack tight">
            <div class="move-row">
                // Who stands by has nothing to move.
                if hosted.role == "leader" {
                    <label class="visually-hidden" for={format!("to-{}", hosted.service)}>{ "Move to" }</label>
                    <select id={format!("to-{}", hosted.service)} class="grow" data-testid="handover-target" onchange={choose} disabled={busy || target.is_none()}>
                        if props.targets.is_empty() {
                            <option value="">{ "no other tab volunteers now" }</option>
                        }
                        { for props.targets.iter().map(|peer| html! {
                            <option key={peer.id.clone()} value={peer.id.clone()} selected={target.as_deref() == Some(&peer.id)}>{ target_label(peer) }</option>
                        }) }
                    </select>
                    <button class="button primary" data-testid="handover" onclick={start} disabled={busy || target.is_none()}>
                        { if busy { "Moving…" } else { "Move" } }</button>
                }
                <button class="button" data-testid="drop-service" onclick={ask.clone()} disabled={busy} aria-expanded={stopping.to_string()}>{ "Stop" }</button>
            </div>
            <p class="hint" role="status">
                { match &hosted.handover {
                    Some((to, step)) => format!("Moving to {}: {step}.", short(to)),
                    None if hosted.role != "leader" => "Another tab serves it; this one stands by.".to_owned(),
                    None if target.is_none() => "To move it, let another tab volunteer.".to_owned(),
                    None => format!("Whoever uses it notices nothing. {} would take it.", plural(props.targets.len(), "tab")),
                } }
            </p>
            if *stopping {
                <div class="banner bad" role="alert">
                    <p class="grow">{ if last { "Stop it for good? Its state is kept nowhere else and is lost." } else { "Stop it here? Its other copies go on." } }</p>
                    <button class="button danger" data-testid="drop-confirm" onclick={stop}>{ "Stop it" }</button>
                    <button class="button" onclick={ask}>{ "Keep it" }</button>
                </div>
            }
        </div>
    }
}

fn target_label(peer: &PeerInfo) -> String {
    let way = peer.path.word();
    if peer.name.is_empty() {
        format!("{} ({way})", short(&peer.id))
    } else {
        format!("{} · {} ({way})", crate::words::trimmed(&peer.name), short(&peer.id))
    }
}
