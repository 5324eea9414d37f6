//! The time line: what happened, newest first, filtered by kind and by text.

use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::state::{Entry, EntryKind};
use crate::words::{clock, lower};

/// The kinds, with what their chips say.
const KINDS: [(EntryKind, &str); 5] = [
    (EntryKind::Peer, "Peers"),
    (EntryKind::Service, "Services"),
    (EntryKind::Handover, "Moves"),
    (EntryKind::Log, "Logs"),
    (EntryKind::Error, "Errors"),
];

#[derive(Properties, PartialEq)]
pub struct Props {
    /// Newest first.
    pub entries: Vec<Entry>,
}

/// The time line.
#[component]
pub fn Timeline(props: &Props) -> Html {
    let chosen = use_state(|| None::<EntryKind>);
    let wanted = use_state(String::new);
    let oninput = {
        let wanted = wanted.clone();
        Callback::from(move |event: InputEvent| {
            wanted.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let needle = lower(wanted.trim());
    let shown: Vec<&Entry> = props
        .entries
        .iter()
        .filter(|entry| chosen.is_none_or(|kind| entry.kind == kind))
        .filter(|entry| needle.is_empty() || lower(&entry.text).contains(&needle))
        .collect();
    let chip = |kind: Option<EntryKind>, label: &'static str| {
        let set = chosen.clone();
        html! { <button class="chip" aria-pressed={(*chosen == kind).to_string()} data-testid="timeline-kind" onclick={move |_| set.set(kind)}>{ label }</button> }
    };
    html! {
        <>
            <div class="chips" role="group" aria-label="Which events">
                { chip(None, "All") }
                { for KINDS.iter().map(|(kind, label)| chip(Some(*kind), label)) }
            </div>
            <input type="search" placeholder="Filter by text" aria-label="Filter events by text" data-testid="timeline-filter" value={(*wanted).clone()} {oninput} />
            if shown.is_empty() {
                <p class="log-empty hint">{ if props.entries.is_empty() { "Peers that come and go, handovers and what services log appear here." } else { "Nothing of this kind has happened." } }</p>
            } else {
                <div class="log" role="log" data-testid="timeline" tabindex="0" aria-label="Events"><ol class="plain">
                    { for shown.iter().map(|entry| {
                        let (tone, sign) = match entry.kind {
                            EntryKind::Peer => ("peer-line", "peer"),
                            EntryKind::Service => ("got", "here"),
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
                </ol></div>
            }
        </>
    }
}
