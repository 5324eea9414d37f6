//! The catalogue: what is published, searched, filtered by tag and sorted; and the way to a service by its name alone.

use std::collections::BTreeMap;

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::api::{keep_text, kept_text, Peer};
use crate::card::Card;
use crate::examples::Examples;
use crate::hooks::{go, named_in, search, use_catalogue};
use crate::model::ServiceInfo;
use crate::parts::{Empty, Problem};
use crate::pins::pins;
use crate::register::Register;
use crate::state::{Join, State, View};
use crate::words::{lower, plural};

/// Tags that are offered as filters: those that most services have.
const TAGS_OFFERED: usize = 12;
/// Cards that are drawn; a search finds the rest.
const MAX_CARDS: usize = 120;
const GREETED: &str = "tabfarm.greeted";

/// How the catalogue is sorted.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Name,
    Newest,
    Servers,
    Rated,
}

impl Order {
    const ALL: [(Order, &'static str, &'static str); 4] = [
        (Order::Name, "name", "By name"),
        (Order::Newest, "newest", "Newest first"),
        (Order::Servers, "servers", "Most servers first"),
        (Order::Rated, "rated", "Most stars first"),
    ];

    fn read(value: &str) -> Self {
        Self::ALL.into_iter().find(|(_, slug, _)| *slug == value).map_or(Order::Name, |(order, _, _)| order)
    }

    fn sort(self, services: &mut [&ServiceInfo]) {
        services.sort_by(|one, other| {
            let first = match self {
                Order::Name => std::cmp::Ordering::Equal,
                Order::Newest => other.sequence.cmp(&one.sequence),
                Order::Servers => other.hosts.len().cmp(&one.hosts.len()),
                Order::Rated => weight(other).total_cmp(&weight(one)),
            };
            first.then_with(|| one.name.cmp(&other.name)).then_with(|| one.id.cmp(&other.id))
        });
    }
}

