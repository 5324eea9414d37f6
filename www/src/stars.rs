//! Stars of a service: how it is rated, and what this person gives it.

use yew::prelude::*;

use crate::api::{keep_text, kept_text, Peer};
use crate::model::{Rating, ServiceInfo};
use crate::words::{decimal, plural};

/// The most stars.
const MOST: u8 = 5;

#[derive(Properties, PartialEq)]
pub struct Props {
    pub rating: Option<Rating>,
}

/// How a service is rated.
#[component]
pub fn Stars(props: &Props) -> Html {
    match props.rating {
        None => html! { <span class="faint" data-testid="rating">{ "by nobody yet" }</span> },
        Some(Rating { mean, count }) => {
            let who = plural(count as usize, "peer");
            html! {
                <span data-testid="rating" title={format!("{} of {MOST} stars by {who}; one person may have many", decimal(mean))}>
                    <span class="star" aria-hidden="true">{ "★ " }</span>{ decimal(mean) }<span class="faint">{ format!(" by {who}") }</span>
                </span>
            }
        }
    }
}

#[derive(Properties, PartialEq)]
pub struct RateProps {
    pub peer: Peer,
    /// `name@publisher`.
    pub service: String,
    /// What the catalogue knows.
    pub known: Vec<ServiceInfo>,
}

/// Gives a service stars. A press on the stars that were given takes them back.
#[component]
pub fn Rate(props: &RateProps) -> Html {
    let key = format!("tabfarm.stars.{}", props.service);
    let given = {
        let key = key.clone();
        use_state(move || kept_text(&key).parse::<u8>().unwrap_or(0).min(MOST))
    };
    if props.service.ends_with(&format!("@{}", props.peer.id())) {
        return Html::default();
    }
    let rating = props.known.iter().find(|known| known.id == props.service).and_then(|known| known.rating);
    let star = |stars: u8| {
        let (peer, service, key, given) =
            (props.peer.clone(), props.service.clone(), key.clone(), given.clone());
        let (pressed, filled) = (*given == stars, stars <= *given);
        let onclick = Callback::from(move |_: MouseEvent| {
            let stars = if *given == stars { 0 } else { stars };
            // Refusals come as `error` events, which the app shows.
            if peer.rate(&service, stars).is_ok() {
                keep_text(&key, &stars.to_string());
                given.set(stars);
            }
        });
        let label = plural(stars.into(), "star");
        html! {
            <button class={classes!("star-button", filled.then_some("is-on"))} data-testid={format!("rate-{stars}")}
                aria-pressed={pressed.to_string()} aria-label={label} {onclick}>{ if filled { "★" } else { "☆" } }</button>
        }
    };
    html! {
        <div class="strip" data-testid="rate">
            <span role="group" aria-label="Your stars"><span class="faint">{ "Your stars " }</span>{ for (1..=MOST).map(star) }</span>
            <span class="small"><span class="faint">{ "Rated " }</span><Stars {rating} /></span>
        </div>
    }
}
