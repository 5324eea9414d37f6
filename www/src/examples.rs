//! The services that come with the app, ready to be published by anybody.

use js_sys::{Array, Object, JSON};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::api::{fetch_bytes, set, Peer};
use crate::hooks::{search, Dispatch};
use crate::model::text;
use crate::state::Action;
use crate::words::explain;

/// Their names, and what they do.
const EXAMPLES: [(&str, &str); 5] = [
    ("counter", "A number that everybody can add to."),
    ("chat", "A room with its own little UI."),
    ("voice", "Conferences; open them under Voice."),
    ("kv", "Keys and values that outlive any one tab."),
    ("echo", "Gives back what it gets."),
];

#[derive(Properties, PartialEq)]
pub struct Props {
    pub peer: Option<Peer>,
    pub dispatch: Dispatch,
    /// Is there nothing else to be seen.
    pub alone: bool,
}

/// The list of them.
#[component]
pub fn Examples(props: &Props) -> Html {
    let busy = use_state(|| None::<&'static str>);
    html! {
        <section class="stack examples" aria-labelledby="examples-title">
            <div>
                <h2 id="examples-title">{ if props.alone { "Nothing is published yet" } else { "Publish an example" } }</h2>
                if props.alone {
                    <p class="hint">{ "Publish an example with one click: it runs in this tab, and everybody who is connected can use it. Or " }<a href="#/ide">{ "write a service of your own" }</a>{ "." }</p>
                }
            </div>
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
