//! A session whose messages are streamed, for clients that only listen (`curl -N`, `EventSource`).
//!
//! An event `message` holds a message as text; one that is no UTF-8 comes as `bytes`, in base64. `moved` names the new server,
//! `close` says why the session ended.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::sse::{Event as SentEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::Extension;
use base64::prelude::{Engine, BASE64_STANDARD};
use futures::stream;
use overlay::io::Event;
use serde_json::json;

use super::{served_by, stopped, Client, Gateway, Opened};
use crate::problem::Problem;

/// A comment is sent after this long without a message, so that both sides notice when the other has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /s/SERVICE/events`
pub async fn answer(
    State(gateway): State<Gateway>,
    Path(service): Path<String>,
    Extension(client): Extension<Client>,
) -> Result<Response, Problem> {
    let Opened { permit, session, events, .. } = gateway.session(client, service).await?;
    let headers = served_by(&session.info);
    let stop = gateway.0.stop.clone();
    let messages =
        stream::unfold((events, stop, session, permit), |(mut events, mut stop, session, permit)| async {
            loop {
                let event = tokio::select! {
                    event = events.recv() => event?,
                    () = stopped(&mut stop) => return None,
                };
                if let Some(sent) = sent(event) {
                    return Some((Ok::<_, Infallible>(sent), (events, stop, session, permit)));
                }
            }
        });
    Ok((headers, Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

fn sent(event: Event) -> Option<SentEvent> {
    let named = |name: &str| SentEvent::default().event(name);
    match event {
        // A carriage return would end a line of the stream.
        Event::Message { body, .. } => Some(match String::from_utf8(body) {
            Ok(text) if !text.contains('\r') => named("message").data(text),
            Ok(text) => named("bytes").data(BASE64_STANDARD.encode(text)),
            Err(error) => named("bytes").data(BASE64_STANDARD.encode(error.as_bytes())),
        }),
        Event::Moved(info) => {
            let moved = json!({ "server": info.server, "epoch": info.epoch, "term": info.term });
            Some(named("moved").data(moved.to_string()))
        }
        Event::Closed { reason, .. } => Some(named("close").data(reason.replace(['\r', '\n'], " "))),
        _ => None,
    }
}
