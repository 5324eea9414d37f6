//! A WebSocket that is a session.
//!
//! Text frames are JSON. From the client: `{"type": "call" | "query", "id": N, "method": M, "body": VALUE}`, `{"type": "send" |
//! "datagram", "body": VALUE}`. From the relay: `{"type": "open" | "moved", "session", "server", "epoch", "term"}`,
//! `{"type": "reply", "id", "body"}`, `{"type": "error", "id", "code", "message"}`, `{"type": "datagram", "base64"}`, `{"type":
//! "close", "reason"}`. A body is the JSON value where the method has a schema for it, else a text; `base64` instead of `body` is bytes,
//! which is how replies without a schema come. A binary frame is a message, both ways.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::Extension;
use base64::prelude::{Engine, BASE64_STANDARD};
use futures::stream::{FuturesUnordered, StreamExt};
use overlay::io::{Answer, Command, Error, Event, SessionInfo, MAX_BODY};
use overlay::time::Millis;
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::sync::mpsc;

use super::clients::Permit;
use super::services::Manifest;
use super::{stopped, Client, Gateway, Opened};
use crate::node::Session;
use crate::problem::Problem;

/// Bytes of a frame: the largest body in base64, and room around it.
const MAX_FRAME: usize = MAX_BODY * 4 / 3 + 4_096;
/// Calls of one socket at a time.
const MAX_CALLS: usize = 64;
/// Commands of one socket that are under way; more are not read until some are done.
const MAX_WAITING: usize = 192;
/// Bytes of their bodies; a frame more may be read. The node keeps a body until its call is answered.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// A call is given up after this time.
const CALL_MS: u64 = 30_000;
/// A client is asked whether it is there after this long; it has as long to answer.
const PING: Duration = Duration::from_secs(20);
/// A frame that its client does not take for so long ends the session.
const STALL: Duration = Duration::from_secs(15);

/// Codes of RFC 6455 for the end of a socket.
const GOING_AWAY: u16 = 1001;
const BAD_DATA: u16 = 1007;
const TRY_LATER: u16 = 1013;

/// `GET /s/SERVICE/session`
pub async fn answer(
    State(gateway): State<Gateway>,
    Path(service): Path<String>,
    Extension(client): Extension<Client>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let Opened { permit, manifest, session, events } = gateway.session(client, service).await?;
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(move |socket| {
        Conversation { gateway, manifest, session, socket, _permit: permit }.run(events)
    }))
}

struct Conversation {
    gateway: Gateway,
    manifest: Arc<Manifest>,
    session: Session,
    socket: WebSocket,
    _permit: Permit,
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    Call {
        id: u64,
        method: String,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        base64: Option<String>,
    },
    Query {
        id: u64,
        method: String,
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        base64: Option<String>,
    },
    Send {
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        base64: Option<String>,
    },
    Datagram {
        #[serde(default)]
        body: Option<Value>,
        #[serde(default)]
        base64: Option<String>,
    },
}

