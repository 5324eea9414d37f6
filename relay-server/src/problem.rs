//! Errors as RFC 9457 problem documents.

use axum::http::{header, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use overlay::io::Error;
use overlay::time::Millis;

/// An error that a client may see: nothing internal in it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    code: Option<&'static str>,
    candidates: Vec<String>,
    retry_after: Option<Millis>,
}

impl Problem {
    /// A problem with a sentence for people.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), code: None, candidates: Vec::new(), retry_after: None }
    }

    /// It is worth trying again after that time.
    pub fn retry_after(mut self, after: Millis) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// There is nothing under this address.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", "there is nothing under this address")
    }

    /// What is under this address can only be read.
    pub fn only_read() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
            "this address only answers GET and HEAD",
        )
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, title) = match &error {
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "Unknown service"),
            Error::NoServer(_) | Error::Overloaded(..) | Error::Disconnected(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Nobody can serve it now")
            }
            Error::Deadline(_) | Error::UnknownOutcome(_) => {
                (StatusCode::GATEWAY_TIMEOUT, "The deadline passed")
            }
            Error::Trapped(_) => (StatusCode::BAD_GATEWAY, "The service failed"),
            Error::Refused(_) | Error::NotPermitted(_) => (StatusCode::FORBIDDEN, "Refused"),
            Error::InvalidPackage(_) => (StatusCode::BAD_REQUEST, "Invalid package"),
            Error::Ambiguous(_) => (StatusCode::CONFLICT, "Several services have this name"),
        };
        let mut problem = Self::new(status, title, error.to_string());
        problem.code = Some(error.code());
        problem.retry_after = error.retry_after();
        if let Error::Ambiguous(candidates) = error {
            problem.candidates = candidates;
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": "about:blank", "title": self.title, "status": self.status.as_u16(), "detail": self.detail,
        });
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        if !self.candidates.is_empty() {
            body["candidates"] = self.candidates.into();
        }
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (self.status, [content_type], body.to_string()).into_response();
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&self.status) {
            let seconds = self.retry_after.map_or(2, |after| after.0.div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
