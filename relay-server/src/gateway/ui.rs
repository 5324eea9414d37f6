//! A service's own page, for browsers that come by plain HTTP.
//!
//! It never shares an origin with the app or with another service: under `SERVICE.localhost`, or `SERVICE.DOMAIN` where the
//! operator names one, it has an origin of its own, on which nothing but this service is to be found; under `/s/SERVICE/ui/` it
//! has none (CSP `sandbox`). Both may run their own scripts and talk to this service by this relay, and load nothing else. The page finds its
//! session as `tabfarm`, as it does in the app; the script that makes it is the first of every page, since it also takes away what
//! no CSP does. Files that are no pages do nothing in a browser that is led to them, and are no scripts of the app's origin.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{header, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use overlay::manifest::is_service;
use tower::ServiceExt;

use super::clients::Use;
use super::{Client, Gateway};
use crate::api::Host;
use crate::problem::Problem;
use crate::web::content_type;

/// The session in a page: `tabfarm`.
const SCRIPT: &str = include_str!("tabfarm.js");
/// What a page may load and run. It connects to its own relay only and frames nothing.
const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; \
    img-src 'self' blob: data:; media-src 'self' blob: data:; font-src 'self' data:; connect-src 'self'; worker-src 'none'; frame-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types default";
/// On an origin of its own: no popup, no download.
const OWN_ORIGIN: &str = "sandbox allow-scripts allow-same-origin allow-forms allow-modals";
/// On the app's address: no origin either.
const NO_ORIGIN: &str = "sandbox allow-scripts allow-forms allow-modals";
/// A file that is no page, opened as one: a picture at most.
const INERT: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), display-capture=()";

/// `GET /s/SERVICE/tabfarm.js`
pub async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

/// `GET /s/SERVICE/ui`
pub async fn redirect(Path(service): Path<String>) -> Result<Response, Problem> {
    match is_service(&service) {
        true => Ok((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("/s/{service}/ui/"))])
            .into_response()),
        false => Err(Problem::not_found()),
    }
}

/// `GET /s/SERVICE/ui/`
pub async fn sandboxed_entry(
    state: State<Gateway>,
    client: Extension<Client>,
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    sandboxed(state, client, Path((service, String::new())), headers).await
}