/// A command's number, its method, the bytes of its body, and what came of it.
type Answered = (Option<u64>, String, usize, Result<Vec<u8>, Error>);
/// Why a socket ends: a code and a text.
type End = (u16, &'static str);

impl Conversation {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let end = self.talk(&mut events).await;
        if let Err((code, reason)) = end {
            // Whoever has gone needs no word.
            let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            let _ = tokio::time::timeout(STALL, self.socket.send(close)).await;
        }
    }

    async fn talk(&mut self, events: &mut mpsc::Receiver<Event>) -> Result<(), End> {
        let mut stop = self.gateway.0.stop.clone();
        let mut calls = FuturesUnordered::new();
        let mut ping = tokio::time::interval(PING);
        let mut heard = true;
        let mut bytes = 0;
        let opened = standing("open", &self.session.info);
        self.say(opened).await?;
        loop {
            let listens = calls.len() < MAX_WAITING && bytes < MAX_WAITING_BYTES;
            // Whoever is not listened to may have answered.
            heard |= !listens;
            tokio::select! {
                said = self.socket.recv(), if listens => {
                    heard = true;
                    match said {
                        Some(Ok(Message::Text(text))) => {
                            let said = serde_json::from_str(&text).map_err(|_| (BAD_DATA, "a text frame is JSON of a known form"))?;
                            let (id, command) = self.command(said)?;
                            match id {
                                Some(id) if calls.len() >= MAX_CALLS => {
                                    let busy = Error::Overloaded("too many calls are under way".into(), Millis(200));
                                    self.say(failed(Some(id), &busy)).await?;
                                }
                                _ => {
                                    bytes += size(&command.1);
                                    calls.push(self.ask(id, command));
                                }
                            }
                        }
                        Some(Ok(Message::Binary(body))) => {
                            let command = Command::Message { session: self.session.id, body: body.to_vec() };
                            bytes += size(&command);
                            calls.push(self.ask(None, (String::new(), command)));
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    }
                }
                Some((id, method, spent, result)) = calls.next(), if !calls.is_empty() => {
                    bytes -= spent;
                    let said = match (id, result) {
                        (Some(id), Ok(body)) => self.reply(id, &method, body),
                        (None, Ok(_)) => continue,
                        (id, Err(error)) => failed(id, &error),
                    };
                    self.say(said).await?;
                }
                event = events.recv() => match event {
                    Some(Event::Message { body, .. }) => self.send(Message::Binary(body.into())).await?,
                    Some(Event::Datagram { body, .. }) => {
                        self.say(json!({ "type": "datagram", "base64": BASE64_STANDARD.encode(body) })).await?;
                    }
                    Some(Event::Moved(info)) => {
                        self.say(standing("moved", &info)).await?;
                    }
                    Some(Event::SessionError { code, message, .. }) => {
                        self.say(json!({ "type": "error", "code": code, "message": message })).await?;
                    }
                    Some(Event::Closed { reason, .. }) => {
                        self.say(json!({ "type": "close", "reason": reason })).await?;
                        return Err((GOING_AWAY, "the session ended"));
                    }
                    Some(_) => {}
                    None => return Err((TRY_LATER, "too slow: messages were waiting")),
                },
                _ = ping.tick() => {
                    if !std::mem::take(&mut heard) {
                        return Err((GOING_AWAY, "no answer"));
                    }
                    self.send(Message::Ping(Default::default())).await?;
                }
                () = stopped(&mut stop) => return Err((GOING_AWAY, "the relay stops")),
            }
        }
    }

    /// What a client's frame asks of the node, and under which number and method.
    fn command(&self, said: Said) -> Result<(Option<u64>, (String, Command)), End> {
        let session = self.session.id;
        Ok(match said {
            Said::Call { id, method, body, base64 } => {
                let body = self.bytes(Some(&method), body, base64)?;
                let command = Command::Call { session, method: method.clone(), body, deadline_ms: CALL_MS };
                (Some(id), (method, command))
            }
            Said::Query { id, method, body, base64 } => {
                let body = self.bytes(Some(&method), body, base64)?;
                let (deadline_ms, max_age_ms) = (CALL_MS, None);
                let command =
                    Command::Query { session, method: method.clone(), body, deadline_ms, max_age_ms };
                (Some(id), (method, command))
            }
            Said::Send { body, base64 } => {
                let body = self.bytes(None, body, base64)?;
                (None, (String::new(), Command::Message { session, body }))
            }
            Said::Datagram { body, base64 } => {
                let body = self.bytes(None, body, base64)?;
                (None, (String::new(), Command::Datagram { session, body }))
            }
        })
    }

    fn bytes(
        &self,
        method: Option<&str>,
        body: Option<Value>,
        base64: Option<String>,
    ) -> Result<Vec<u8>, End> {
        let is_json =
            method.and_then(|name| self.manifest.interface.get(name)).is_some_and(|m| m.body.is_some());
        match (body, base64) {
            (None, None) => Ok(Vec::new()),
            (None, Some(text)) => {
                BASE64_STANDARD.decode(text).map_err(|_| (BAD_DATA, "base64 cannot be read"))
            }
            (Some(Value::String(text)), None) if !is_json => Ok(text.into_bytes()),
            (Some(value), None) => Ok(value.to_string().into_bytes()),
            (Some(_), Some(_)) => Err((BAD_DATA, "body or base64, not both")),
        }
    }

    fn reply(&self, id: u64, method: &str, body: Vec<u8>) -> Value {
        let is_json = self.manifest.interface.get(method).is_some_and(|method| method.reply.is_some());
        let value = is_json.then(|| serde_json::from_slice::<Value>(&body).ok()).flatten();
        match value {
            Some(value) => json!({ "type": "reply", "id": id, "body": value }),
            None => json!({ "type": "reply", "id": id, "base64": BASE64_STANDARD.encode(body) }),
        }
    }

    /// Gives a command at once, in the order of the client's frames; its answer comes later.
    fn ask(
        &self,
        id: Option<u64>,
        (method, command): (String, Command),
    ) -> impl Future<Output = Answered> + 'static {
        let bytes = size(&command);
        let answer = self.gateway.0.node.submit(command);
        async move {
            let result = match answer {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            let body = result.map(|answer| match answer {
                Answer::Reply(body) => body,
                _ => Vec::new(),
            });
            (id, method, bytes, body)
        }
    }

    async fn say(&mut self, value: Value) -> Result<(), End> {
        self.send(Message::Text(value.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(STALL, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err((TRY_LATER, "too slow")),
        }
    }
}

/// Bytes of a command's body.
fn size(command: &Command) -> usize {
    match command {
        Command::Call { body, .. }
        | Command::Query { body, .. }
        | Command::Message { body, .. }
        | Command::Datagram { body, .. } => body.len(),
        _ => 0,
    }
}

/// Where the session is served.
fn standing(what: &str, info: &SessionInfo) -> Value {
    json!({ "type": what, "session": info.id, "server": info.server, "epoch": info.epoch, "term": info.term })
}

fn failed(id: Option<u64>, error: &Error) -> Value {
    let mut said = json!({ "type": "error", "code": error.code(), "message": error.to_string() });
    if let Some(id) = id {
        said["id"] = id.into();
    }
    if let Some(Millis(ms)) = error.retry_after() {
        said["retryAfterMs"] = ms.into();
    }
    said
}
