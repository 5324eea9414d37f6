//! From a project to a package, and from there to a running service: compiling, publishing, keeping the version.

use js_sys::{Array, Date, Object, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::api::{set, Peer};
use crate::draft::Draft;
use crate::hooks::Dispatch;
use crate::ide::Desk;
use crate::ide_api::{Project, Workspace};
use crate::ide_output::{diagnostics, Output, Step};
use crate::model::{field, text, Status};
use crate::state::{Action, EntryKind};
use crate::version::{order, raised};
use crate::words::explain;

/// The most files beside a package's module.
const MAX_ASSETS: u32 = 32;
/// The first page of a package, where the project has one.
const PAGE: &str = "index.html";

/// What came out of the compiler.
pub struct Compiled {
    pub module: Uint8Array,
    /// How long it took.
    pub ms: f64,
}

/// Compiles a project for publication and marks what is wrong with it.
pub async fn compile(desk: &Desk, project: &Project, editor: &Workspace) -> Result<Compiled, Output> {
    let started = Date::now();
    editor.sync();
    let result = desk.ide.compile(project, true).await.map_err(|error| Output::failed(&explain(&error)))?;
    if field(&result, "superseded").is_truthy() {
        return Err(Output::Cancelled);
    }
    editor.mark(&field(&result, "diagnostics"));
    let module = field(&result, "module").dyn_into::<Uint8Array>().map_err(|_| Output::Failed {
        why: "It does not compile, so nothing was published. Your text is kept.".into(),
        diagnostics: diagnostics(&result),
    })?;
    Ok(Compiled { module, ms: Date::now() - started })
}

/// What `Peer::publish` takes. `attach`: the project's files travel with it.
pub fn package(
    project: &Project,
    draft: &Draft,
    module: &Uint8Array,
    attach: bool,
) -> Result<Object, JsValue> {
    let engine = if project.language() == "script" { "quickjs" } else { "wasm" };
    let page = project.has(&format!("ui/{PAGE}")).then_some(PAGE);
    let package = Object::new();
    let manifest = draft.manifest(engine, page)?;
    set(&package, "manifest", &manifest);
    set(&package, "module", module);
    let assets = project.assets(attach);
    if assets.length() > MAX_ASSETS {
        return Err(JsValue::from_str(&format!(
            "A package carries at most {MAX_ASSETS} files; with its source this one has {}. Make it fewer, or do not attach the source.",
            assets.length()
        )));
    }
    if assets.length() > 0 {
        let ui = Object::new();
        for pair in assets.iter().filter_map(|pair| pair.dyn_into::<Array>().ok()) {
            set(&ui, &pair.get(0).as_string().unwrap_or_default(), &pair.get(1));
        }
        set(&package, "ui", &ui);
    }
    Ok(package)
}

/// What a publication needs to know.
pub struct Publication<'a> {
    pub desk: &'a Desk,
    pub project: &'a Project,
    pub editor: &'a Workspace,
    pub peer: &'a Peer,
    pub dispatch: &'a Dispatch,
    /// Called with each step.
    pub step: &'a dyn Fn(Step),
    /// Called when the form is changed: the version is raised.
    pub change: &'a dyn Fn(Draft),
}

