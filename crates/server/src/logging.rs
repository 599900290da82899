//! The stack's own log lines: logfmt or JSON on standard error, as the peers write them.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `time=… level=INFO source=… msg="…" key=value`
    Logfmt,
    /// The same fields as one JSON object a line.
    Json,
}

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(level: Level, format: LogFormat) {
    let directives =
        format!("{level},hyper=warn,rustls=warn,hickory_proto=error,hickory_resolver=error,h2=warn");
    let filter = tracing_subscriber::EnvFilter::new(directives);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The only failure is that a subscriber is set already, as in tests that start two runtimes.
    let _ = builder.event_format(Lines(format)).try_init();
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
