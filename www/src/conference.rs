//! The conference that this tab takes part in: who is there, who speaks, and what arrives.

use gloo::events::EventListener;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{copy_text, Conference};
use crate::hooks::window;
use crate::invite::Invite;
use crate::lobby::people;
use crate::model::{count, each, field, flag, text, PeerInfo};
use crate::parts::{PeerChip, Problem};
use crate::words::{plural, trimmed};

/// What a conference says of itself, see `www/js/voice/conference.js`.
#[derive(Clone, PartialEq, Default)]
struct Seen {
    /// Why it ended; `None` while it goes on.
    ended: Option<String>,
    name: String,
    server: String,
    moves: u64,
    /// `on`, `muted`, `asking` or `none`.
    microphone: String,
    problem: String,
    /// Sound waits for the person to press something.
    silent: bool,
    people: Vec<Person>,
}

#[derive(Clone, PartialEq)]
struct Person {
    speaker: u64,
    nick: String,
    muted: bool,
    speaking: bool,
    listening: bool,
    me: bool,
    /// Loudness in percent of what a meter shows.
    level: u64,
    heard: Heard,
}

/// Frames of one speaker.
#[derive(Clone, PartialEq)]
struct Heard {
    sent: u64,
    received: u64,
    lost: u64,
    doubled: u64,
    longest_gap_ms: u64,
    hidden: u64,
    /// Frames that are held back, 20 ms each.
    target: u64,
}

impl Seen {
    fn read(state: &JsValue) -> Self {
        Self {
            ended: field(state, "ended").as_string(),
            name: text(state, "name"),
            server: text(state, "server"),
            moves: count(state, "moves"),
            microphone: text(state, "microphone"),
            problem: trimmed(&text(state, "problem")),
            silent: text(state, "sound") == "suspended",
            people: each(state, "people").map(|person| Person::read(&person)).collect(),
        }
    }

    fn is_muted(&self) -> bool {
        self.microphone == "muted"
    }
}

impl Person {
    fn read(value: &JsValue) -> Self {
        let figures = field(value, "figures");
        let sounded = field(&figures, "sounded");
        Self {
            speaker: count(value, "speaker"),
            nick: trimmed(&text(value, "nick")),
            muted: flag(value, "muted"),
            speaking: flag(value, "speaking"),
            listening: flag(value, "listening"),
            me: flag(value, "me"),
            level: percent(field(value, "level").as_f64().unwrap_or(0.0)),
            heard: Heard {
                sent: count(&figures, "sent"),
                received: count(&figures, "received"),
                lost: count(&figures, "lost"),
                doubled: count(&figures, "doubled"),
                longest_gap_ms: count(&figures, "longestGapMs"),
                hidden: count(&sounded, "lost") + count(&sounded, "stalled"),
                target: count(&sounded, "target"),
            },
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            Self { listening: true, .. } => "listens only",
            Self { muted: true, .. } => "muted",
            Self { speaking: true, .. } => "speaking",
            _ => "quiet",
        }
    }
}

/// Loudness as people hear it: the root of the amplitude, so that quiet speech moves the meter too.
fn percent(level: f64) -> u64 {
    (level.clamp(0.0, 1.0).sqrt() * 100.0) as u64
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub conference: Conference,
    pub me: String,
    pub peers: Vec<PeerInfo>,
    /// It is over, and why, or an empty text when the person left.
    pub left: Callback<String>,
}

/// The page of a conference; leaving it leaves the conference.
#[component]
pub fn ConferencePage(props: &Props) -> Html {
    let seen = use_state_eq(|| Seen::read(&props.conference.state()));
    {
        let seen = seen.clone();
        use_effect_with(props.conference.clone(), move |conference| {
            let source = conference.clone();
            seen.set(Seen::read(&source.state()));
            let listener =
                EventListener::new(conference, "change", move |_| seen.set(Seen::read(&source.state())));
            let conference = conference.clone();
            move || {
                drop(listener);
                conference.leave();
            }
        });
    }
    {
        let left = props.left.clone();
        use_effect_with(seen.ended.clone(), move |ended| {
            if let Some(why) = ended {
                left.emit(why.clone());
            }
        });
    }
    let leave = {
        let conference = props.conference.clone();
        Callback::from(move |_: MouseEvent| conference.leave())
    };
    let resume = {
        let conference = props.conference.clone();
        Callback::from(move |_: MouseEvent| {
            let conference = conference.clone();
            spawn_local(async move {
                // A browser that refuses leaves the button where it is.
                let _ = conference.resume().await;
            });
        })
    };
    html! {
        <article class="stack" data-testid="voice-page" data-moves={seen.moves.to_string()}>
            <div class="head wraps">
                <div class="grow">
                    <h1><bdi>{ &seen.name }</bdi></h1>
                    <p class="lead" role="status">{ people(seen.people.len() as u64) }{ " in the conference" }</p>
                </div>
                <div class="toolbar">
                    <CopyInvitation />
                    <button class="button danger" data-testid="voice-leave" onclick={leave}>{ "Leave" }</button>
                </div>
            </div>
            if seen.silent {
                <div class="banner" role="alert"><p class="grow">{ "The browser keeps this page silent until you press something." }</p>
                    <button class="button" onclick={resume}>{ "Turn the sound on" }</button></div>
            }
            <MicrophoneBar conference={props.conference.clone()} microphone={seen.microphone.clone()} muted={seen.is_muted()} problem={seen.problem.clone()} />
            <ul class="people" aria-label="People">
                { for seen.people.iter().map(|person| html! { <PersonLine key={person.speaker} person={person.clone()} /> }) }
            </ul>
            <Standing server={seen.server.clone()} moves={seen.moves} me={props.me.clone()} peers={props.peers.clone()} />
        </article>
    }
}

