//! `/loki/api/v1/tail`: lines as they come, over a WebSocket or as server-sent events.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use novaobs_log_pipeline::Pipeline;
use novaobs_logql::{Query, Value};
use novaobs_logql_parser::{Expr, LogExpr, parse};
use novaobs_model::{Labels, LogStream, Tenant};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until};

use super::Api;
use super::error::ApiError;
use super::hub::News;
use super::json::{push, push_labels, push_list, push_string};
use super::legacy::push_stream;
use super::params::{Params, now};
use super::query::{ask, query_limits};
use super::result::{categorizes, encoding_flags, merged, push_entry};
use super::run::{limits_of, run};
use super::tenancy::tenant_of;

/// Most entries in one frame.
const FRAME: usize = 500;
/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(1);
/// Longest `delay_for` in seconds.
const MAX_DELAY: usize = 5;

/// What a client asks for.
struct TailRequest {
    tenant: Tenant,
    text: String,
    expr: Expr,
    start: i64,
    limit: usize,
    delay: Duration,
    flags: Vec<String>,
    legacy: bool,
}

/// What goes to the client.
enum Frame {
    Lines(String),
    /// The end, and why.
    Close(String),
}

/// `/loki/api/v1/tail`.
pub(super) async fn tail(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    serve(api, request, false).await
}

/// `/api/prom/tail`.
pub(super) async fn legacy(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    serve(api, request, true).await
}

async fn serve(api: Api, request: Request, legacy: bool) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, request.headers(), false)?;
    let params = Params::of_url(&request)?;
    let flags = encoding_flags(request.headers());
    let text = params.get("query").to_owned();
    let expr = parse(&text)?;
    let limit = params.limit()?;
    let start = params.range(now())?.start;
    let delay = match params.get("delay_for") {
        "" | "0" => 0,
        _ => params.positive("delay_for", 0)?,
    };
    if delay > MAX_DELAY {
        return Err(ApiError::bad(format!("delay_for can't be greater than {MAX_DELAY}")));
    }
    let delay = Duration::from_secs(delay as u64);
    let tail = TailRequest { tenant, text, expr, start, limit, delay, flags, legacy };
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|kinds| kinds.contains("text/event-stream")) {
        return Ok(events(api, tail));
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => Ok(upgrade.on_upgrade(move |socket| web_socket(api, tail, socket))),
        Err(_) => Err(ApiError::bad("Bad Request\n")),
    }
}

/// Stops the work behind a connection that is gone.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn start(api: Api, request: TailRequest) -> (mpsc::Receiver<Frame>, AbortOnDrop) {
    let (sender, receiver) = mpsc::channel(2);
    let task = tokio::spawn(async move {
        if let Err(reason) = follow(&api, request, &sender).await {
            // A client that is gone needs no reason.
            let _ = sender.send(Frame::Close(reason)).await;
        }
    });
    (receiver, AbortOnDrop(task))
}

