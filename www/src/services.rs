//! The Services view: the catalogue, and the page of the service that is open.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::api::{fetch_bytes, set, Peer};
use crate::hooks::{go, search, use_catalogue, Dispatch};
use crate::model::{text, PeerInfo, ServiceInfo};
use crate::parts::{Empty, PeerChip, Problem};
use crate::service_page::ServicePage;
use crate::state::{Action, State, View};
use crate::voice::CONFERENCES;
use crate::words::{explain, plural, service_name};

/// The services that come with the app, ready to be published by anybody.
const EXAMPLES: [(&str, &str); 5] = [
    ("counter", "A number that everybody can add to."),
    ("chat", "A room with its own little UI."),
    ("voice", "Conferences; open them under Voice."),
    ("kv", "Keys and values that outlive any one tab."),
    ("echo", "Gives back what it gets."),
];
/// Servers that a card names; the rest is a number.
const SERVERS_SHOWN: usize = 3;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The view.
#[component]
pub fn ServicesView(props: &Props) -> Html {
    let state = &props.state;
    html! {
        <>
            <div class="stack" hidden={!state.browsing}>
                if let Some(service) = &state.service { <StillOpen service={service.clone()} dispatch={state.dispatcher()} /> }
                <Catalogue state={state.clone()} />
            </div>
            <div hidden={state.browsing}>
                if let (Some(service), Some(peer)) = (&state.service, &state.peer) {
                    <ServicePage key={service.clone()} service={service.clone()} peer={peer.clone()} peers={state.status.peers.clone()} dispatch={state.dispatcher()} />
                } else {
                    <p class="hint" role="status">{ "Joining; the service opens as soon as this tab has joined." }</p>
                }
            </div>
        </>
    }
}

#[derive(Properties, PartialEq)]
struct OpenProps {
    service: String,
    dispatch: Dispatch,
}

/// The way back to the open service, above the catalogue.
#[component]
fn StillOpen(props: &OpenProps) -> Html {
    let (service, dispatch) = (props.service.clone(), props.dispatch.clone());
    html! {
        <div class="strip" data-testid="still-open">
            <span class="grow">{ "Still open: " }<strong><bdi>{ service_name(&props.service) }</bdi></strong></span>
            <button class="button" onclick={move |_| go(View::Services, Some(&service))}>{ "Return to it" }</button>
            <button class="button" onclick={move |_| dispatch.dispatch(Action::CloseService)}>{ "Close it" }</button>
        </div>
    }
}

