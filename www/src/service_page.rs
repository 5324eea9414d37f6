//! The page of one open service: where it runs now, and its own UI or one made from its interface.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{release_early, show_service_ui, Peer, ServiceUi, Session};
use crate::card::{state_word, CopyLink};
use crate::default_ui::DefaultUi;
use crate::draft::Draft;
use crate::hooks::{go, link_to, Dispatch};
use crate::ide_api::load_ide;
use crate::invite::Invite;
use crate::model::{text, texts, Path, PeerInfo, ServiceInfo, SessionInfo};
use crate::parts::{PeerChip, Problem};
use crate::pins::Candidates;
use crate::session::{use_session, Package, Phase};
use crate::stars::Rate;
use crate::state::{Action, State, View};
use crate::words::{explain, host_of, plural, service_name, short, trimmed};

#[derive(Properties, PartialEq)]
pub struct OpenProps {
    pub state: UseReducerHandle<State>,
}

/// The page of the service that is open, if one is.
#[component]
pub fn OpenService(props: &OpenProps) -> Html {
    let state = &props.state;
    let (Some(service), Some(peer)) = (&state.service, &state.peer) else { return Html::default() };
    html! {
        <ServicePage key={service.clone()} service={service.clone()} peer={peer.clone()} peers={state.status.peers.clone()}
            known={state.catalogue.services.clone()} dispatch={state.dispatcher()} />
    }
}

#[derive(Properties, PartialEq)]
struct Props {
    /// `name` or `name@publisher`.
    service: String,
    peer: Peer,
    peers: Vec<PeerInfo>,
    /// What the catalogue knows.
    known: Vec<ServiceInfo>,
    dispatch: Dispatch,
}

/// The page.
#[component]
fn ServicePage(props: &Props) -> Html {
    let attempt = use_state(|| 0u32);
    let plain = use_state(|| false);
    let life = use_session(props.peer.clone(), props.service.clone(), *attempt);
    let again = {
        let attempt = attempt.clone();
        Callback::from(move |_: MouseEvent| attempt.set(*attempt + 1))
    };
    let on_pin = {
        let attempt = attempt.clone();
        Callback::from(move |()| attempt.set(*attempt + 1))
    };
    let package = life.package.clone().unwrap_or_default();
    // A bare name says nothing to others: once it is known what it means, links name that.
    let full = life.info.as_ref().map_or_else(|| props.service.clone(), |info| info.service.clone());
    let full = if full.is_empty() { props.service.clone() } else { full };
    let rated = full.clone();
    let own_ui = package.entry.is_some();
    let session = match &life.phase {
        Phase::Open(session) if life.package.is_some() && !own_ui => Some(session.clone()),
        _ => None,
    };
    use_effect_with(session, |session| {
        if let Some(session) = session {
            release_early(session);
        }
    });
    html! {
        <article class="stack" data-testid="service-page" data-service={service_name(&props.service).to_owned()}>
            <div class="head">
                <div class="grow">
                    <button class="quiet back" onclick={|_| go(View::Services, None)}>{ "← All services" }</button>
                    <h1><bdi>{ service_name(&props.service) }</bdi></h1>
                    <p class="lead"><bdi>{ if package.description.is_empty() { "\u{a0}" } else { package.description.as_str() } }</bdi></p>
                </div>
                <div class="head-actions">
                    <Fork service={props.service.clone()} package={package.clone()} dispatch={props.dispatch.clone()} />
                    <Invite link={link_to(View::Services, &full)} label="QR code" title={format!("Open {} on another device", service_name(&props.service))} />
                    <CopyLink service={full} view={View::Services} name={service_name(&props.service).to_owned()} />
                </div>
            </div>
            if life.info.is_some() || !matches!(life.phase, Phase::Failed(_) | Phase::Ambiguous(_)) {
                <Standing info={life.info.clone()} moves={life.moves} open={matches!(life.phase, Phase::Open(_))}
                    state={package.state.clone()} access={package.access.clone()} hosts={package.hosts.clone()} peers={props.peers.clone()} me={props.peer.id()} />
            }
            if life.info.is_some() { <Rate key={rated.clone()} peer={props.peer.clone()} service={rated.clone()} known={props.known.clone()} /> }
            {
                match &life.phase {
                    Phase::Opening => html! { <div class="card ghost tall" role="status"><p class="hint">{ "Finding who serves it, and connecting…" }</p></div> },
                    Phase::Failed(why) => html! { <Problem text={why.clone()}><button class="button" onclick={again}>{ "Try again" }</button></Problem> },
                    Phase::Ambiguous(candidates) => html! {
                        <Candidates name={props.service.clone()} candidates={candidates.clone()} known={props.known.clone()} peers={props.peers.clone()}
                            peer={props.peer.clone()} on_pin={on_pin} />
                    },
                    Phase::Closed(why) => html! {
                        <Problem text={if why.is_empty() { "The session ended.".to_owned() } else { format!("The session ended: {why}.") }}>
                            <button class="button" onclick={again}>{ "Open again" }</button>
                        </Problem>
                    },
                    Phase::Open(_) if life.package.is_none() => html! { <div class="card ghost tall" role="status"><p class="hint">{ "Fetching the package…" }</p></div> },
                    Phase::Open(session) => html! {
                        <>
                            if own_ui {
                                <div class="segments" role="group" aria-label="Which interface">
                                    <Segment label="Its own page" on={!*plain} pick={pick(&plain, false)} />
                                    <Segment label="Methods" on={*plain} pick={pick(&plain, true)} />
                                </div>
                                // The frame stays when the methods are looked at: its script holds what the person typed.
                                <div hidden={*plain}><Frame session={session.clone()} {package} info={life.info.clone()} me={props.peer.id()} /></div>
                            }
                            if *plain || !own_ui { <DefaultUi session={session.clone()} life={life.clone()} /> }
                        </>
                    },
                }
            }
        </article>
    }
}

