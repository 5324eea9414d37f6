//! The frame around the views: header, tabs, notices.

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::calling::{announced, Rings};
use crate::hooks::{go, use_address, use_dismissal, use_peer, window, Dispatch};
use crate::ide_api::load_ide;
use crate::lazy::{use_unasked, Lazy, Part};
use crate::offer::lasts;
use crate::parts::{icon, mark, Problem};
use crate::power::use_wakefulness;
use crate::services::ServicesView;
use crate::settings::secure;
use crate::state::{Action, Join, Notice, State, View};
use crate::words::plural;

/// The whole app.
#[component]
pub fn App() -> Html {
    let state = use_reducer(State::default);
    use_peer(&state);
    use_address(state.dispatcher());
    use_unasked(state.status.joined);
    use_wakefulness(!state.status.hosting.is_empty());
    // What a person switched on goes on after a reload, whichever view is shown.
    let lasting = use_memo((), |()| [(View::Volunteer, lasts()), (View::Voice, announced())]);
    let panel = |view: View| {
        // A view stays mounted once shown, so that an open session, a frame or an editor survives a look elsewhere.
        let shown = state.view == view;
        let mounted = state.visited.contains(&view) || lasting.contains(&(view, true));
        html! {
            <section id={format!("panel-{}", view.slug())} role="tabpanel" aria-labelledby={format!("tab-{}", view.slug())}
                hidden={!shown} tabindex="-1" key={view.slug()}>
                if mounted {
                    if let Some(part) = part(view) { <Lazy {part} state={state.clone()} /> } else { <ServicesView state={state.clone()} /> }
                }
            </section>
        }
    };
    html! {
        <>
            <Header state={state.clone()} />
            <main id="main">
                if let Join::Failed(why) = &state.join {
                    <Problem text={format!("This tab could not join. {why}")}>
                        <button class="button" onclick={|_| { let _ = window().location().reload(); }}>{ "Try again" }</button>
                    </Problem>
                }
                if !secure() {
                    <div class="banner" role="note" data-testid="insecure">
                        <p>{ "This page was opened over plain http: the browser keeps no lasting identity for it and lends it no microphone or camera. Everything else works. Open it over https or on localhost to have them." }</p>
                    </div>
                }
                <Rings rings={state.rings.clone()} dispatch={state.dispatcher()} />
                { for View::ALL.into_iter().map(panel) }
            </main>
            <div class="notices" role="status" aria-live="polite">
                { for state.notices.iter().map(|notice| html! {
                    <NoticeLine key={notice.id} notice={notice.clone()} dispatch={state.dispatcher()} />
                }) }
            </div>
        </>
    }
}

#[derive(Properties, PartialEq)]
struct HeaderProps {
    state: UseReducerHandle<State>,
}

#[component]
fn Header(props: &HeaderProps) -> Html {
    let state = &props.state;
    let (tone, words) = standing(state);
    let id = state.peer.as_ref().map(|peer| peer.id()).unwrap_or_default();
    let peers = state.status.peers.len();
    html! {
        <header class="top">
            <a class="brand" href="#/services" aria-label="Tabfarm">{ mark() }<span>{ "Tabfarm" }</span></a>
            <Tabs view={state.view} hosting={state.status.hosting.len()} talking={state.talking} />
            <div class="standing">
                <span class={classes!("state-dot", tone)} aria-hidden="true"></span>
                <span data-testid="status" role="status" class="state-word">{ words }</span>
                <span class="count" title="Connected peers">
                    <span data-testid="peer-count">{ peers }</span>
                    <span class="count-word">{ if peers == 1 { " peer" } else { " peers" } }</span>
                </span>
                <span class="my-id mono" data-testid="peer-id" title="Your peer id">{ id }</span>
            </div>
        </header>
    }
}

