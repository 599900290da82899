//! Agreeing on an exposition format by HTTP headers, as a client of scrape targets and as a server.

use std::fmt;

use super::Format;
use super::encode::Escaping;
use crate::quote::quote;

/// A protocol that a scrape may ask for, by its name in `scrape_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`
    PrometheusProto,
    /// `PrometheusText0.0.4`
    PrometheusText004,
    /// `PrometheusText1.0.0`
    PrometheusText100,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText001,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText100,
}

impl ScrapeProtocol {
    /// All of them, sorted by name.
    pub const ALL: [ScrapeProtocol; 5] = [
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::PrometheusText004,
        ScrapeProtocol::PrometheusText100,
    ];

    /// What a scrape asks for when nothing is configured, most wanted first.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// [`ScrapeProtocol::DEFAULT`] where native histograms are wanted, which only protobuf carries.
    pub const PROTOBUF_FIRST: [ScrapeProtocol; 5] = [
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => "PrometheusProto",
            ScrapeProtocol::PrometheusText004 => "PrometheusText0.0.4",
            ScrapeProtocol::PrometheusText100 => "PrometheusText1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "OpenMetricsText0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "OpenMetricsText1.0.0",
        }
    }

    /// The protocol of that name, upper and lower case as written.
    pub fn from_name(name: &str) -> Option<Self> {
        ScrapeProtocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// The media type with its parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::PrometheusText004 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText100 => "text/plain;version=1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// The format it is read as.
    pub fn format(self) -> Format {
        match self {
            ScrapeProtocol::PrometheusProto => Format::Protobuf,
            ScrapeProtocol::PrometheusText004 | ScrapeProtocol::PrometheusText100 => Format::Text,
            ScrapeProtocol::OpenMetricsText001 | ScrapeProtocol::OpenMetricsText100 => Format::OpenMetrics,
        }
    }
}

impl fmt::Display for ScrapeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `Accept` header of a scrape that wants `protocols`, most wanted first.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let mut weight = ScrapeProtocol::ALL.len() + 1;
    let mut out = String::new();
    for protocol in protocols {
        out.push_str(protocol.media_type());
        if matches!(protocol, ScrapeProtocol::PrometheusText100 | ScrapeProtocol::OpenMetricsText100) {
            out.push_str(";escaping=");
            out.push_str(escaping.name());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

/// Why a response's `Content-Type` names no format that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// There is none.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// It is not a media type; the text is quoted.
    #[error("cannot parse Content-Type {0} and no fallback_scrape_protocol for target")]
    Malformed(String),
    /// It is another one; the text is quoted.
    #[error("received unsupported Content-Type {0} and no fallback_scrape_protocol specified for target")]
    Unsupported(String),
}

/// The format of a response with this `Content-Type`. A missing, broken or foreign one means `fallback`.
///
/// # Errors
/// [`ContentTypeError`] without a fallback.
pub fn response_format(
    content_type: &str,
    fallback: Option<ScrapeProtocol>,
) -> Result<Format, ContentTypeError> {
    let problem = if content_type.is_empty() {
        ContentTypeError::Blank
    } else {
        match media_type(content_type).as_deref() {
            Some("text/plain") => return Ok(Format::Text),
            Some("application/openmetrics-text") => return Ok(Format::OpenMetrics),
            Some("application/vnd.google.protobuf") => return Ok(Format::Protobuf),
            Some(_) => ContentTypeError::Unsupported(quote(content_type.as_bytes())),
            None => ContentTypeError::Malformed(quote(content_type.as_bytes())),
        }
    };
    fallback.map(ScrapeProtocol::format).ok_or(problem)
}

/// The media type of a header value in lower case, `None` when the value is malformed: a type that is no
/// token, a parameter without `=`, a parameter twice.
fn media_type(value: &str) -> Option<String> {
    let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
    let well_formed = match kind.split_once('/') {
        Some((head, tail)) => token(head) && token(tail),
        None => token(&kind),
    };
    if !well_formed {
        return None;
    }
    let mut seen: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(kind);
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if !token(&name) || seen.contains(&name) {
            return None;
        }
        seen.push(name);
        rest = parameter_value(after)?.1.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(';')?;
        }
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|b| !is_token_byte(b)).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The format and name escaping to serve to a client, with the `Content-Type` that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The format.
    pub format: Format,
    /// What becomes of names that are not plain.
    pub escaping: Escaping,
    /// The response's `Content-Type`.
    pub content_type: String,
}

