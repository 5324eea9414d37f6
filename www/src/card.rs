//! One service in the catalogue: what it is, who publishes it, who serves it now.

use std::collections::BTreeMap;

use js_sys::Date;
use yew::prelude::*;

use crate::api::copy_text;
use crate::hooks::{go, link_to};
use crate::model::{PeerInfo, ServiceInfo};
use crate::parts::PeerChip;
use crate::stars::Stars;
use crate::state::View;
use crate::voice::CONFERENCES;
use crate::words::{ago, host_of, moment};

/// Servers that a card names; the rest is a number.
const SERVERS_SHOWN: usize = 3;
/// Tags that a card shows.
const TAGS_SHOWN: usize = 6;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub service: ServiceInfo,
    pub peers: Vec<PeerInfo>,
    pub me: String,
    /// How many publishers have a service of this name.
    pub namesakes: usize,
    pub pins: BTreeMap<String, String>,
    pub on_tag: Callback<String>,
}

/// The card.
#[component]
pub fn Card(props: &Props) -> Html {
    let service = &props.service;
    let id = service.id.clone();
    // A conference has a page of the app: a service's own frame gets no microphone.
    let view = if service.tags.iter().any(|tag| tag == CONFERENCES) { View::Voice } else { View::Services };
    let name_of = |peer: &str| {
        props.peers.iter().find(|each| each.id == peer).map(|each| each.name.clone()).unwrap_or_default()
    };
    let published = service.sequence as f64;
    html! {
        <li class="card service" data-testid="service-card" data-service={service.name.clone()} data-service-id={service.id.clone()}>
            <div class="service-head">
                <h2><bdi>{ &service.name }</bdi></h2>
                <bdi class="faint small">{ format!("v{}", service.version) }</bdi>
                if props.pins.get(&service.name) == Some(&service.id) {
                    <span class="pill good" data-testid="pinned" title="This is what the bare name means in this browser">{ "pinned" }</span>
                } else if props.namesakes > 1 {
                    <span class="pill warn" title="Look at who publishes it">{ format!("one of {} of that name", props.namesakes) }</span>
                } else {
                    <span class="pill">{ if service.url.is_empty() { state_word(&service.state) } else { "runs elsewhere" } }</span>
                }
            </div>
            <p class="service-text"><bdi>{ if service.description.is_empty() { "No description." } else { service.description.as_str() } }</bdi></p>
            if !service.tags.is_empty() {
                <div class="tags">
                    { for service.tags.iter().take(TAGS_SHOWN).map(|tag| {
                        let (on_tag, chosen) = (props.on_tag.clone(), tag.clone());
                        html! { <button class="tag" title="Show what has this tag" onclick={move |_| on_tag.emit(chosen.clone())}><bdi>{ tag }</bdi></button> }
                    }) }
                </div>
            }
            <dl class="facts small">
                <dt>{ "By" }</dt>
                <dd><PeerChip id={service.publisher.clone()} name={name_of(&service.publisher)} me={service.publisher == props.me} /></dd>
                <dt>{ "Published" }</dt>
                <dd title={moment(published)}>{ ago(Date::now() - published) }</dd>
                <dt>{ "Rated" }</dt>
                <dd><Stars rating={service.rating} /></dd>
                <dt>{ if service.url.is_empty() { "Served by" } else { "Runs at" } }</dt>
                <dd class="peers">
                    if !service.url.is_empty() {
                        <span><bdi class="wrap" data-testid="service-origin">{ host_of(&service.url) }</bdi>{ ", outside of all tabs" }</span>
                    } else if service.hosts.is_empty() { <span class="faint">{ "nobody now" }</span> }
                    { for service.hosts.iter().take(SERVERS_SHOWN).map(|host| html! { <PeerChip id={host.clone()} name={name_of(host)} me={*host == props.me} /> }) }
                    if service.hosts.len() > SERVERS_SHOWN { <span class="faint">{ format!("and {} more", service.hosts.len() - SERVERS_SHOWN) }</span> }
                </dd>
            </dl>
            <div class="card-foot">
                <button class="button primary" data-testid="open-service" aria-label={format!("Open {}", service.name)}
                    onclick={move |_| go(view, Some(&id))}>{ "Open" }</button>
                <CopyLink service={service.id.clone()} {view} name={service.name.clone()} />
            </div>
        </li>
    }
}

#[derive(Properties, PartialEq)]
pub struct LinkProps {
    /// The full id: a link means the same to everybody.
    pub service: String,
    pub view: View,
    pub name: String,
}

/// Copies the link of a service, to be given to others.
#[component]
pub fn CopyLink(props: &LinkProps) -> Html {
    let copied = use_state(|| None::<bool>);
    let link = link_to(props.view, &props.service);
    let onclick = {
        let (copied, link) = (copied.clone(), link.clone());
        Callback::from(move |_: MouseEvent| {
            let (copied, link) = (copied.clone(), link.clone());
            wasm_bindgen_futures::spawn_local(async move { copied.set(Some(copy_text(&link).await)) });
        })
    };
    html! {
        <>
            <button class="button" data-testid="copy-link" aria-label={format!("Copy link of {}", props.name)} {onclick}>
                <span aria-live="polite">{ if *copied == Some(true) { "Link copied" } else { "Copy link" } }</span></button>
            if *copied == Some(false) {
                <input type="text" readonly={true} value={link} aria-label="Link, to be copied by hand" />
            }
        </>
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
