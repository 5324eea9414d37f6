//! A service's interface as OpenAPI 3.1.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use overlay::manifest::Method;
use serde_json::{json, Map, Value};

use super::clients::Use;
use super::services::Manifest;
use super::{Client, Gateway};
use crate::problem::Problem;

/// `GET /s/SERVICE/openapi.json`
pub async fn answer(
    State(gateway): State<Gateway>,
    Path(service): Path<String>,
    Extension(client): Extension<Client>,
) -> Result<Json<Value>, Problem> {
    let _permit = gateway.0.clients.admit(client, Use::Call)?;
    let manifest = gateway.0.services.manifest(&service).await?;
    Ok(Json(document(&service, &manifest)))
}

fn document(service: &str, manifest: &Arc<Manifest>) -> Value {
    let mut paths = Map::new();
    for (name, method) in &manifest.interface {
        let path = if manifest.url.is_some() { path_elsewhere(name, method) } else { path(name, method) };
        paths.insert(format!("/{name}"), path);
    }
    // What runs elsewhere is called there; what it answers besides its replies is its own affair.
    let server = manifest.url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    let components = match server {
        Some(_) => json!({}),
        None => json!({ "responses": { "Problem": problem() } }),
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name, "version": manifest.version, "description": manifest.description,
            "x-publisher": manifest.publisher,
        },
        "servers": [{ "url": server.unwrap_or_else(|| format!("/s/{service}")) }],
        "paths": paths,
        "components": components,
    })
}

/// A method of a service that runs elsewhere.
fn path_elsewhere(name: &str, method: &Method) -> Value {
    json!({ "post": {
        "operationId": name,
        "description": method.description,
        "requestBody": { "required": method.body.is_some(), "content": content(&method.body) },
        "responses": { "200": { "description": "The service's reply.", "content": content(&method.reply) } },
        "parameters": [{ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "maxLength": 255 } }],
    } })
}

fn path(name: &str, method: &Method) -> Value {
    let mut post = json!({
        "operationId": name,
        "description": method.description,
        "requestBody": { "required": method.body.is_some(), "content": content(&method.body) },
        "responses": responses(method),
    });
    if method.read_only {
        let mut get = json!({ "operationId": format!("{name}.get"), "description": method.description,
            "responses": responses(method) });
        if let Some(schema) = &method.body {
            let content = json!({ "application/json": { "schema": schema } });
            get["parameters"] = json!([{ "name": "body", "in": "query", "content": content }]);
        }
        return json!({ "post": post, "get": get });
    }
    post["parameters"] = json!([
        { "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "maxLength": 255 },
          "description": "A request that is repeated with the same key is executed once." },
        { "name": "tabfarm-deadline", "in": "header", "description": "How long to wait, in ms.",
          "schema": { "type": "integer", "minimum": 1, "maximum": 60000 } },
    ]);
    json!({ "post": post })
}

/// JSON where there is a schema, else bytes.
fn content(schema: &Option<Value>) -> Value {
    match schema {
        Some(schema) => json!({ "application/json": { "schema": schema } }),
        None => json!({ "application/octet-stream": {} }),
    }
}

fn responses(method: &Method) -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    json!({
        "200": {
            "description": "The service's reply.",
            "headers": {
                "tabfarm-server": text("The peer that answered."),
                "tabfarm-epoch": text("Its authority's epoch."),
                "tabfarm-term": text("Its authority's term."),
            },
            "content": content(&method.reply),
        },
        "default": problem,
    })
}

fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "description": "404 unknown, 409 several services have the name, 413 too large, 422 key used before, 429 too many requests, \
            502 the service failed, 503 nobody can serve it now, 504 the deadline passed.",
        "content": { "application/problem+json": { "schema": {
            "type": "object", "required": ["type", "title", "status", "detail"],
            "properties": { "type": text, "title": text, "status": { "type": "integer" }, "detail": text, "code": text,
                "candidates": { "type": "array", "items": text } },
        } } },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_elsewhere_names_its_server() {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "weather", "version": "1.0.0", "publisher": "12D3", "url": "https://api.example.org/v1/",
            "interface": { "now": { "readOnly": true, "reply": { "type": "string" } } },
        }))
        .unwrap();
        let document = document("weather", &Arc::new(manifest));
        assert_eq!(document["servers"], json!([{ "url": "https://api.example.org/v1" }]));
        let now = &document["paths"]["/now"];
        assert_eq!(
            now["post"]["responses"]["200"]["content"]["application/json"]["schema"]["type"],
            "string"
        );
        assert!(now.get("get").is_none() && now["post"]["responses"].get("default").is_none());
        assert_eq!(document["components"], json!({}));
    }

    #[test]
    fn a_document_follows_from_the_interface() {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "counter", "version": "1.2.3", "publisher": "12D3", "unknown": true,
            "interface": { "add": { "body": { "type": "integer" }, "reply": { "type": "integer" } }, "raw": { "readOnly": true } },
        }))
        .unwrap();
        let document = document("counter", &Arc::new(manifest));
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], "1.2.3");
        let add = &document["paths"]["/add"]["post"];
        assert_eq!(add["requestBody"]["content"]["application/json"]["schema"]["type"], "integer");
        assert_eq!(add["responses"]["200"]["content"]["application/json"]["schema"]["type"], "integer");
        assert!(document["paths"]["/add"].get("get").is_none());
        assert!(document["paths"]["/raw"]["get"]["responses"]["200"]["content"]
            .get("application/octet-stream")
            .is_some());
    }
}