/// Sets a switch.
pub fn pick(plain: &UseStateHandle<bool>, value: bool) -> Callback<MouseEvent> {
    let plain = plain.clone();
    Callback::from(move |_| plain.set(value))
}

#[derive(Properties, PartialEq)]
pub struct SegmentProps {
    pub label: &'static str,
    pub on: bool,
    pub pick: Callback<MouseEvent>,
}

/// One of several buttons of which one is pressed.
#[component]
pub fn Segment(props: &SegmentProps) -> Html {
    html! { <button class="segment" aria-pressed={props.on.to_string()} onclick={props.pick.clone()}>{ props.label }</button> }
}

#[derive(Properties, PartialEq)]
struct ForkProps {
    service: String,
    package: Package,
    dispatch: Dispatch,
}

/// Where the package brings its source: a project of it in this browser. Text and sizes are checked on the way.
#[component]
fn Fork(props: &ForkProps) -> Html {
    let assets = &props.package.ui;
    let has_source = assets.is_object()
        && js_sys::Object::keys(assets.unchecked_ref())
            .iter()
            .any(|path| path.as_string().is_some_and(|path| path.starts_with("source/")));
    if !has_source {
        return Html::default();
    }
    let (service, package, dispatch) = (props.service.clone(), props.package.clone(), props.dispatch.clone());
    let onclick = Callback::from(move |_: MouseEvent| {
        let (service, package, dispatch) = (service.clone(), package.clone(), dispatch.clone());
        spawn_local(async move {
            let forked = async {
                let ide = load_ide().await?;
                let form = Draft::of_manifest(&package.manifest).to_form();
                let engine = text(&package.manifest, "engine");
                ide.fork(&ide.store().await?, &service, &form, &engine, &package.ui)
            };
            match forked.await {
                Ok(project) => {
                    dispatch.dispatch(Action::tell(forked_words(&service, &project)));
                    go(View::Ide, Some(&text(&project, "id")));
                }
                Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
            }
        });
    });
    html! { <button class="button" data-testid="fork" title="Makes a project of its source in your IDE" {onclick}>{ "Fork this service" }</button> }
}