/// `GET /s/SERVICE/ui/PATH`
pub async fn sandboxed(
    State(gateway): State<Gateway>,
    Extension(client): Extension<Client>,
    Path((service, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // The page itself has no origin, so its own files are asked for from another site; the app has no use for them.
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if is("sec-fetch-site", "same-origin") && !is("sec-fetch-mode", "navigate") {
        let detail = "a service's files are for its own page";
        return Err(Problem::new(StatusCode::FORBIDDEN, "Refused", detail));
    }
    gateway.file(client, &service, &path, NO_ORIGIN).await
}

/// `app`, and each service under a host name of its own: `SERVICE.localhost`, and `SERVICE.domain`.
pub fn by_host(app: Router, gateway: Gateway, domain: Option<String>) -> Router {
    let routes = gateway.routes();
    let answer = move |request: Request<Body>| {
        let (app, routes, gateway, domain) = (app.clone(), routes.clone(), gateway.clone(), domain.clone());
        async move {
            match host_of(&request) {
                Err(problem) => problem.into_response(),
                Ok(host) => match host.and_then(|host| service_of(&host, domain.as_deref())) {
                    None => never_fails(app.oneshot(request).await),
                    Some(service) => gateway.own_origin(&service, routes, request).await,
                },
            }
        }
    };
    Router::new().fallback(answer)
}

fn never_fails(answered: Result<Response, std::convert::Infallible>) -> Response {
    match answered {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The host that a request is for. One that names several, or another in its target, is not to be trusted.
fn host_of(request: &Request<Body>) -> Result<Option<String>, Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
    let target = request.uri().authority().map(|authority| authority.as_str());
    let differs = target.is_some_and(|target| host.is_some_and(|host| !host.eq_ignore_ascii_case(target)));
    if hosts.next().is_some() || differs {
        return Err(Problem::bad_request("the request names more than one host"));
    }
    Ok(host.or(target).map(str::to_owned))
}

/// The service whose own host name this is.
fn service_of(host: &str, domain: Option<&str>) -> Option<String> {
    let Some(Host::Name(name)) = Host::parse(host) else { return None };
    let under = |domain: &str| name.strip_suffix(domain)?.strip_suffix('.').map(str::to_owned);
    let label = under("localhost").or_else(|| under(domain?))?;
    Some(label)
}

impl Gateway {
    /// What the host name of a service answers: its page's files, and calls of itself. Every other path is not there.
    async fn own_origin(&self, service: &str, routes: Router, request: Request<Body>) -> Response {
        if !is_service(service) {
            return Problem::not_found().into_response();
        }
        let path = request.uri().path().to_owned();
        if let Some(rest) = path.strip_prefix("/s/") {
            let named = rest.split('/').next().unwrap_or_default();
            let is_page = rest.split('/').nth(1) == Some("ui");
            return match named == service && !is_page {
                true => never_fails(routes.oneshot(request).await),
                false => Problem::not_found().into_response(),
            };
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Problem::only_read().into_response();
        }
        let path = crate::api::decode_path(path.trim_start_matches('/'));
        let Some(client) = request.extensions().get::<Client>().copied() else {
            return Problem::not_found().into_response();
        };
        self.file(client, service, &path, OWN_ORIGIN).await.unwrap_or_else(Problem::into_response)
    }

    /// A file of a service's page, which runs in this `sandbox`; an empty path is its first one.
    async fn file(
        &self,
        client: Client,
        service: &str,
        path: &str,
        sandbox: &str,
    ) -> Result<Response, Problem> {
        let _permit = self.0.clients.admit(client, Use::Call)?;
        let page = self.0.services.page(service).await?;
        let entry = page.entry.as_deref();
        let no_page = || Problem::new(StatusCode::NOT_FOUND, "No page", "the service has no page of its own");
        let path = match path.is_empty() {
            true => entry.ok_or_else(no_page)?,
            false => path,
        };
        let bytes = page.files.get(path).cloned().ok_or_else(Problem::not_found)?;
        let mime = content_type(path);
        let (body, policy) = match mime.starts_with("text/html") {
            true if frames(&bytes) => {
                let detail = "the page has a frame, an object or an embed written in it, and is not shown";
                return Err(Problem::new(StatusCode::FORBIDDEN, "Refused", detail));
            }
            true => (with_session(service, &bytes), format!("{POLICY}; {sandbox}")),
            false => (bytes, INERT.to_owned()),
        };
        const HEADERS: [(HeaderName, &str); 6] = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
            (HeaderName::from_static("permissions-policy"), PERMISSIONS),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("x-frame-options"), "DENY"),
        ];
        let mut response = ([(header::CONTENT_TYPE, mime)], body).into_response();
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        Ok(response)
    }
}

/// A page whose first script is the one that makes `tabfarm`. Nothing that a page says comes before it; the doctype does, since
/// without one the browser would go into quirks mode, and ignores the page's own.
fn with_session(service: &str, html: &[u8]) -> Bytes {
    let tag = format!("<!doctype html><script src=\"/s/{service}/tabfarm.js\"></script>");
    let html = html.strip_prefix(b"\xef\xbb\xbf").unwrap_or(html);
    [tag.as_bytes(), html].concat().into()
}

/// Does a page write what would be a window of its own, with all that was taken from this one. What scripts write, the page's
/// first script judges.
fn frames(html: &[u8]) -> bool {
    const TAGS: [&[u8]; 7] =
        [b"iframe", b"frame", b"frameset", b"object", b"embed", b"portal", b"fencedframe"];
    let lower = html.to_ascii_lowercase();
    let begins = |at: usize| {
        let rest = &lower[at + 1..];
        TAGS.iter().any(|tag| {
            let ends = |byte: Option<&u8>| byte.is_none_or(|b| b.is_ascii_whitespace() || b"/>".contains(b));
            rest.starts_with(tag) && ends(rest.get(tag.len()))
        })
    };
    lower.iter().enumerate().any(|(at, byte)| *byte == b'<' && begins(at))
        || lower.windows(14).any(|window| window == b"shadowrootmode")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_that_of_one_service_or_of_none() {
        let own = |host| service_of(host, Some("farm.example"));
        assert_eq!(own("chat.localhost:8080").as_deref(), Some("chat"));
        assert_eq!(own("CHAT.farm.example").as_deref(), Some("chat"));
        assert_eq!(own("a.b.localhost").as_deref(), Some("a.b"), "no service has such a name");
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]:80",
            "farm.example",
            "evilfarm.example",
            "chat.farm.example.org",
            "chat.local",
            "x\"y.localhost",
        ] {
            assert_eq!(own(host), None, "{host}");
        }
    }

    #[test]
    fn requests_for_two_hosts_are_refused() {
        let request = |uri: &str, hosts: &[&str]| {
            let builder = hosts
                .iter()
                .fold(Request::builder().uri(uri), |builder, host| builder.header(header::HOST, *host));
            host_of(&builder.body(Body::empty()).unwrap()).map_err(|_| ())
        };
        assert_eq!(request("/", &["a"]), Ok(Some("a".into())));
        assert_eq!(request("/", &[]), Ok(None));
        assert_eq!(request("http://a/", &["A"]), Ok(Some("A".into())));
        assert_eq!(request("http://b/", &["a"]), Err(()));
        assert_eq!(request("/", &["a", "b"]), Err(()));
    }

    #[test]
    fn the_session_comes_before_every_other_script() {
        let page = |html: &str| String::from_utf8(with_session("s", html.as_bytes()).to_vec()).unwrap();
        let tag = "<!doctype html><script src=\"/s/s/tabfarm.js\"></script>";
        for html in
            ["<!doctype html><!-- <head> --><script>1</script>", "<script>1</script><head>", "x", "<head", ""]
        {
            assert_eq!(page(html), format!("{tag}{html}"));
        }
        assert_eq!(page("\u{feff}<p>"), format!("{tag}<p>"));
    }

    #[test]
    fn a_page_with_a_window_of_its_own_is_known() {
        for html in [
            "<iframe srcdoc=x>",
            "<p><IFRAME/>",
            "<object\ndata=x>",
            "<embed",
            "<template ShadowRootMode=open>",
        ] {
            assert!(frames(html.as_bytes()), "{html}");
        }
        for html in
            ["", "<", "<p>iframe", "<frames-of-mind>", "<objective>", "&lt;iframe&gt;", "<if", "</iframe>"]
        {
            assert!(!frames(html.as_bytes()), "{html}");
        }
    }
}
