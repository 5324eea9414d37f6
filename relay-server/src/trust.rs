//! How people come to trust a relay that is its own authority, and where plain HTTP leads when the relay speaks TLS.
//!
//! A person types an address without a scheme, and the browser tries plain HTTP first. So the port that speaks TLS also
//! answers plain requests: with the page that explains, or by sending them on to https.

use axum::http::{header, HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::Router;

use crate::problem::Problem;
use crate::tls::Authority;

const PAGE: &str = include_str!("trust.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page and the authority's certificate, at addresses of their own.
pub fn routes(authority: Option<&Authority>) -> Router {
    let Some(authority) = authority.cloned() else { return Router::new() };
    let (der, pem) = (authority.der.clone(), authority.pem.clone());
    Router::new()
        .route("/trust", get(move |headers: HeaderMap| async move { page(&authority, &headers) }))
        .route("/authority.crt", get(move || async move { file("application/x-x509-ca-cert", der.clone()) }))
        .route("/authority.pem", get(move || async move { file("application/x-pem-file", pem.clone()) }))
}

/// What plain HTTP gets where TLS is spoken.
pub fn plain(authority: Option<&Authority>) -> Router {
    match authority.cloned() {
        Some(own) => {
            let explain = move |headers: HeaderMap| async move { page(&own, &headers) };
            routes(authority).fallback(explain)
        }
        None => Router::new().fallback(|uri: Uri, headers: HeaderMap| async move {
            match secure_url(&headers) {
                Some(url) => {
                    let path = uri.path_and_query().map_or("/", |path| path.as_str());
                    Redirect::permanent(&format!("{url}{path}")).into_response()
                }
                None => Problem::bad_request("this relay speaks https").into_response(),
            }
        }),
    }
}

fn page(authority: &Authority, headers: &HeaderMap) -> Response {
    let url = secure_url(headers).unwrap_or_default();
    let body = PAGE.replace("{fingerprint}", &authority.fingerprint()).replace("{url}", &url);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (constant(headers), body).into_response()
}

fn file(content_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (constant(headers), body).into_response()
}

fn constant<const N: usize>(headers: [(HeaderName, &'static str); N]) -> [(HeaderName, HeaderValue); N] {
    headers.map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// This place over https, as whoever asks calls it; `None` if the name is none.
fn secure_url(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    (!host.is_empty() && host.len() <= 260 && host.chars().all(fits)).then(|| format!("https://{host}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_becomes_part_of_a_page() {
        let url = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            secure_url(&headers)
        };
        assert_eq!(url("10.77.0.1:8080").as_deref(), Some("https://10.77.0.1:8080"));
        assert_eq!(url("[fd00::1]:8080").as_deref(), Some("https://[fd00::1]:8080"));
        for bad in ["", "a\"><script>", "a/b", "a b", &"a".repeat(300)] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