#[component]
fn Catalogue(props: &Props) -> Html {
    let state = &props.state;
    let query = use_state(String::new);
    let looking = state.view == View::Services && state.browsing;
    use_catalogue(state.peer.clone(), query.trim().to_owned(), looking, state.dispatcher());
    let catalogue = &state.catalogue;
    let oninput = {
        let query = query.clone();
        Callback::from(move |event: InputEvent| {
            query.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let refresh = {
        let (peer, dispatch, query) = (state.peer.clone(), state.dispatcher(), query.clone());
        Callback::from(move |_: MouseEvent| {
            if let Some(peer) = &peer {
                search(peer, query.trim(), &dispatch);
            }
        })
    };
    let clear = {
        let query = query.clone();
        Callback::from(move |_: MouseEvent| query.set(String::new()))
    };
    let on_tag = {
        let query = query.clone();
        Callback::from(move |tag: String| query.set(tag))
    };
    let found: Vec<&ServiceInfo> =
        catalogue.services.iter().filter(|service| matches(service, &query)).collect();
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "Services" }</h1>
                    <p class="lead">{ "Small backends that run in people's tabs. Open one to use it." }</p>
                </div>
            </div>
            <div class="toolbar" role="search">
                <input type="search" class="grow" placeholder="Search by name, description or tag" aria-label="Search services"
                    data-testid="service-search" value={(*query).clone()} {oninput} />
                <button class="button" onclick={refresh} disabled={state.peer.is_none()} aria-busy={catalogue.loading.to_string()}
                    data-testid="refresh">{ "Refresh" }</button>
            </div>
            if let Some(error) = &catalogue.error {
                <Problem text={error.clone()} />
            }
            <p class="hint" role="status">{ summary(state, found.len(), !query.trim().is_empty()) }</p>
            if !found.is_empty() {
                <ul class="cards">
                    { for found.iter().map(|service| html! {
                        <Card key={service.id.clone()} service={(*service).clone()} peers={state.status.peers.clone()}
                            me={state.peer.as_ref().map(Peer::id).unwrap_or_default()} on_tag={on_tag.clone()} />
                    }) }
                </ul>
            } else if catalogue.fetched {
                if query.trim().is_empty() {
                    <Empty title="Nothing is published yet">
                        <p>{ "Publish an example below, or write a service of your own in the IDE." }</p>
                        <a class="button" href="#/ide">{ "Open the IDE" }</a>
                    </Empty>
                } else {
                    <Empty title="No service matches">
                        <p>{ "Search looks at names, descriptions and tags." }</p>
                        <button class="button" onclick={clear}>{ "Clear the search" }</button>
                    </Empty>
                }
            } else {
                <ul class="cards" aria-hidden="true">{ for (0..3).map(|_| html! { <li class="card service ghost"></li> }) }</ul>
            }
            <Examples peer={state.peer.clone()} dispatch={state.dispatcher()} />
        </div>
    }
}

fn summary(state: &State, shown: usize, filtered: bool) -> String {
    if state.peer.is_none() {
        return "Joining; the catalogue comes as soon as this tab has joined.".into();
    }
    if !state.catalogue.fetched {
        return "Asking the network…".into();
    }
    let mut line = plural(shown, "service");
    if filtered {
        line.push_str(" found");
    }
    if !state.catalogue.complete {
        line.push_str(" – no index could be asked, so some may be missing");
    }
    line
}

fn matches(service: &ServiceInfo, query: &str) -> bool {
    let wanted = query.trim().to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    wanted.is_empty()
        || has(&service.name)
        || has(&service.description)
        || service.tags.iter().any(|tag| has(tag))
}

#[derive(Properties, PartialEq)]
struct CardProps {
    service: ServiceInfo,
    peers: Vec<PeerInfo>,
    me: String,
    on_tag: Callback<String>,
}

#[component]
fn Card(props: &CardProps) -> Html {
    let service = &props.service;
    let id = service.id.clone();
    // A conference has a page of the app: a service's own frame gets no microphone.
    let view = if service.tags.iter().any(|tag| tag == CONFERENCES) { View::Voice } else { View::Services };
    let name_of = |peer: &str| {
        props.peers.iter().find(|each| each.id == peer).map(|each| each.name.clone()).unwrap_or_default()
    };
    html! {
        <li class="card service" data-testid="service-card" data-service={service.name.clone()} data-service-id={service.id.clone()}>
            <div class="service-head">
                <h2><bdi>{ &service.name }</bdi></h2>
                <span class="faint small">{ format!("v{}", service.version) }</span>
                <span class="pill">{ state_word(&service.state) }</span>
            </div>
            <p class="service-text"><bdi>{ if service.description.is_empty() { "No description." } else { service.description.as_str() } }</bdi></p>
            if !service.tags.is_empty() {
                <div class="tags">
                    { for service.tags.iter().map(|tag| {
                        let (on_tag, chosen) = (props.on_tag.clone(), tag.clone());
                        html! { <button class="tag" title="Search this tag" onclick={move |_| on_tag.emit(chosen.clone())}>{ tag }</button> }
                    }) }
                </div>
            }
            <dl class="facts small">
                <dt>{ "By" }</dt>
                <dd><PeerChip id={service.publisher.clone()} name={name_of(&service.publisher)} me={service.publisher == props.me} /></dd>
                <dt>{ "Served by" }</dt>
                <dd class="peers">
                    if service.hosts.is_empty() { <span class="faint">{ "nobody now" }</span> }
                    { for service.hosts.iter().take(SERVERS_SHOWN).map(|host| html! { <PeerChip id={host.clone()} name={name_of(host)} me={*host == props.me} /> }) }
                    if service.hosts.len() > SERVERS_SHOWN { <span class="faint">{ format!("and {} more", service.hosts.len() - SERVERS_SHOWN) }</span> }
                </dd>
            </dl>
            <button class="button primary" data-testid="open-service" aria-label={format!("Open {}", service.name)}
                onclick={move |_| go(view, Some(&id))}>{ "Open" }</button>
        </li>
    }
}

/// A state kind in words.
pub fn state_word(state: &str) -> &'static str {
    match state {
        "none" => "stateless",
        "single" => "one copy",
        "replicated-3" => "3 copies",
        "replicated-5" => "5 copies",
        _ => "unknown",
    }
}