/// What became of a fork, and what was left out of it.
fn forked_words(service: &str, project: &JsValue) -> String {
    let (original, name) = (service_name(service), text(project, "name"));
    let words = format!(
        "Forked. It has a name of its own, “{name}”, so that publishing it leaves “{}” as it is.",
        trimmed(original)
    );
    let left = texts(project, "left");
    if left.is_empty() {
        return words;
    }
    // A package has at most 32 files.
    let left: Vec<String> = left.iter().map(|path| trimmed(path)).collect();
    format!(
        "{words} Its page was taken as it is shown; left out, as the page has a file of the same name: {}.",
        left.join(", ")
    )
}

#[derive(Properties, PartialEq)]
struct StandingProps {
    info: Option<SessionInfo>,
    moves: u32,
    open: bool,
    state: String,
    access: String,
    hosts: String,
    peers: Vec<PeerInfo>,
    me: String,
}

/// Who serves the session now, and how it is reached: a line that never changes its height.
#[component]
fn Standing(props: &StandingProps) -> Html {
    let Some(info) = &props.info else {
        return html! { <div class="strip"><span class="faint">{ "Connecting…" }</span></div> };
    };
    if info.path == Path::External {
        return html! {
            <div class="strip" data-testid="session">
                <span><span class="faint">{ "Runs at " }</span><bdi class="wrap" data-testid="session-server">{ host_of(&info.server) }</bdi></span>
                <span class="pill warn" data-testid="session-path" title="No tab hosts it, and no tab checks what it answers">{ info.path.word() }</span>
            </div>
        };
    }
    let name = props
        .peers
        .iter()
        .find(|peer| peer.id == info.server)
        .map(|peer| peer.name.clone())
        .unwrap_or_default();
    let moved =
        if props.moves == 0 { "has not moved".to_owned() } else { format!("moved {}", times(props.moves)) };
    html! {
        // The key restarts the highlight at each move.
        <div class={classes!("strip", (props.moves > 0).then_some("just-moved"), (!props.open).then_some("is-off"))} key={props.moves} data-testid="session">
            <span><span class="faint">{ "Served by " }</span>
                <span data-testid="session-server" data-peer={info.server.clone()}><PeerChip id={info.server.clone()} {name} me={info.server == props.me} /></span></span>
            <span class={classes!("pill", (info.path.word() == "relayed").then_some("warn"))} data-testid="session-path"
                title={if info.path.word() == "relayed" { "Through a relay: slow and limited, until a direct path is found" } else { "Straight from tab to tab" }}>{ info.path.word() }</span>
            <span class="mono small" data-testid="session-term">{ format!("epoch {}, term {}", info.epoch, info.term) }</span>
            <span class="small" data-testid="session-moved">{ moved }</span>
            if !props.state.is_empty() {
                <span class="small faint" data-testid="session-access">{ format!("{} · open to {} · hosted by {}", state_word(&props.state), props.access, props.hosts) }</span>
            }
            <span class="visually-hidden" role="status">{ if props.moves > 0 { format!("Moved to {}", short(&info.server)) } else { String::new() } }</span>
        </div>
    }
}

fn times(moves: u32) -> String {
    if moves == 1 {
        "once".into()
    } else {
        plural(moves as usize, "time")
    }
}

#[derive(Properties, PartialEq)]
pub struct FrameProps {
    pub session: Session,
    pub package: Package,
    #[prop_or_default]
    pub info: Option<SessionInfo>,
    pub me: String,
}

/// The service's own UI, in a frame that reaches nothing but its session.
#[component]
pub fn Frame(props: &FrameProps) -> Html {
    let host = use_node_ref();
    let ui = use_mut_ref(|| None::<ServiceUi>);
    {
        let (host, ui, package, me) = (host.clone(), ui.clone(), props.package.clone(), props.me.clone());
        use_effect_with(props.session.clone(), move |session| {
            if let Some(host) = host.cast::<web_sys::Element>() {
                let entry = package.entry.as_deref().unwrap_or_default();
                *ui.borrow_mut() = Some(show_service_ui(&host, session, &package.ui, entry, &me));
            }
            move || {
                if let Some(ui) = ui.borrow_mut().take() {
                    ui.remove();
                }
            }
        });
    }
    html! { <div class="frame" ref={host} data-testid="service-ui"></div> }
}