/// Chooses what to serve for an `Accept` header: the first supported type in the client's order of
/// preference, text 0.0.4 if there is none. OpenMetrics is only offered with `openmetrics`.
pub fn negotiate(accept: &str, openmetrics: bool) -> Served {
    let mut escaping = Escaping::Underscores;
    let mut choice = None;
    for range in accept_ranges(accept) {
        let parameter =
            |name: &str| range.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        if let Some(wanted) = parameter("escaping").and_then(Escaping::from_name) {
            escaping = wanted;
        }
        let version = parameter("version").unwrap_or("");
        choice = match range.kind.as_str() {
            "application/vnd.google.protobuf"
                if parameter("proto") == Some("io.prometheus.client.MetricFamily")
                    && parameter("encoding") == Some("delimited") =>
            {
                let media = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
                Some((Format::Protobuf, format!("{media}; encoding=delimited")))
            }
            "text/plain" if version == "1.0.0" => {
                Some((Format::Text, "text/plain; version=1.0.0; charset=utf-8".to_owned()))
            }
            "text/plain" if matches!(version, "0.0.4" | "") => {
                Some((Format::Text, "text/plain; version=0.0.4; charset=utf-8".to_owned()))
            }
            "application/openmetrics-text" if openmetrics && matches!(version, "0.0.1" | "1.0.0" | "") => {
                let version = if version == "1.0.0" { version } else { "0.0.1" };
                let media = "application/openmetrics-text";
                Some((Format::OpenMetrics, format!("{media}; version={version}; charset=utf-8")))
            }
            _ => None,
        };
        if choice.is_some() {
            break;
        }
    }
    let (format, media) =
        choice.unwrap_or_else(|| (Format::Text, "text/plain; version=0.0.4; charset=utf-8".to_owned()));
    Served { format, escaping, content_type: format!("{media}; escaping={}", escaping.name()) }
}

/// One alternative of an `Accept` header.
struct AcceptRange {
    kind: String,
    parameters: Vec<(String, String)>,
    weight: f64,
}

/// The alternatives, most wanted first; those of equal weight in the header's order.
fn accept_ranges(accept: &str) -> Vec<AcceptRange> {
    let mut ranges: Vec<AcceptRange> = Vec::new();
    for part in accept.split(',') {
        let mut pieces = part.split(';');
        let kind = pieces.next().unwrap_or("").trim().to_ascii_lowercase();
        let mut range = AcceptRange { kind, parameters: Vec::new(), weight: 1.0 };
        for piece in pieces {
            let Some((name, value)) = piece.split_once('=') else { continue };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            if name == "q" {
                range.weight = value.parse().unwrap_or(1.0);
            } else {
                range.parameters.push((name, value.to_owned()));
            }
        }
        ranges.push(range);
    }
    ranges.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_as_prometheus_does() {
        assert_eq!(
            accept_header(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept_header(&[ScrapeProtocol::PrometheusProto], Escaping::Underscores),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             */*;q=0.5"
        );
    }

    #[test]
    fn reads_content_types() {
        let f = |header: &str, want: Format| assert_eq!(response_format(header, None), Ok(want), "{header}");
        f("text/plain", Format::Text);
        f("Text/Plain; version=0.0.4; charset=utf-8", Format::Text);
        f("text/plain; version=0.0.4;", Format::Text);
        f("text/plain; charset=\"utf-8\"", Format::Text);
        f("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics);
        f(ScrapeProtocol::PrometheusProto.media_type(), Format::Protobuf);
    }

    #[test]
    fn refuses_content_types_without_fallback() {
        let f = |header: &str, part: &str| {
            let error = response_format(header, None).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(response_format(header, Some(ScrapeProtocol::PrometheusText004)), Ok(Format::Text));
        };
        f("", "non-compliant scrape target sending blank Content-Type");
        f("text/html", "received unsupported Content-Type \"text/html\"");
        f("text/plain; charset", "cannot parse Content-Type \"text/plain; charset\"");
        f("text/plain; a=1; a=2", "cannot parse");
        f("text/plain; a=\"x", "cannot parse");
        f("te xt/plain", "cannot parse");
    }

    #[test]
    fn serves_what_is_most_wanted() {
        let f = |accept: &str, openmetrics: bool, want: &str| {
            assert_eq!(negotiate(accept, openmetrics).content_type, want, "{accept}");
        };
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
        f("", false, text);
        f("*/*", false, text);
        f("application/openmetrics-text;version=1.0.0", false, text);
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
        f(&accept_header(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8), true, openmetrics);
        f("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.6", false, text);
        f(
            &accept_header(&ScrapeProtocol::PROTOBUF_FIRST, Escaping::AllowUtf8),
            false,
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores",
        );
    }
}