/// Who was rated by nobody comes after who was.
fn weight(service: &ServiceInfo) -> f64 {
    service.rating.map_or(0.0, |rating| rating.weight())
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// The catalogue.
#[component]
pub fn Catalogue(props: &Props) -> Html {
    let state = &props.state;
    let query = use_state(String::new);
    let tag = use_state(|| None::<String>);
    let order = use_state(|| Order::Name);
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
        let (query, tag) = (query.clone(), tag.clone());
        Callback::from(move |_: MouseEvent| {
            query.set(String::new());
            tag.set(None);
        })
    };
    let on_tag = {
        let tag = tag.clone();
        // Chosen again, it filters no more.
        Callback::from(move |chosen: String| {
            tag.set(Some(chosen).filter(|chosen| tag.as_ref() != Some(chosen)))
        })
    };
    let on_order = {
        let order = order.clone();
        Callback::from(move |event: Event| {
            order.set(Order::read(&event.target_unchecked_into::<HtmlSelectElement>().value()))
        })
    };
    let texted: Vec<&ServiceInfo> =
        catalogue.services.iter().filter(|service| matches(service, &query)).collect();
    let tags = offered(&texted, tag.as_deref());
    let mut found: Vec<&ServiceInfo> = texted
        .into_iter()
        .filter(|service| tag.as_ref().is_none_or(|tag| service.tags.contains(tag)))
        .collect();
    order.sort(&mut found);
    let filtered = !query.trim().is_empty() || tag.is_some();
    let pins = pins(state.peer.as_ref());
    let namesakes = |name: &str| catalogue.services.iter().filter(|service| service.name == name).count();
    html! {
        <div class="stack">
            <div class="head">
                <div>
                    <h1>{ "Services" }</h1>
                    <p class="lead">{ "Small backends that run in people's browser tabs. Open one to use it." }</p>
                </div>
            </div>
            <Greeting />
            <div class="toolbar search-row" role="search">
                <input type="search" class="grow" placeholder="Search by name, description or tag" aria-label="Search services"
                    data-testid="service-search" value={(*query).clone()} {oninput} />
                <select aria-label="Sort" data-testid="service-sort" onchange={on_order}>
                    { for Order::ALL.into_iter().map(|(each, slug, label)| html! { <option value={slug} selected={each == *order}>{ label }</option> }) }
                </select>
                <button class="button" onclick={refresh} disabled={state.peer.is_none()} aria-busy={catalogue.loading.to_string()}
                    data-testid="refresh">{ "Refresh" }</button>
            </div>
            <div class="chips" role="group" aria-label="Tags">
                { for tags.into_iter().map(|(each, number)| {
                    let (on_tag, chosen) = (on_tag.clone(), each.to_owned());
                    html! {
                        <button class="chip" key={each.to_owned()} aria-pressed={(tag.as_deref() == Some(each)).to_string()} data-testid="tag-filter" data-tag={each.to_owned()}
                            onclick={move |_| on_tag.emit(chosen.clone())}><bdi>{ each }</bdi><span class="faint">{ format!(" {number}") }</span></button>
                    }
                }) }
            </div>
            if let Some(error) = &catalogue.error {
                <Problem text={error.clone()} />
            }
            <p class="hint" role="status">{ summary(state, found.len(), filtered) }</p>
            if !found.is_empty() {
                <ul class="cards">
                    { for found.iter().take(MAX_CARDS).map(|service| html! {
                        <Card key={service.id.clone()} service={(*service).clone()} peers={state.status.peers.clone()} namesakes={namesakes(&service.name)} pins={pins.clone()}
                            me={state.peer.as_ref().map(Peer::id).unwrap_or_default()} on_tag={on_tag.clone()} />
                    }) }
                </ul>
                if found.len() > MAX_CARDS { <p class="hint">{ format!("{} more are not shown. Search for the one you mean.", found.len() - MAX_CARDS) }</p> }
            } else if is_cut_off(state) {
                <Empty title="You are offline">
                    <p>{ "The catalogue comes from other tabs and relays, and none can be reached now. What runs in this tab goes on." }</p>
                </Empty>
            } else if catalogue.fetched && filtered {
                <Empty title="No service matches">
                    <p>{ "Search looks at names, descriptions and tags." }</p>
                    <button class="button" onclick={clear}>{ "Show all services" }</button>
                </Empty>
            } else if !catalogue.fetched {
                <ul class="cards" aria-hidden="true">{ for (0..3).map(|_| html! { <li class="card service ghost"></li> }) }</ul>
            }
            <Examples peer={state.peer.clone()} dispatch={state.dispatcher()} alone={catalogue.fetched && !filtered && found.is_empty() && !is_cut_off(state)} />
            <Register state={state.clone()} />
            <ByName />
        </div>
    }
}

/// What this is and what to do, until the person has read it.
#[component]
fn Greeting() -> Html {
    let read = use_state(|| kept_text(GREETED) == "read");
    if *read {
        return Html::default();
    }
    let dismiss = {
        let read = read.clone();
        Callback::from(move |_: MouseEvent| {
            // A browser that keeps nothing shows it again.
            keep_text(GREETED, "read");
            read.set(true);
        })
    };
    html! {
        <section class="card greeting" data-testid="greeting" aria-labelledby="greeting-title">
            <div class="greeting-head">
                <h2 id="greeting-title">{ "Servers that are browser tabs" }</h2>
                <button class="quiet" onclick={dismiss} data-testid="greeting-dismiss" aria-label="Hide this introduction">{ "Hide" }</button>
            </div>
            <p>{ "No data centre: a service runs in somebody's tab, and moves with its state to another while people use it." }</p>
            <ol class="steps">
                <li><strong>{ "Use" }</strong><span>{ "Open a service below, or publish an example." }</span></li>
                <li><a href="#/volunteer"><strong>{ "Volunteer" }</strong></a><span>{ "Let this tab run services for others." }</span></li>
                <li><a href="#/ide"><strong>{ "Write" }</strong></a><span>{ "Make a service of your own in the IDE." }</span></li>
                <li><a href="#/network"><strong>{ "Watch" }</strong></a><span>{ "See who is connected and what moves." }</span></li>
            </ol>
        </section>
    }
}

