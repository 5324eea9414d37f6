//! The Tabfarm app: one page that joins the overlay, and six views of it.
//!
//! It stands on the public JavaScript API (`/tabfarm.js`) alone, as any embedder's page would.
//!
//! | module | holds |
//! |---|---|
//! | `app` | header, tabs, notices |
//! | `state`, `hooks` | one reducer; every side effect that feeds it |
//! | `services`, `service_page`, `session`, `default_ui` | the catalogue; one open service |
//! | `voice`, `lobby`, `conference`, `calling` | joining a conference; the one that was joined; finding and ringing people |
//! | `volunteer`, `hosted` | what this tab takes on; what runs in it |
//! | `ide`, `draft`, `ide_form`, `ide_output` | write, compile and publish a service |
//! | `trial` | run the draft in this tab alone |
//! | `network`, `map` | peers, paths, events |
//! | `settings` | what this browser keeps for its person |
//! | `api`, `model`, `words`, `parts` | bindings; data read from them; sentences; shared components |

mod api;
mod app;
mod calling;
mod conference;
mod default_ui;
mod draft;
mod hooks;
mod hosted;
mod ide;
mod ide_form;
mod ide_output;
mod lobby;
mod map;
mod model;
mod network;
mod parts;
mod service_page;
mod services;
mod session;
mod settings;
mod state;
mod trial;
mod voice;
mod volunteer;
mod words;

fn main() {
    let root = hooks::window().document().and_then(|document| document.get_element_by_id("app"));
    if let Some(root) = root {
        root.set_inner_html("");
        yew::Renderer::<app::App>::with_root(root).render();
    }
}