#[derive(Properties, PartialEq)]
struct ExamplesProps {
    peer: Option<Peer>,
    dispatch: Dispatch,
}

#[component]
fn Examples(props: &ExamplesProps) -> Html {
    let busy = use_state(|| None::<&'static str>);
    html! {
        <section class="stack examples" aria-labelledby="examples-title">
            <h2 id="examples-title">{ "Publish an example" }</h2>
            <ul class="example-list">
                { for EXAMPLES.iter().map(|(name, text)| {
                    let (peer, dispatch, busy) = (props.peer.clone(), props.dispatch.clone(), busy.clone());
                    let disabled = peer.is_none() || busy.is_some();
                    let label = if *busy == Some(*name) { "Publishing…" } else { "Publish" };
                    let onclick = move |_| {
                        let Some(peer) = peer.clone() else { return };
                        busy.set(Some(name));
                        let (dispatch, busy) = (dispatch.clone(), busy.clone());
                        spawn_local(async move {
                            dispatch.dispatch(match publish_example(&peer, name).await {
                                Ok(id) => Action::tell(format!("{id} is published and served by this tab.")),
                                Err(why) => Action::warn(why),
                            });
                            search(&peer, "", &dispatch);
                            busy.set(None);
                        });
                    };
                    html! {
                        <li class="example">
                            <div><strong>{ *name }</strong><p class="hint">{ *text }</p></div>
                            <button class="button" data-testid="publish-example" data-service={*name} {disabled} {onclick} aria-label={format!("Publish {name}")}>{ label }</button>
                        </li>
                    }
                }) }
            </ul>
        </section>
    }
}

/// Publishes `/services/NAME/` of this origin under this person's key; the name on success, words on failure.
pub async fn publish_example(peer: &Peer, name: &str) -> Result<String, String> {
    let missing = || {
        format!("This relay does not offer the example “{name}”. Write it in the IDE instead, or try another relay.")
    };
    let base = format!("/services/{name}");
    let manifest = fetch_bytes(&format!("{base}/manifest.json")).await.ok_or_else(missing)?;
    let module = fetch_bytes(&format!("{base}/module.wasm")).await.ok_or_else(missing)?;
    let manifest = String::from_utf8(manifest.to_vec())
        .ok()
        .and_then(|text| JSON::parse(&text).ok())
        .ok_or_else(missing)?;
    let ui = Object::new();
    for path in example_ui(&base, &manifest).await {
        let asset = fetch_bytes(&format!("{base}/ui/{path}")).await.ok_or_else(missing)?;
        set(&ui, &path, &asset);
    }
    let package = Object::new();
    set(&package, "manifest", &manifest);
    set(&package, "module", &module);
    set(&package, "ui", &ui);
    peer.publish(&package).await.map_err(|error| explain(&error))?;
    Ok(name.to_owned())
}

/// The UI assets that `ui.json` lists beside the manifest, else the entry alone; nothing for an example without UI.
async fn example_ui(base: &str, manifest: &JsValue) -> Vec<String> {
    let entry = text(manifest, "ui");
    if entry.is_empty() {
        return Vec::new();
    }
    let listed = async {
        let bytes = fetch_bytes(&format!("{base}/ui.json")).await?;
        let list: JsValue = JSON::parse(&String::from_utf8(bytes.to_vec()).ok()?).ok()?;
        Some(list.dyn_into::<Array>().ok()?.iter().filter_map(|path| path.as_string()).collect())
    };
    listed.await.unwrap_or_else(|| vec![entry])
}
