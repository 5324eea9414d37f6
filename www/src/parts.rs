//! Small parts that several views share.

use yew::prelude::*;

use crate::state::View;
use crate::words::short;

#[derive(Properties, PartialEq)]
pub struct PeerProps {
    /// The full id.
    pub id: AttrValue,
    /// The name that its person chose, if any.
    #[prop_or_default]
    pub name: AttrValue,
    /// Is it this tab.
    #[prop_or_default]
    pub me: bool,
}

/// A peer, by its name and the end of its id, with the same colour wherever it appears.
#[component]
pub fn PeerChip(props: &PeerProps) -> Html {
    let tone = format!("dot tone-{}", tone(&props.id));
    html! {
        <span class="peer" title={props.id.clone()}>
            <span class={tone} aria-hidden="true"></span>
            if props.me {
                <span>{ "this tab" }</span>
            } else if !props.name.is_empty() {
                <bdi class="cut">{ &props.name }</bdi>
            }
            <span class="mono faint">{ short(&props.id) }</span>
        </span>
    }
}

/// One of eight colours for an id.
pub fn tone(id: &str) -> usize {
    id.bytes().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % 8
}

#[derive(Properties, PartialEq)]
pub struct EmptyProps {
    pub title: AttrValue,
    #[prop_or_default]
    pub children: Html,
}

/// What stands where there is nothing yet.
#[component]
pub fn Empty(props: &EmptyProps) -> Html {
    html! {
        <div class="empty">
            <svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true" class="empty-mark">
                <path d="M24 42V22" /><path d="M24 26c0-8 5-12 14-12 0 8-5 12-14 12Z" /><path d="M24 32c0-6-4-10-12-10 0 7 4 10 12 10Z" /><path d="M10 42h28" />
            </svg>
            <p class="empty-title">{ &props.title }</p>
            { props.children.clone() }
        </div>
    }
}

#[derive(Properties, PartialEq)]
pub struct ProblemProps {
    pub text: AttrValue,
    #[prop_or_default]
    pub children: Html,
}

/// Something went wrong, in words, with what can be done about it.
#[component]
pub fn Problem(props: &ProblemProps) -> Html {
    html! {
        <div class="banner bad" role="alert">
            <p class="grow">{ &props.text }</p>
            { props.children.clone() }
        </div>
    }
}

/// A view's icon.
pub fn icon(view: View) -> Html {
    let shape = match view {
        View::Services => {
            html! { <><rect x="4" y="4" width="7" height="7" rx="1.5" /><rect x="13" y="4" width="7" height="7" rx="1.5" /><rect x="4" y="13" width="7" height="7" rx="1.5" /><rect x="13" y="13" width="7" height="7" rx="1.5" /></> }
        }
        View::Voice => {
            html! { <><rect x="9" y="3" width="6" height="11" rx="3" /><path d="M5 11a7 7 0 0 0 14 0" /><path d="M12 18v3" /></> }
        }
        View::Volunteer => {
            html! { <><path d="M12 21v-9" /><path d="M12 14c0-5 3-8 8-8 0 5-3 8-8 8Z" /><path d="M12 17c0-4-2.5-6.5-7-6.5 0 4 2.5 6.5 7 6.5Z" /></> }
        }
        View::Ide => {
            html! { <><path d="m8 7-5 5 5 5" /><path d="m16 7 5 5-5 5" /><path d="m13.5 5-3 14" /></> }
        }
        View::Network => {
            html! { <><circle cx="12" cy="5" r="2.5" /><circle cx="5" cy="18" r="2.5" /><circle cx="19" cy="18" r="2.5" /><path d="m10.8 7.2-4.6 8.6M13.2 7.2l4.6 8.6M7.5 18h9" /></> }
        }
        View::Settings => {
            html! { <><path d="M4 7h9M19 7h1M4 17h1M11 17h9" /><circle cx="16" cy="7" r="2.5" /><circle cx="8" cy="17" r="2.5" /></> }
        }
    };
    html! { <svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">{ shape }</svg> }
}

/// The wordmark's sign: a sprout in a browser tab.
pub fn mark() -> Html {
    html! {
        <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
            <path class="mark-tab" d="M3 27V11a5 5 0 0 1 5-5h16a5 5 0 0 1 5 5v16Z" />
            <path class="mark-leaf" d="M16 25v-8M16 18c0-4 2.5-6.5 7-6.5 0 4.5-2.5 6.5-7 6.5ZM16 21c0-3.5-2-5.5-6-5.5 0 4 2 5.5 6 5.5Z" />
        </svg>
    }
}