/// A service by its name, its id, or a link to it.
#[component]
fn ByName() -> Html {
    let name = use_state(String::new);
    let oninput = {
        let name = name.clone();
        Callback::from(move |event: InputEvent| {
            name.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let onsubmit = {
        let name = name.clone();
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let (view, service) = named_in(name.trim());
            if let Some(service) = service {
                go(view, Some(&service));
                name.set(String::new());
            }
        })
    };
    html! {
        <form class="by-name" {onsubmit}>
            <label class="field-label" for="open-by-name">{ "Open by name or link" }</label>
            <div class="toolbar">
                <input type="text" id="open-by-name" class="grow" maxlength="2048" autocomplete="off" spellcheck="false" placeholder="chat, or chat@12D3KooW…"
                    data-testid="open-name" value={(*name).clone()} {oninput} />
                <button class="button" data-testid="open-by-name" disabled={name.trim().is_empty()}>{ "Open" }</button>
            </div>
        </form>
    }
}

/// Nobody is connected. What the browser itself says of its connection is not asked: it knows nothing of tabs nearby.
fn is_cut_off(state: &State) -> bool {
    state.join == Join::Running && state.status.peers.is_empty() && state.status.relays.is_empty()
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
    if is_cut_off(state) {
        line.push_str(" – you are offline, so this may be old");
    } else if !state.catalogue.complete {
        line.push_str(" – no index could be asked, so some may be missing");
    }
    line
}

fn matches(service: &ServiceInfo, query: &str) -> bool {
    let wanted = lower(query.trim());
    let has = |text: &str| lower(text).contains(&wanted);
    wanted.is_empty()
        || has(&service.name)
        || has(&service.description)
        || service.tags.iter().any(|tag| has(tag))
}

/// The tags that most of these services have, with how many, by name; the chosen one is always among them.
fn offered<'a>(services: &[&'a ServiceInfo], chosen: Option<&'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    if let Some(chosen) = chosen {
        counts.insert(chosen, 0);
    }
    for tag in services.iter().flat_map(|service| &service.tags) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut tags: Vec<_> = counts.into_iter().collect();
    tags.sort_by_key(|(tag, number)| (chosen != Some(*tag), std::cmp::Reverse(*number)));
    tags.truncate(TAGS_OFFERED);
    let mut offered = BTreeMap::new();
    offered.extend(tags);
    offered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rating;

    fn service(name: &str, tags: &[&str], sequence: u64, hosts: usize) -> ServiceInfo {
        ServiceInfo {
            id: format!("{name}@p"),
            name: name.into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            hosts: vec!["h".into(); hosts],
            sequence,
            rating: (sequence != 2).then_some(Rating { mean: 5.0, count: 4 - sequence }),
            ..ServiceInfo::default()
        }
    }

    #[test]
    fn services_are_sorted_and_tags_counted() {
        let all = [service("b", &["x", "y"], 3, 0), service("a", &["x"], 1, 1), service("c", &[], 2, 1)];
        let sorted = |order: Order| {
            let mut list: Vec<_> = all.iter().collect();
            order.sort(&mut list);
            list.iter().map(|service| service.name.as_str()).collect::<String>()
        };
        let orders = [Order::Name, Order::Newest, Order::Servers, Order::Rated];
        assert_eq!(orders.map(sorted), ["abc", "bca", "acb", "abc"]);
        let list: Vec<_> = all.iter().collect();
        assert_eq!(offered(&list, None), BTreeMap::from([("x", 2), ("y", 1)]));
        assert_eq!(offered(&list[2..], Some("x")), BTreeMap::from([("x", 0)]));
    }

    #[test]
    fn the_tags_that_are_offered_are_bounded() {
        let all: Vec<_> = (0..50).map(|n| service(&n.to_string(), &[&format!("t{n}")], 0, 0)).collect();
        let list: Vec<_> = all.iter().collect();
        let offered = offered(&list, Some("t49"));
        assert_eq!(offered.len(), TAGS_OFFERED);
        assert_eq!(offered.get("t49"), Some(&1));
    }
}