#[component]
fn CopyInvitation() -> Html {
    let copied = use_state(|| false);
    let onclick = {
        let copied = copied.clone();
        Callback::from(move |_: MouseEvent| {
            let copied = copied.clone();
            spawn_local(async move {
                let link = window().location().href().unwrap_or_default();
                copied.set(copy_text(&link).await);
            });
        })
    };
    let link = window().location().href().unwrap_or_default();
    html! {
        <>
            <button class="button" {onclick}><span aria-live="polite">{ if *copied { "Link copied" } else { "Copy invitation" } }</span></button>
            <Invite {link} label="QR code" title="Join the conference from another device" />
        </>
    }
}

#[derive(Properties, PartialEq)]
struct MicrophoneProps {
    conference: Conference,
    microphone: String,
    muted: bool,
    problem: String,
}

#[component]
fn MicrophoneBar(props: &MicrophoneProps) -> Html {
    let mute = {
        let (conference, muted) = (props.conference.clone(), props.muted);
        Callback::from(move |_: MouseEvent| conference.mute(!muted))
    };
    let again = {
        let conference = props.conference.clone();
        Callback::from(move |_: MouseEvent| {
            let conference = conference.clone();
            spawn_local(async move {
                // Why it failed is in the conference's state.
                let _ = conference.open_microphone().await;
            });
        })
    };
    match props.microphone.as_str() {
        "none" if props.problem.is_empty() => html! {
            <div class="strip"><span class="grow" data-testid="voice-microphone">{ "You listen only." }</span><button class="button" onclick={again}>{ "Use the microphone" }</button></div>
        },
        "none" => html! {
            <Problem text={format!("{} You listen only.", props.problem)}>
                <span class="visually-hidden" data-testid="voice-microphone">{ "You listen only." }</span>
                <button class="button" onclick={again}>{ "Try again" }</button>
            </Problem>
        },
        "asking" => {
            html! { <div class="strip" role="status"><span data-testid="voice-microphone">{ "Allow the microphone in the browser's question…" }</span></div> }
        }
        _ => html! {
            <div class="strip">
                <span class="grow" role="status" data-testid="voice-microphone">{ if props.muted { "You are muted: nobody hears you." } else { "Your microphone is on." } }</span>
                if !props.problem.is_empty() { <span class="problem">{ &props.problem }</span> }
                <button class={classes!("button", (!props.muted).then_some("primary"))} data-testid="voice-mute" aria-pressed={props.muted.to_string()} onclick={mute}>
                    { if props.muted { "Unmute" } else { "Mute" } }
                </button>
            </div>
        },
    }
}

#[derive(Properties, PartialEq)]
struct PersonProps {
    person: Person,
}

#[component]
fn PersonLine(props: &PersonProps) -> Html {
    let person = &props.person;
    let heard = &person.heard;
    html! {
        <li class={classes!("person", (person.speaking && !person.muted).then_some("speaks"))} data-testid="voice-person" data-nick={person.nick.clone()}
            data-me={person.me.to_string()} data-state={person.doing()} data-sent={heard.sent.to_string()} data-received={heard.received.to_string()}
            data-lost={heard.lost.to_string()} data-doubled={heard.doubled.to_string()} data-gap={heard.longest_gap_ms.to_string()}>
            <span class={classes!("state-dot", (person.speaking && !person.muted).then_some("is-good"))} aria-hidden="true"></span>
            <span class="person-name"><strong><bdi>{ &person.nick }</bdi></strong>if person.me { <span class="faint">{ " (you)" }</span> }</span>
            <span class={classes!("pill", person.speaking.then_some("good"), person.muted.then_some("warn"))}>{ person.doing() }</span>
            <meter class="level" min="0" max="100" value={person.level.to_string()} data-testid="voice-level" aria-label={format!("Loudness of {}", person.nick)}></meter>
            <span class="small faint figures" title={figures_title(heard)}>
                if person.me {
                    { format!("{} sent", plural(heard.sent as usize, "frame")) }
                } else if heard.received > 0 {
                    { format!("{} of {} lost, heard {} ms late", heard.lost, heard.lost + heard.received, heard.target * 20) }
                } else { { "nothing heard yet" } }
            </span>
        </li>
    }
}

fn figures_title(heard: &Heard) -> String {
    format!(
        "{} frames of 20 ms hidden, {} came twice; the longest gap was {} ms",
        heard.hidden, heard.doubled, heard.longest_gap_ms
    )
}

#[derive(Properties, PartialEq)]
struct StandingProps {
    server: String,
    moves: u64,
    me: String,
    peers: Vec<PeerInfo>,
}

/// Who passes the voices on now.
#[component]
fn Standing(props: &StandingProps) -> Html {
    let known = props.peers.iter().find(|peer| peer.id == props.server);
    let name = known.map(|peer| peer.name.clone()).unwrap_or_default();
    let moved = match props.moves {
        0 => "has not moved".to_owned(),
        1 => "moved once".to_owned(),
        moves => format!("moved {moves} times"),
    };
    html! {
        <div class="strip small">
            <span><span class="faint">{ "Passed on by " }</span><PeerChip id={props.server.clone()} {name} me={props.server == props.me} /></span>
            <span>{ moved }</span>
            <span class="faint">{ if props.server != props.me {
                "Whoever passes voices on can hear them."
            } else if props.peers.iter().any(|peer| peer.volunteer) {
                "When you close this tab, a volunteer passes the voices on."
            } else {
                "Nobody else volunteers: when you close this tab, the conference ends."
            } }</span>
        </div>
    }
}
