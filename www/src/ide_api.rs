//! Bindings to the bundle of editor, compilers and kept projects, `www/ide/src/ide.js`, which is loaded when it is first needed.

use js_sys::{Array, Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/js/glue.js")]
extern "C" {
    #[wasm_bindgen(js_name = loadIde)]
    fn load_ide_js() -> Promise;
}

/// Loads the editor and the compiler's caller.
pub async fn load_ide() -> Result<Ide, JsValue> {
    JsFuture::from(load_ide_js()).await.map(JsCast::unchecked_into)
}

#[wasm_bindgen]
extern "C" {
    /// The bundle of editor, compilers and kept projects, `www/ide/src/ide.js`.
    #[derive(Clone)]
    pub type Ide;
    #[wasm_bindgen(method, catch, js_name = store)]
    async fn store_js(this: &Ide) -> Result<JsValue, JsValue>;
    /// Shows an editor of a project in `el`; `changed(path)` is called after a changed text was written to the project.
    #[wasm_bindgen(method)]
    pub fn mount(
        this: &Ide,
        el: &web_sys::Element,
        project: &Project,
        changed: &js_sys::Function,
    ) -> Workspace;
    /// Resolves to `{ module, diagnostics, ms }` or `{ superseded }`, see `compile.js`.
    #[wasm_bindgen(method, catch)]
    pub async fn compile(this: &Ide, project: &Project, optimize: bool) -> Result<JsValue, JsValue>;
    /// Stops what is being compiled.
    #[wasm_bindgen(method)]
    pub fn cancel(this: &Ide);
    /// Loads the compiler of a language before it is needed.
    #[wasm_bindgen(method)]
    pub fn warm(this: &Ide, language: &str);
    #[wasm_bindgen(method, js_name = templateNames)]
    pub fn template_names(this: &Ide, language: &str) -> Array;
    /// Hands a project to the person as a zip.
    #[wasm_bindgen(method, catch)]
    pub fn download(this: &Ide, project: &Project) -> Result<(), JsValue>;
    /// A new project from a zip.
    #[wasm_bindgen(method, catch, js_name = importZip)]
    async fn import_zip_js(this: &Ide, store: &Store, file: &JsValue) -> Result<JsValue, JsValue>;
    /// Puts a file into a project; its path.
    #[wasm_bindgen(method, catch)]
    pub async fn upload(
        this: &Ide,
        project: &Project,
        file: &JsValue,
        folder: &str,
    ) -> Result<JsValue, JsValue>;
    /// Does a package bring its source.
    #[wasm_bindgen(method, js_name = hasSource)]
    pub fn has_source(this: &Ide, assets: &JsValue) -> bool;
    /// A new project of a package's assets: `{ id, name, left }`.
    #[wasm_bindgen(method, catch)]
    pub fn fork(
        this: &Ide,
        store: &Store,
        service: &str,
        form: &Object,
        engine: &str,
        assets: &JsValue,
    ) -> Result<JsValue, JsValue>;
    /// Remembers a publication.
    #[wasm_bindgen(method, catch)]
    pub async fn remember(
        this: &Ide,
        store: &Store,
        project: &Project,
        said: &Object,
    ) -> Result<JsValue, JsValue>;
    /// The version that was published last, where the project is as it was then, else null.
    #[wasm_bindgen(method, catch)]
    pub async fn unchanged(this: &Ide, store: &Store, project: &Project) -> Result<JsValue, JsValue>;
    /// What was published from a project, newest first.
    #[wasm_bindgen(method, catch, js_name = versionsOf)]
    pub async fn versions_of(this: &Ide, store: &Store, id: &str) -> Result<JsValue, JsValue>;
    /// Puts the files and the form of a version into its project.
    #[wasm_bindgen(method, catch, js_name = bringBack)]
    pub async fn bring_back(
        this: &Ide,
        store: &Store,
        project: &Project,
        at: f64,
    ) -> Result<JsValue, JsValue>;

    /// The projects of this browser.
    #[derive(Clone)]
    pub type Store;
    /// `report(words)` is called when keeping fails, and with "" when it works again.
    #[wasm_bindgen(method, js_name = onReport)]
    pub fn on_report(this: &Store, report: &js_sys::Function);
    /// `{ id, title, language, files, changed }` of each, last changed first.
    #[wasm_bindgen(method)]
    pub fn list(this: &Store) -> Array;
    #[wasm_bindgen(method, catch)]
    pub fn create(this: &Store, template: &str, language: &str) -> Result<Project, JsValue>;
    #[wasm_bindgen(method, catch, js_name = open)]
    async fn open_js(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = duplicate)]
    async fn duplicate_js(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub async fn remove(this: &Store, id: &str) -> Result<JsValue, JsValue>;
    /// Why not, in words, or "".
    #[wasm_bindgen(method)]
    pub fn rename(this: &Store, id: &str, title: &str) -> String;
    /// Resolves once everything is written, to whether that worked.
    #[wasm_bindgen(method, catch)]
    pub async fn settled(this: &Store) -> Result<JsValue, JsValue>;

    /// A project in memory, `www/ide/src/project.js`.
    #[derive(Clone)]
    pub type Project;
    #[wasm_bindgen(method, getter)]
    pub fn id(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn title(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn language(this: &Project) -> String;
    /// The service that it was forked from, or "".
    #[wasm_bindgen(method, getter)]
    pub fn from(this: &Project) -> String;
    #[wasm_bindgen(method, getter)]
    pub fn form(this: &Project) -> JsValue;
    #[wasm_bindgen(method, js_name = setLanguage)]
    pub fn set_language(this: &Project, language: &str);
    #[wasm_bindgen(method, js_name = setForm)]
    pub fn set_form(this: &Project, form: &Object);
    #[wasm_bindgen(method)]
    pub fn paths(this: &Project) -> Array;
    #[wasm_bindgen(method)]
    pub fn has(this: &Project, path: &str) -> bool;
    #[wasm_bindgen(method)]
    pub fn entry(this: &Project) -> String;
    /// Why not, in words, or "". The same for `rename`.
    #[wasm_bindgen(method)]
    pub fn add(this: &Project, path: &str, content: &str) -> String;
    #[wasm_bindgen(method, js_name = rename)]
    pub fn rename_file(this: &Project, from: &str, to: &str) -> String;
    #[wasm_bindgen(method, js_name = remove)]
    pub fn remove_file(this: &Project, path: &str);
    /// The package's assets, as pairs of path and bytes.
    #[wasm_bindgen(method)]
    pub fn assets(this: &Project, with_source: bool) -> Array;

    /// A mounted editor.
    #[derive(Clone)]
    pub type Workspace;
    #[wasm_bindgen(method, getter)]
    pub fn path(this: &Workspace) -> String;
    #[wasm_bindgen(method)]
    pub fn open(this: &Workspace, path: &str);
    #[wasm_bindgen(method)]
    pub fn renamed(this: &Workspace, from: &str, to: &str);
    #[wasm_bindgen(method)]
    pub fn removed(this: &Workspace, path: &str);
    /// The project's files were replaced.
    #[wasm_bindgen(method)]
    pub fn reload(this: &Workspace);
    /// Writes what was typed to the project now.
    #[wasm_bindgen(method)]
    pub fn sync(this: &Workspace);
    #[wasm_bindgen(method)]
    pub fn mark(this: &Workspace, diagnostics: &JsValue);
    #[wasm_bindgen(method)]
    pub fn goto(this: &Workspace, path: &str, line: u32);
    #[wasm_bindgen(method)]
    pub fn destroy(this: &Workspace);
}

impl Ide {
    /// What this browser keeps; one for the page.
    pub async fn store(&self) -> Result<Store, JsValue> {
        self.store_js().await.map(JsCast::unchecked_into)
    }

    /// A new project from a zip that the person chose.
    pub async fn import_zip(&self, store: &Store, file: &JsValue) -> Result<Project, JsValue> {
        self.import_zip_js(store, file).await.map(JsCast::unchecked_into)
    }
}

impl Store {
    /// A project that is kept; `None` where there is none of that id.
    pub async fn open(&self, id: &str) -> Result<Option<Project>, JsValue> {
        let found = self.open_js(id).await?;
        Ok((!found.is_null()).then(|| found.unchecked_into()))
    }

    pub async fn duplicate(&self, id: &str) -> Result<Project, JsValue> {
        self.duplicate_js(id).await.map(JsCast::unchecked_into)
    }
}
