//! Writing the exposition formats: for `/metrics` and `/federate`.

use novaobs_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use novaobs_model::{Labels, METRIC_NAME, MetricType};

use super::Format;
use crate::number::{push_float, push_openmetrics_float};
use crate::protobuf::{push_bytes, push_double, push_integer, push_varint};

/// What becomes of metric and label names outside `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// They stay, quoted.
    AllowUtf8,
    /// Each character outside becomes `_`.
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, anything else outside `__`.
    Dots,
    /// They get the prefix `U__`, `_` becomes `__` and other characters `_<code point>_`.
    Values,
}

impl Escaping {
    /// The name in `Accept` headers and in `metric_name_escaping_scheme`.
    pub fn name(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The scheme of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values]
            .into_iter()
            .find(|scheme| scheme.name() == name)
    }

    /// `name` as this scheme writes it.
    pub fn escape(self, name: &str) -> String {
        let plain = is_legacy_metric_name(name);
        if name.is_empty() || self == Escaping::AllowUtf8 || (plain && self != Escaping::Dots) {
            return name.to_owned();
        }
        let mut out = String::with_capacity(name.len() + 3);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (i, c) in name.char_indices() {
            let legacy = c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && i > 0);
            match (self, c) {
                (Escaping::Underscores, _) => out.push(if legacy { c } else { '_' }),
                (_, '_') => out.push_str("__"),
                _ if legacy => out.push(c),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (Escaping::Dots, _) => out.push_str("__"),
                _ => out.push_str(&format!("_{:x}_", c as u32)),
            }
        }
        out
    }
}

/// Writes one body. Call [`Encoder::family`], then [`Encoder::sample`] for each of its samples, and so on;
/// [`Encoder::finish`] gives the bytes.
///
/// In protobuf, counters and gauges keep their type; the samples of other types are written as untyped
/// families of their own names, since a flat sample does not say which histogram it is a piece of.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    escaping: Escaping,
    text: String,
    binary: Vec<u8>,
    kind: MetricType,
    help: String,
    /// The protobuf family being collected: its name and message so far.
    open: Option<(String, Vec<u8>)>,
}

impl Encoder {
    /// A writer of `format`.
    pub fn new(format: Format, escaping: Escaping) -> Self {
        Encoder {
            format,
            escaping,
            text: String::new(),
            binary: Vec::new(),
            kind: MetricType::Unknown,
            help: String::new(),
            open: None,
        }
    }

