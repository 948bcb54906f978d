//! What the server answers over HTTP/1.1.
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | the status page |
//! | `GET /status.json` | the same for programs |
//! | `GET /bytes/N` | N bytes, for load |
//! | `POST /bytes` | takes any body, answers its length in bytes |

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::status::Status;
use crate::body::Content;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Contents one request.
///
/// # Errors
/// If the request's body cannot be read to its end.
pub(super) async fn answer(
    request: Request<Incoming>,
    status: &Status,
) -> Result<Response<Content>, hyper::Error> {
    status.counters.request();
    let path = request.uri().path().to_owned();
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match path.as_str() {
        "/" if reading => ok(HTML, status.html()),
        "/status.json" if reading => ok(JSON, format!("{:#}\n", status.json())),
        "/bytes" | "/bytes/" if request.method() == Method::POST => {
            let length = drain(request.into_body()).await?;
            ok(TEXT, format!("{length}\n"))
        }
        "/" | "/status.json" => refuse_method("GET, HEAD"),
        "/bytes" | "/bytes/" => refuse_method("POST"),
        other => match other.strip_prefix("/bytes/") {
            None => refuse(StatusCode::NOT_FOUND, "there is nothing here; try /\n"),
            Some(_) if !reading => refuse_method("GET, HEAD"),
            Some(count) => match count.parse() {
                Ok(count) => respond(StatusCode::OK, BYTES, Content::Bytes(count)),
                Err(_) => refuse(
                    StatusCode::BAD_REQUEST,
                    "/bytes/ wants a decimal number of bytes\n",
                ),
            },
        },
    })
}

/// Reads a body to its end and counts its bytes.
async fn drain(mut body: Incoming) -> Result<u64, hyper::Error> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            length += data.len() as u64;
        }
    }
    Ok(length)
}

fn ok(content_type: &'static str, text: String) -> Response<Content> {
    respond(StatusCode::OK, content_type, Content::text(text))
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Content> {
    respond(status, TEXT, Content::text(text))
}

fn refuse_method(allowed: &'static str) -> Response<Content> {
    let mut response = refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        "this method is not for this path\n",
    );
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn respond(status: StatusCode, content_type: &'static str, body: Content) -> Response<Content> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