fn standing(state: &State) -> (&'static str, String) {
    match &state.join {
        Join::Failed(_) => ("is-bad", "could not join".into()),
        Join::Joining => ("is-waiting", "joining…".into()),
        Join::Running if state.status.joined && state.status.relays.is_empty() => {
            ("is-good", "joined, no relay now".into())
        }
        Join::Running if state.status.joined => ("is-good", "joined".into()),
        Join::Running if !state.status.peers.is_empty() => {
            ("is-waiting", "joining… (no relay lends an address yet)".into())
        }
        Join::Running => ("is-waiting", "joining… (looking for a relay)".into()),
    }
}

#[derive(Properties, PartialEq)]
struct TabsProps {
    view: View,
    hosting: usize,
    talking: bool,
}

/// The tabs, as the ARIA practices describe them: one stop in the tab order, arrow keys between them.
#[component]
fn Tabs(props: &TabsProps) -> Html {
    let onkeydown = {
        let view = props.view;
        Callback::from(move |event: KeyboardEvent| {
            let all = View::ALL;
            let at = all.iter().position(|each| *each == view).unwrap_or(0);
            let next = match event.key().as_str() {
                "ArrowRight" => (at + 1) % all.len(),
                "ArrowLeft" => (at + all.len() - 1) % all.len(),
                "Home" => 0,
                "End" => all.len() - 1,
                _ => return,
            };
            event.prevent_default();
            go(all[next], None);
            focus(&format!("tab-{}", all[next].slug()));
        })
    };
    html! {
        <div class="tabs" role="tablist" aria-label="Views" {onkeydown}>
            { for View::ALL.into_iter().map(|view| {
                let chosen = view == props.view;
                html! {
                    <button key={view.slug()} id={format!("tab-{}", view.slug())} role="tab" class="tab" data-testid={format!("tab-{}", view.slug())}
                        aria-selected={chosen.to_string()} aria-controls={format!("panel-{}", view.slug())}
                        tabindex={if chosen { "0" } else { "-1" }} onpointerenter={move |_| foresee(view)} onclick={move |_| go(view, None)}>
                        { icon(view) }
                        <span>{ view.label() }</span>
                        if view == View::Volunteer && props.hosting > 0 {
                            <span class="badge" aria-label={plural(props.hosting, "service").to_string() + " here"}>{ props.hosting }</span>
                        }
                        if view == View::Voice && props.talking {
                            <span class="badge" aria-label="in a conference">{ "on" }</span>
                        }
                    </button>
                }
            }) }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct NoticeProps {
    notice: Notice,
    dispatch: Dispatch,
}

#[component]
fn NoticeLine(props: &NoticeProps) -> Html {
    let id = props.notice.id;
    use_dismissal(id, props.dispatch.clone());
    let dispatch = props.dispatch.clone();
    html! {
        <div class={classes!("notice", props.notice.bad.then_some("bad"))}>
            <p>{ &props.notice.text }</p>
            <button class="quiet" aria-label="Dismiss" onclick={move |_| dispatch.dispatch(Action::Dismiss(id))}>{ "✕" }</button>
        </div>
    }
}

/// What a view is loaded as; the first one is there from the start.
fn part(view: View) -> Option<Part> {
    match view {
        View::Services => None,
        View::Voice => Some(Part::Voice),
        View::Volunteer => Some(Part::Volunteer),
        View::Ide => Some(Part::Ide),
        View::Network => Some(Part::Network),
        View::Settings => Some(Part::Settings),
    }
}

/// A pointer on a tab: its view begins to load while the person still moves, and the IDE's compiler with it.
fn foresee(view: View) {
    // Where something cannot be loaded, the view says so once it is opened.
    if let Some(part) = part(view) {
        spawn_local(async move { drop(part.load().await) });
    }
    if view == View::Ide {
        spawn_local(async {
            if let Ok(ide) = load_ide().await {
                ide.warm("assemblyscript");
            }
        });
    }
}

fn focus(id: &str) {
    let element = window().document().and_then(|document| document.get_element_by_id(id));
    if let Some(element) = element.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok()) {
        // Focus is a courtesy; a browser that refuses it breaks nothing.
        let _ = element.focus();
    }
}