    /// Begins a family. `help` and `unit` may be empty. In OpenMetrics a counter's family is named without
    /// the `_total` of its samples, and a unit that is no suffix of the name is left out.
    pub fn family(&mut self, name: &str, kind: MetricType, help: &str, unit: &str) {
        let name = self.escaping.escape(name);
        self.kind = kind;
        help.clone_into(&mut self.help);
        match self.format {
            Format::Protobuf => self.close_family(),
            Format::Text => {
                if !help.is_empty() {
                    self.meta_line("HELP", &name);
                    push_escaped(&mut self.text, help, false);
                    self.text.push('\n');
                }
                self.meta_line("TYPE", &name);
                self.text.push_str(match kind {
                    MetricType::GaugeHistogram => "histogram",
                    MetricType::Unknown | MetricType::Info | MetricType::StateSet => "untyped",
                    kind => kind.as_str(),
                });
                self.text.push('\n');
            }
            Format::OpenMetrics => {
                let stem =
                    name.strip_suffix("_total").filter(|_| kind == MetricType::Counter).unwrap_or(&name);
                if !help.is_empty() {
                    self.meta_line("HELP", stem);
                    push_escaped(&mut self.text, help, true);
                    self.text.push('\n');
                }
                self.meta_line("TYPE", stem);
                self.text.push_str(kind.as_str());
                self.text.push('\n');
                if !unit.is_empty() && stem.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')) {
                    self.meta_line("UNIT", stem);
                    self.text.push_str(unit);
                    self.text.push('\n');
                }
            }
        }
    }

    fn meta_line(&mut self, word: &str, name: &str) {
        self.text.push_str("# ");
        self.text.push_str(word);
        self.text.push(' ');
        if is_legacy_metric_name(name) {
            self.text.push_str(name);
        } else {
            push_quoted(&mut self.text, name);
        }
        self.text.push(' ');
    }

    /// Adds a sample of the family; `timestamp` in Unix milliseconds.
    pub fn sample(&mut self, labels: &Labels, value: f64, timestamp: Option<i64>) {
        if self.format == Format::Protobuf {
            return self.protobuf_sample(labels, value, timestamp);
        }
        self.push_series(labels);
        self.text.push(' ');
        if self.format == Format::Text {
            push_float(&mut self.text, value);
        } else {
            push_openmetrics_float(&mut self.text, value);
        }
        if let Some(timestamp) = timestamp {
            self.text.push(' ');
            if self.format == Format::Text {
                self.text.push_str(&timestamp.to_string());
            } else {
                push_seconds(&mut self.text, timestamp);
            }
        }
        self.text.push('\n');
    }

    fn push_series(&mut self, labels: &Labels) {
        let name = self.escaping.escape(labels.metric_name());
        let bare = is_legacy_metric_name(&name);
        let mut separator = '{';
        if bare {
            self.text.push_str(&name);
        } else if !name.is_empty() {
            self.text.push('{');
            push_quoted(&mut self.text, &name);
            separator = ',';
        }
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            self.text.push(std::mem::replace(&mut separator, ','));
            let name = self.escaping.escape(name);
            if is_legacy_label_name(&name) {
                self.text.push_str(&name);
            } else {
                push_quoted(&mut self.text, &name);
            }
            self.text.push('=');
            push_quoted(&mut self.text, value);
        }
        if separator == ',' {
            self.text.push('}');
        }
    }

    fn protobuf_sample(&mut self, labels: &Labels, value: f64, timestamp: Option<i64>) {
        let name = self.escaping.escape(labels.metric_name());
        if self.open.as_ref().is_none_or(|(open, _)| *open != name) {
            self.close_family();
            let mut family = Vec::new();
            push_bytes(&mut family, 1, name.as_bytes());
            if !self.help.is_empty() {
                push_bytes(&mut family, 2, self.help.as_bytes());
            }
            push_integer(&mut family, 3, self.protobuf_kind().0);
            self.open = Some((name, family));
        }
        let mut metric = Vec::new();
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            let mut pair = Vec::new();
            push_bytes(&mut pair, 1, self.escaping.escape(name).as_bytes());
            push_bytes(&mut pair, 2, value.as_bytes());
            push_bytes(&mut metric, 1, &pair);
        }
        let mut wrapped = Vec::new();
        push_double(&mut wrapped, 1, value);
        push_bytes(&mut metric, self.protobuf_kind().1, &wrapped);
        if let Some(timestamp) = timestamp {
            push_integer(&mut metric, 6, timestamp as u64);
        }
        if let Some((_, family)) = &mut self.open {
            push_bytes(family, 4, &metric);
        }
    }

    /// The family's type and the field of a metric that holds a value of this type.
    fn protobuf_kind(&self) -> (u64, u64) {
        match self.kind {
            MetricType::Counter => (0, 3),
            MetricType::Gauge => (1, 2),
            _ => (3, 5),
        }
    }

    fn close_family(&mut self) {
        if let Some((_, family)) = self.open.take() {
            push_varint(&mut self.binary, family.len() as u64);
            self.binary.extend_from_slice(&family);
        }
    }

    /// The body.
    pub fn finish(mut self) -> Vec<u8> {
        match self.format {
            Format::Protobuf => {
                self.close_family();
                self.binary
            }
            Format::Text => self.text.into_bytes(),
            Format::OpenMetrics => {
                self.text.push_str("# EOF\n");
                self.text.into_bytes()
            }
        }
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text, true);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// Milliseconds as seconds, exactly: `1500` is `1.5`.
fn push_seconds(out: &mut String, milliseconds: i64) {
    if milliseconds < 0 {
        out.push('-');
    }
    let milliseconds = milliseconds.unsigned_abs();
    out.push_str(&format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000));
    while out.ends_with('0') && !out.ends_with(".0") {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_names() {
        let f = |name: &str, underscores: &str, dots: &str, values: &str| {
            assert_eq!(Escaping::Underscores.escape(name), underscores);
            assert_eq!(Escaping::Dots.escape(name), dots);
            assert_eq!(Escaping::Values.escape(name), values);
            assert_eq!(Escaping::AllowUtf8.escape(name), name);
        };
        f("http_requests", "http_requests", "http__requests", "http_requests");
        f("my.metric_a", "my_metric_a", "my_dot_metric__a", "U__my_2e_metric__a");
        f("0a é", "_a__", "__a____", "U___30_a_20__e9_");
    }

    #[test]
    fn writes_text_and_openmetrics() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let write = |format, escaping| {
            let mut encoder = Encoder::new(format, escaping);
            encoder.family("requests_seconds_total", MetricType::Counter, "a \"b\"\\\nc", "seconds");
            let series = labels(&[(METRIC_NAME, "requests_seconds_total"), ("a", "x\"\\\n"), ("le.x", "1")]);
            encoder.sample(&series, 1e6, Some(1500));
            encoder.family("my.gauge", MetricType::Unknown, "", "");
            encoder.sample(&labels(&[(METRIC_NAME, "my.gauge")]), 3.0, None);
            String::from_utf8(encoder.finish()).unwrap()
        };
        assert_eq!(
            write(Format::Text, Escaping::Underscores),
            "# HELP requests_seconds_total a \"b\"\\\\\\nc\n# TYPE requests_seconds_total counter\n\
             requests_seconds_total{a=\"x\\\"\\\\\\n\",le_x=\"1\"} 1e+06 1500\n\
             # TYPE my_gauge untyped\nmy_gauge 3\n"
        );
        assert_eq!(
            write(Format::OpenMetrics, Escaping::AllowUtf8),
            "# HELP requests_seconds a \\\"b\\\"\\\\\\nc\n# TYPE requests_seconds counter\n# UNIT requests_seconds seconds\n\
             requests_seconds_total{a=\"x\\\"\\\\\\n\",\"le.x\"=\"1\"} 1e+06 1.5\n\
             # TYPE \"my.gauge\" unknown\n{\"my.gauge\"} 3.0\n# EOF\n"
        );
    }
}
