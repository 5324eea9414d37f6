//! With the feature `embed`: writes the table of the app's files, from the tree that `TABFARM_WEB_TREE` names.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=TABFARM_WEB_TREE");
    if env::var_os("CARGO_FEATURE_EMBED").is_none() {
        return;
    }
    let tree =
        env::var("TABFARM_WEB_TREE").expect("the feature `embed` needs TABFARM_WEB_TREE: the built web tree");
    println!("cargo::rerun-if-changed={tree}");
    let mut table = String::from("&[\n");
    add(Path::new(&tree), "", &mut table);
    table.push_str("]\n");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("embedded.rs"), table).expect("OUT_DIR can be written");
}

/// Adds `(path, bytes, brotli)` for each file below `dir`.
fn add(dir: &Path, prefix: &str, table: &mut String) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || name.ends_with(".br") {
            continue;
        }
        if path.is_dir() {
            add(&path, &format!("{prefix}{name}/"), table);
            continue;
        }
        let compressed = path.with_file_name(format!("{name}.br"));
        let brotli = if compressed.exists() {
            format!("Some(include_bytes!({compressed:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(table, "    ({:?}, include_bytes!({path:?}), {brotli}),", format!("{prefix}{name}"))
            .expect("a string can be written");
    }
}
