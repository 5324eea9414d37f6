//! The Tabfarm app: one page that joins the overlay, and six views of it.
//!
//! It stands on the public JavaScript API (`/tabfarm.js`) alone, as any embedder's page would.
//!
//! | module | holds |
//! |---|---|
//! | `app`, `lazy` | header, tabs, notices; views that are loaded when they are first shown |
//! | `state`, `action`, `view`, `hooks` | one reducer; every side effect that feeds it |
//! | `services`, `catalogue`, `card`, `examples`, `pins` | what is published; which of several services a name means |
//! | `register`, `register_form` | services that run outside of all tabs |
//! | `service_page`, `session`, `default_ui`, `schema`, `schema_form`, `reply` | one open service; forms from its interface |
//! | `voice`, `lobby`, `conference`, `calling` | joining a conference; the one that was joined; finding and ringing people |
//! | `volunteer`, `offer`, `limits`, `power`, `hosted` | what this tab takes on and what that means for the device; what runs in it |
//! | `ide`, `ide_projects`, `ide_files`, `ide_bench`, `ide_output`, `ide_versions` | projects of this browser; the bench of one: files, editor, findings, versions |
//! | `draft`, `draft_json`, `draft_check`, `version`, `ide_form`, `ide_methods` | what the manifest says, as a form with checks |
//! | `publish`, `trial`, `example_runs` | compile and publish; run it in this tab alone; run its examples |
//! | `network`, `map`, `map_layout`, `groups`, `flights`, `plots`, `history`, `timeline` | peers and paths, who serves what, handovers, measurements, events |
//! | `settings` | what this browser keeps for its person |
//! | `api`, `ide_api`, `model`, `json`, `words`, `parts` | bindings; data read from them; sentences; shared components |

mod action;
mod api;
mod app;
mod calling;
mod card;
mod catalogue;
mod conference;
mod default_ui;
mod draft;
mod draft_check;
mod draft_json;
mod example_runs;
mod examples;
mod flights;
mod groups;
mod history;
mod hooks;
mod hosted;
mod ide;
mod ide_api;
mod ide_bench;
mod ide_files;
mod ide_form;
mod ide_methods;
mod ide_output;
mod ide_projects;
mod ide_versions;
mod invite;
mod json;
mod lazy;
mod limits;
mod lobby;
mod map;
mod map_layout;
mod model;
mod network;
mod offer;
mod parts;
mod pins;
mod plots;
mod power;
mod publish;
mod register;
mod register_form;
mod reply;
mod schema;
mod schema_form;
mod service_page;
mod services;
mod session;
mod settings;
mod stars;
mod state;
mod timeline;
mod trial;
mod version;
mod view;
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
