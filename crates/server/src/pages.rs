//! The pages: the built UI embedded in the binary, served compressed, with this server's addresses written
//! into its start page.
//!
//! Without a built UI (`cargo build` needs no Node) each page says how to build it.

use std::borrow::Cow;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use serde_json::json;

#[derive(RustEmbed)]
#[folder = "../../ui/dist/"]
#[allow_missing = true]
struct Files;

/// What one face's pages need to know.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Path in front of all pages, `/` or `/prefix/`.
    pub base_path: String,
    /// Path in front of `/api/v1/…`.
    pub prometheus: String,
    /// Path in front of `/api/v2/…`.
    pub alertmanager: String,
    /// Shown as the page's title.
    pub title: String,
}

/// The pages of the :3000 face.
const GRAFANA_PAGES: [&str; 4] = ["/explore", "/targets", "/alerts", "/rules"];
/// The pages of the :9090 face, under the peer's names.
const PROMETHEUS_PAGES: [&str; 5] = ["/query", "/targets", "/alerts", "/rules", "/explore"];

/// Pages and assets of the :3000 face.
pub fn grafana(config: PageConfig) -> Router {
    pages(config, &GRAFANA_PAGES, "explore")
}

/// Pages and assets of the :9090 face; `/graph?…` leads to `/query?…` as in the peer.
pub fn prometheus(config: PageConfig) -> Router {
    let base = config.base_path.clone();
    let graph = move |request: Request| async move {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        Redirect::to(&format!("{base}query{query}"))
    };
    pages(config, &PROMETHEUS_PAGES, "query").route("/graph", get(graph))
}

fn pages(config: PageConfig, paths: &[&str], home: &str) -> Router {
    let start_page = start_page(&config);
    let home = format!("{}{home}", config.base_path);
    let mut router = Router::new().route("/", get(move || async move { Redirect::to(&home) }));
    for path in paths {
        router = router.route(path, get(index));
    }
    router.route("/assets/{*path}", get(asset)).route("/favicon.ico", get(favicon)).with_state(start_page)
}

/// The HTML of every page: the router in the browser chooses by path.
fn start_page(config: &PageConfig) -> &'static str {
    let Some(index) = Files::get("index.html") else {
        return include_str!("pages_missing.html");
    };
    let facts = json!({
        "basePath": config.base_path,
        "prometheusUrl": config.prometheus,
        "alertmanagerUrl": config.alertmanager,
        "version": env!("CARGO_PKG_VERSION"),
    });
    // `</script>` cannot stand in a script element; JSON may write `<` as an escape.
    let facts = facts.to_string().replace('<', "\\u003c");
    let html = String::from_utf8_lossy(&index.data)
        .replace(r#"<base href="/">"#, &format!(r#"<base href="{}">"#, escape(&config.base_path)))
        .replace(
            r#"<script id="novaobs-config" type="application/json">{}</script>"#,
            &format!(r#"<script id="novaobs-config" type="application/json">{facts}</script>"#),
        )
        .replace("<title>novaobs</title>", &format!("<title>{}</title>", escape(&config.title)));
    // One page per face for the life of the process.
    Box::leak(html.into_boxed_str())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

async fn index(State(html): State<&'static str>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, html).into_response()
}

async fn favicon(headers: HeaderMap) -> Response {
    let icon = Files::iter().find(|name| name.starts_with("assets/favicon") && name.ends_with(".svg"));
    match icon {
        Some(name) => file(&name, &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file whose name holds a hash of its content: it may be cached for ever.
async fn asset(request: Request) -> Response {
    let path = request.uri().path();
    let name = path.rfind("/assets/").and_then(|at| path.get(at + 1..)).unwrap_or_default();
    file(name, request.headers())
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let compressed = [("br", ".br"), ("gzip", ".gz")].into_iter().find_map(|(encoding, ending)| {
        let wanted =
            accepted.split(',').any(|one| one.split(';').next().is_some_and(|one| one.trim() == encoding));
        wanted.then(|| Files::get(&format!("{name}{ending}")))?.map(|file| (file, Some(encoding)))
    });
    let Some((file, encoding)) = compressed.or_else(|| Files::get(name).map(|file| (file, None))) else {
        return (StatusCode::NOT_FOUND, "no such file").into_response();
    };
    let body = match file.data {
        Cow::Borrowed(embedded) => Bytes::from_static(embedded),
        Cow::Owned(read) => Bytes::from(read),
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
