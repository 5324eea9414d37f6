//! What this browser published from a project, with a way back to each version's source.

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;
use yew::prelude::*;

use crate::hooks::Dispatch;
use crate::ide::{Current, Desk};
use crate::model::{count, field, flag, text};
use crate::state::Action;
use crate::words::{bytes, explain, moment, short, trimmed};

/// One publication.
#[derive(Clone, PartialEq)]
struct Version {
    at: f64,
    service: String,
    package: String,
    version: String,
    size: u64,
    /// Is its source still here.
    kept: bool,
}

#[derive(Properties, PartialEq)]
pub struct Props {
    pub desk: Desk,
    pub current: Current,
    /// Changes with each publication.
    pub published: u32,
    /// The project's files and form were replaced.
    pub restored: Callback<()>,
    pub dispatch: Dispatch,
}

/// The list, folded away while there is none.
#[component]
pub fn Versions(props: &Props) -> Html {
    let versions = use_state(Vec::<Version>::new);
    let asking = use_state(|| None::<f64>);
    {
        let (versions, desk, Current(project)) =
            (versions.setter(), props.desk.clone(), props.current.clone());
        use_effect_with(props.published, move |_| {
            spawn_local(async move {
                // Without them the list is empty; the store says what is wrong with keeping.
                let found = desk.ide.versions_of(&desk.store, &project.id()).await.unwrap_or_default();
                versions.set(Array::from(&found).iter().map(|each| read(&each)).collect());
            });
        });
    }
    if versions.is_empty() {
        return Html::default();
    }
    let bring = |at: f64| {
        let (desk, Current(project), asking, restored, dispatch) = (
            props.desk.clone(),
            props.current.clone(),
            asking.setter(),
            props.restored.clone(),
            props.dispatch.clone(),
        );
        Callback::from(move |_: MouseEvent| {
            let (desk, project, restored, dispatch) =
                (desk.clone(), project.clone(), restored.clone(), dispatch.clone());
            asking.set(None);
            spawn_local(async move {
                match desk.ide.bring_back(&desk.store, &project, at).await {
                    Ok(_) => restored.emit(()),
                    Err(error) => dispatch.dispatch(Action::warn(explain(&error))),
                }
            });
        })
    };
    let ask = |at: Option<f64>| {
        let asking = asking.setter();
        Callback::from(move |_: MouseEvent| asking.set(at))
    };
    html! {
        <details class="card versions" data-testid="ide-versions">
            <summary>{ format!("Published from here ({})", versions.len()) }</summary>
            <ul class="plain">
                { for versions.iter().map(|each| html! {
                    <li key={each.at.to_string()} class="project-row" data-testid="ide-published" data-version={each.version.clone()}>
                        if *asking == Some(each.at) {
                            <span class="grow problem">{ format!("Put version {} in place of what the editor holds now?", each.version) }</span>
                            <button class="button primary" data-testid="ide-version-yes" onclick={bring(each.at)}>{ "Bring it back" }</button>
                            <button class="button" onclick={ask(None)}>{ "Leave it" }</button>
                        } else {
                            <span class="grow wrap"><strong>{ &each.version }</strong>{ " " }<bdi>{ crate::words::service_name(&each.service) }</bdi>
                                <span class="faint small">{ format!(" {}, {}", moment(each.at), bytes(each.size)) }
                                    if !each.package.is_empty() { <span class="mono" title={each.package.clone()}>{ format!(", package …{}", short(&each.package)) }</span> }
                                </span></span>
                            <button class="quiet small" data-testid="ide-version-back" disabled={!each.kept} onclick={ask(Some(each.at))}>{ "Bring back" }</button>
                        }
                    </li>
                }) }
            </ul>
            <p class="hint">{ "The last 20 are kept in this browser." }</p>
        </details>
    }
}

fn read(value: &JsValue) -> Version {
    Version {
        at: field(value, "at").as_f64().unwrap_or_default(),
        service: trimmed(&text(value, "service")),
        package: trimmed(&text(value, "package")),
        version: trimmed(&text(value, "version")),
        size: count(value, "size"),
        kept: flag(value, "kept"),
    }
}
