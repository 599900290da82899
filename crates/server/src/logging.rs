//! The stack's own log lines: logfmt or JSON on standard error, as the peers write them.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=… level=INFO source=… msg="…" key=value`
    Logfmt,
    /// The same fields as one JSON object a line.
    Json,
}

/// Lines waiting for who keeps them; more are only on standard error.
const WAITING_LINES: usize = 4096;

/// The level in use, and how to change it. Logging is one thing per process.
static LEVEL: OnceLock<Mutex<(Level, SetFilter)>> = OnceLock::new();
/// Where lines go beside standard error.
static LINES: OnceLock<SyncSender<String>> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send>;

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(level: Level, format: LogFormat) {
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Tee).event_format(Lines(format));
    // The only failure is that a subscriber is set already, as in tests that start two runtimes.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        let _ = LEVEL.set(Mutex::new((level, Box::new(set))));
    }
}

fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!(
        "{level},hyper=warn,rustls=warn,hickory_proto=error,hickory_resolver=error,h2=warn"
    ))
}

/// The level of log lines; `info` before logging has started.
pub fn level() -> Level {
    LEVEL.get().map_or(Level::INFO, |level| level.lock().0)
}

/// Changes the level.
///
/// # Errors
/// When logging has not started.
pub fn set_level(level: Level) -> Result<(), String> {
    let mut current = LEVEL.get().ok_or("logging has not started")?.lock();
    (current.1)(filter(level))?;
    current.0 = level;
    Ok(())
}

/// From now on every line also goes here, for whoever asks first; nobody is held up when they wait too long.
pub fn lines() -> Option<Receiver<String>> {
    let (sender, lines) = sync_channel(WAITING_LINES);
    LINES.set(sender).ok().map(|()| lines)
}

/// Standard error, and the one who keeps lines. A line is one write.
struct Tee;

impl io::Write for Tee {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(keeper) = LINES.get() {
            // A full queue loses the line there, not here.
            let _ = keeper.try_send(String::from_utf8_lossy(line).trim_end().to_owned());
        }
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let source = metadata.file().and_then(|file| file.rsplit('/').next()).unwrap_or("");
        let source = format!("{source}:{}", metadata.line().unwrap_or(0));
        let level = metadata.level().as_str();
        let head = [("time", time.as_str()), ("level", level), ("source", &source), ("msg", &fields.message)];
        let all = head.into_iter().chain(fields.others.iter().map(|(name, text)| (*name, text.as_str())));
        match self.0 {
            LogFormat::Logfmt => {
                for (i, (name, text)) in all.enumerate() {
                    let blank = if i == 0 { "" } else { " " };
                    write!(out, "{blank}{name}={}", quoted_if_needed(text))?;
                }
            }
            LogFormat::Json => {
                let object: serde_json::Map<_, _> =
                    all.map(|(name, text)| (name.to_owned(), text.into())).collect();
                write!(out, "{}", serde_json::Value::Object(object))?;
            }
        }
        writeln!(out)
    }
}

fn quoted_if_needed(text: &str) -> String {
    let plain =
        !text.is_empty() && !text.contains(|c: char| c <= ' ' || c == '"' || c == '=' || c == '\u{7f}');
    if plain { text.to_owned() } else { novaobs_model::labels::go_quote(text) }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.others.push((field.name(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }
}
