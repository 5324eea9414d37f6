//! The Tabfarm app: one page that joins the overlay, and six views of it.
//!
//! It stands on the public JavaScript API (`/tabfarm.js`) alone, as any embedder's page would.
//!
//! | module | holds |
//! |---|---|
//! | `app` | header, tabs, notices |
//! | `state`, `hooks` | one reducer; every side effect that feeds it |
//! | `services`, `service_page`, `session`, `default_ui`, `schema` | the catalogue; one open service; forms from JSON Schemas |
//! | `voice`, `lobby`, `conference`, `calling` | joining a conference; the one that was joined; finding and ringing people |
//! | `volunteer`, `hosted` | what this tab takes on; what runs in it |
//! | `ide`, `ide_projects`, `ide_files`, `ide_bench`, `ide_output`, `ide_versions` | projects of this browser; the bench of one: files, editor, findings, versions |
//! | `draft`, `draft_check`, `ide_form`, `ide_methods` | what the manifest says, as a form with checks |
//! | `publish`, `trial`, `examples` | compile and publish; run it in this tab alone; run its examples |
//! | `network`, `map` | peers, paths, events |
//! | `settings` | what this browser keeps for its person |
//! | `api`, `model`, `words`, `parts` | bindings; data read from them; sentences; shared components |

mod api;
mod app;
mod calling;
mod conference;
mod default_ui;
mod draft;
mod draft_check;
mod examples;
mod hooks;
mod hosted;
mod ide;
mod ide_bench;
mod ide_files;
mod ide_form;
mod ide_methods;
mod ide_output;
mod ide_projects;
mod ide_versions;
mod lobby;
mod map;
mod model;
mod network;
mod parts;
mod publish;
mod schema;
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