impl Publication<'_> {
    /// Compiles, publishes and remembers. What runs already as it is written is left alone.
    pub async fn run(&self, draft: &Draft) -> Output {
        (self.step)(Step::Compiling);
        self.editor.sync();
        let service = format!("{}@{}", draft.value("name"), self.peer.id());
        let replaced = runs(self.peer, &service);
        if replaced {
            if let Some(unchanged) = self.unchanged(&service).await {
                return unchanged;
            }
        }
        let compiled = match compile(self.desk, self.project, self.editor).await {
            Ok(compiled) => compiled,
            Err(failed) => return failed,
        };
        let mut draft = draft.clone();
        // One that was brought back has an old number. Others would take it for older than what they have.
        let newest = self
            .newest(&service, replaced)
            .await
            .filter(|newest| order(draft.value("version"), newest).is_lt());
        if let Some(newest) = &newest {
            draft.set_value("version", raised(newest));
            (self.change)(draft.clone());
        } else if replaced && draft.raise && self.is_taken(&service, draft.value("version")).await {
            draft.set_value("version", raised(draft.value("version")));
            (self.change)(draft.clone());
        }
        (self.step)(Step::Starting { trial: false });
        let started = Date::now();
        let published = async {
            self.peer.publish(&package(self.project, &draft, &compiled.module, draft.attach)?).await
        };
        let service = match published.await {
            Ok(id) => id.as_string().filter(|id| id.contains('@')).unwrap_or(service),
            Err(error) => return Output::failed(&refusal(&error)),
        };
        let publish_ms = Date::now() - started;
        let line = format!("{service} published by this tab");
        self.dispatch.dispatch(Action::Note(Date::now(), EntryKind::Service, line));
        (self.step)(Step::Keeping);
        self.remember(&service, draft.value("version"), compiled.module.length()).await;
        Output::Published {
            service,
            version: draft.value("version").to_owned(),
            size: compiled.module.length(),
            compile_ms: compiled.ms,
            publish_ms,
            replaced,
            above: newest,
        }
    }

    /// That it runs as it is written, where it does.
    async fn unchanged(&self, service: &str) -> Option<Output> {
        let last = self.desk.ide.unchanged(&self.desk.store, self.project).await.ok()?;
        (text(&last, "service") == service).then(|| Output::Unchanged {
            service: service.to_owned(),
            version: text(&last, "version"),
            at: field(&last, "at").as_f64().unwrap_or_default(),
        })
    }

    /// Was the version published before; unknown is yes.
    async fn is_taken(&self, service: &str, version: &str) -> bool {
        let known = self.desk.ide.versions_of(&self.desk.store, &self.project.id()).await.unwrap_or_default();
        let same: Vec<JsValue> =
            Array::from(&known).iter().filter(|each| text(each, "service") == service).collect();
        same.is_empty() || same.iter().any(|each| text(each, "version") == version)
    }

    /// The newest version that was published under this name, as far as this browser knows, and the index where it `runs`.
    async fn newest(&self, service: &str, runs: bool) -> Option<String> {
        let known = self.desk.ide.versions_of(&self.desk.store, &self.project.id()).await.unwrap_or_default();
        let mut versions: Vec<String> = Array::from(&known)
            .iter()
            .filter(|each| text(each, "service") == service)
            .map(|each| text(&each, "version"))
            .collect();
        if runs {
            versions.extend(self.record(service).await.map(|record| text(&record, "version")));
        }
        versions.into_iter().filter(|version| !version.is_empty()).max_by(|one, other| order(one, other))
    }

    async fn remember(&self, service: &str, version: &str, size: u32) {
        let said = Object::new();
        set(&said, "service", &service.into());
        set(&said, "version", &version.into());
        set(&said, "size", &size.into());
        set(&said, "package", &self.package_id(service).await.into());
        if self.desk.ide.remember(&self.desk.store, self.project, &said).await.is_err() {
            self.dispatch.dispatch(Action::warn(
                "It is published, but this browser has no room to keep the version. Export the project as a zip.",
            ));
        }
    }

    /// The address of the package, as the catalogue has it; empty where it does not know yet.
    async fn package_id(&self, service: &str) -> String {
        self.record(service).await.map(|record| text(&record, "package")).unwrap_or_default()
    }

    /// What the catalogue says of a service.
    async fn record(&self, service: &str) -> Option<JsValue> {
        let query = Object::new();
        set(&query, "name", &crate::words::service_name(service).into());
        let found = self.peer.find(&query).await.unwrap_or_default();
        let records = found.dyn_into::<Array>().unwrap_or_default();
        records.iter().find(|record| text(record, "id") == service)
    }
}

/// Why a package was not published. One that does not do what its examples say is told apart: the form has them.
fn refusal(error: &JsValue) -> String {
    let words = explain(error);
    if words.contains("its example ") {
        format!("{words} Change that example in the form, or the code.")
    } else {
        words
    }
}

/// Does this tab or one that it knows run the service now?
fn runs(peer: &Peer, service: &str) -> bool {
    let status = peer.status().map(|status| Status::read(&status)).unwrap_or_default();
    status.hosting.iter().any(|hosted| hosted.service == service)
        || status.peers.iter().any(|other| other.hosting.iter().any(|each| each == service))
}