async fn web_socket(api: Api, request: TailRequest, mut socket: WebSocket) {
    let (mut frames, _task) = start(api, request);
    let mut pings = interval(PING);
    pings.reset();
    loop {
        let message = tokio::select! {
            frame = frames.recv() => match frame {
                Some(Frame::Lines(text)) => Message::Text(text.into()),
                Some(Frame::Close(reason)) => {
                    // A close frame holds at most 125 bytes.
                    let end = reason.floor_char_boundary(123);
                    let reason = Utf8Bytes::from(reason.get(..end).unwrap_or_default());
                    let close = CloseFrame { code: axum::extract::ws::close_code::ERROR, reason };
                    let _ = socket.send(Message::Close(Some(close))).await;
                    return;
                }
                None => return,
            },
            _ = pings.tick() => Message::Ping(Default::default()),
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// One event a frame; the end is an event named `error`.
fn events(api: Api, request: TailRequest) -> Response {
    let (frames, task) = start(api, request);
    let stream = futures::stream::unfold((frames, task), |(mut frames, task)| async {
        let event = match frames.recv().await? {
            Frame::Lines(text) => Event::default().data(text.trim_end()),
            Frame::Close(reason) => Event::default().event("error").data(reason),
        };
        Some((Ok::<_, Infallible>(event), (frames, task)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(15 * PING)).into_response()
}

/// An entry on its way to the client.
struct Shown {
    timestamp: i64,
    line: String,
    labels: Labels,
    metadata: Labels,
    parsed: Labels,
}

impl Shown {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.timestamp, &self.line, &self.labels, &self.metadata).hash(&mut hasher);
        hasher.finish()
    }
}

/// Sends the newest entries there are, then those that come; ends with the reason to close.
async fn follow(api: &Api, request: TailRequest, sender: &mpsc::Sender<Frame>) -> Result<(), String> {
    let Expr::Log(log) = &request.expr else { return Err("only log selector is supported".to_owned()) };
    tracing::debug!(query = request.text, "tailing");
    let pipeline = Pipeline::compile(&log.stages, None).map_err(|error| error.to_string())?;
    let most = (api.state.limits)(&request.tenant).max_concurrent_tail_requests;
    let subscription =
        api.state.hub.subscribe(&request.tenant, log.matchers.clone(), most).map_err(|count| {
            format!(
                "rpc error: code = Code(400) desc = max concurrent tail requests limit exceeded, count > limit ({count} > {most})"
            )
        })?;
    let end = Instant::now() + api.state.tail_max_duration;
    let past = history(api, &request, log).await.map_err(|error| error.message)?;
    // What was stored between the subscription and the query comes by both ways.
    let mut known: HashSet<u64> = past.iter().map(Shown::hash).collect();
    send(&request, sender, &past, &[]).await?;
    let mut held: VecDeque<(Instant, News)> = VecDeque::new();
    loop {
        let due = held.front().map_or(end, |(due, _)| (*due).min(end));
        tokio::select! {
            news = subscription.next() => held.push_back((Instant::now() + request.delay, news)),
            () = sleep_until(due) => {}
            () = sender.closed() => return Ok(()),
        }
        let now = Instant::now();
        if now >= end {
            return Err("reached tail max duration limit".to_owned());
        }
        let (mut entries, mut dropped) = (Vec::new(), Vec::new());
        while held.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, news)) = held.pop_front() else { break };
            news.streams.iter().for_each(|stream| piped(&pipeline, stream, &mut entries));
            dropped.extend(news.dropped);
        }
        entries.retain(|entry: &Shown| known.is_empty() || !known.remove(&entry.hash()));
        entries.sort_by_key(|entry| entry.timestamp);
        send(&request, sender, &entries, &dropped).await?;
    }
}

/// The newest entries there are, in order of time.
async fn history(api: &Api, request: &TailRequest, log: &LogExpr) -> Result<Vec<Shown>, ApiError> {
    let limits = limits_of(api, &request.tenant, &Default::default());
    let query = Query {
        tenant: request.tenant.clone(),
        expr: Expr::Log(log.clone()),
        start: request.start,
        end: now(),
        step: 0,
        interval: 0,
        limit: request.limit,
        newest_first: true,
        limits: query_limits(&limits),
    };
    let done =
        run(api, &request.tenant, &limits, move |source, control| ask(source, &query, control)).await?;
    let Value::Streams(streams) = done.value.value else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for stream in streams {
        for entry in stream.entries {
            entries.push(Shown {
                timestamp: entry.timestamp,
                line: entry.line,
                labels: stream.labels.clone(),
                metadata: stream.metadata.clone(),
                parsed: stream.parsed.clone(),
            });
        }
    }
    entries.sort_by_key(|entry| entry.timestamp);
    Ok(entries)
}

/// Runs the rows of a stream through the pipeline.
fn piped(pipeline: &Pipeline, stream: &LogStream, out: &mut Vec<Shown>) {
    let mut rows = pipeline.stream(&stream.labels);
    for (row, timestamp) in stream.timestamps.iter().enumerate() {
        if let Some(shown) = rows.run(*timestamp, stream.lines.get(row), stream.metadata.get(row)) {
            let (labels, metadata, parsed) = shown.labels.categories();
            out.push(Shown { timestamp: *timestamp, line: shown.line.to_owned(), labels, metadata, parsed });
        }
    }
}

/// Sends entries in frames; fails when the client is gone.
async fn send(
    request: &TailRequest,
    sender: &mpsc::Sender<Frame>,
    entries: &[Shown],
    dropped: &[(i64, Labels)],
) -> Result<(), String> {
    let mut dropped = dropped;
    let mut frames = entries.chunks(FRAME);
    loop {
        let entries = frames.next().unwrap_or_default();
        if entries.is_empty() && dropped.is_empty() {
            return Ok(());
        }
        let text = match request.legacy {
            true => legacy_frame(entries, dropped),
            false => frame(entries, dropped, &request.flags),
        };
        sender.send(Frame::Lines(text)).await.map_err(|_| String::new())?;
        dropped = &[];
    }
}

fn frame(entries: &[Shown], dropped: &[(i64, Labels)], flags: &[String]) -> String {
    let categorized = categorizes(flags);
    let mut out = "{\"streams\":[".to_owned();
    for (at, entry) in entries.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"stream\":" } else { "{\"stream\":" });
        let (labels, categories) = match categorized {
            true => (entry.labels.clone(), Some((&entry.metadata, &entry.parsed))),
            false => (merged(&entry.labels, &entry.metadata, &entry.parsed), None),
        };
        push_labels(&mut out, &labels);
        out.push_str(",\"values\":[");
        push_entry(&mut out, entry.timestamp, &entry.line, categories);
        out.push_str("]}");
    }
    out.push(']');
    if !dropped.is_empty() {
        out.push_str(",\"dropped_entries\":");
        push_dropped(&mut out, dropped);
    }
    if !flags.is_empty() {
        out.push_str(",\"encodingFlags\":");
        push_list(&mut out, flags.iter().map(String::as_str));
    }
    out.push('}');
    out
}

fn push_dropped(out: &mut String, dropped: &[(i64, Labels)]) {
    for (at, (time, labels)) in dropped.iter().enumerate() {
        let open = if at > 0 { ',' } else { '[' };
        push(out, format_args!("{open}{{\"timestamp\":\"{time}\",\"labels\":"));
        push_labels(out, labels);
        out.push('}');
    }
    out.push(']');
}

fn legacy_frame(entries: &[Shown], dropped: &[(i64, Labels)]) -> String {
    let mut by_stream: BTreeMap<Labels, Vec<(i64, &str)>> = BTreeMap::new();
    for entry in entries {
        let labels = merged(&entry.labels, &entry.metadata, &entry.parsed);
        by_stream.entry(labels).or_default().push((entry.timestamp, &entry.line));
    }
    let mut out = "{\"streams\":[".to_owned();
    for (at, (labels, entries)) in by_stream.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_stream(&mut out, labels, entries.iter().copied());
    }
    out.push_str("],\"dropped_entries\":");
    if dropped.is_empty() {
        out.push_str("null");
    }
    for (at, (time, labels)) in dropped.iter().enumerate() {
        out.push(if at > 0 { ',' } else { '[' });
        push(&mut out, format_args!("{{\"timestamp\":\"{time}\",\"labels\":"));
        push_string(&mut out, &super::json::label_text(labels));
        out.push('}');
    }
    if !dropped.is_empty() {
        out.push(']');
    }
    out.push_str("}\n");
    out
}
