//! The texts of alerts: labels and annotations rendered over a sample.

use std::fmt;
use std::sync::Arc;

use novaobs_model::Labels;
use novaobs_promql::VectorSample;
use novaobs_template::functions::prometheus::{self, Context, Sample};
use novaobs_template::{Limits, MissingKey, Object, ParseError, Template, Value};

use crate::language::{Expression, Language};

/// Short names for the data, put in front of every template.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                           {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Most lines an alert on logs shows.
const MAX_LINES: usize = 10;

/// What all texts of a rule manager share.
#[derive(Clone)]
pub(crate) struct TextContext {
    pub language: Arc<dyn Language>,
    pub external_labels: Labels,
    pub external_url: String,
    /// The path of `external_url`, without a slash at its end.
    pub path_prefix: String,
}

/// Renders the texts of one rule at one time.
pub(crate) struct Renderer {
    template: Template,
    name: String,
    external_labels: Value,
    external_url: Value,
    /// The rule's expression and the time it was evaluated at, for the lines behind a sample.
    expression: Arc<dyn Expression>,
    time: i64,
}

impl Renderer {
    /// Renders texts of `alert` at `timestamp`, whose `expression` was evaluated at `time`.
    pub(crate) fn new(
        context: &TextContext,
        alert: &str,
        timestamp: i64,
        expression: Arc<dyn Expression>,
        time: i64,
    ) -> Self {
        let language = context.language.clone();
        let query = move |text: &str| {
            let samples = language
                .compile(text)
                .and_then(|expression| expression.eval(timestamp).map_err(|error| error.to_string()))?;
            let owned = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            Ok(samples.iter().map(|s| Sample { labels: owned(&s.labels), value: s.value }).collect())
        };
        let functions = prometheus::functions(&Context {
            query: Arc::new(query),
            timestamp,
            external_url: context.external_url.clone(),
            path_prefix: context.path_prefix.clone(),
        });
        Renderer {
            template: Template::new(functions, MissingKey::Zero),
            name: format!("__alert_{alert}"),
            external_labels: Value::string_map(context.external_labels.iter()),
            external_url: Value::from(context.external_url.as_str()),
            expression,
            time,
        }
    }

    /// The data of one sample.
    pub(crate) fn data(&self, sample: &VectorSample) -> Value {
        Value::object(Data {
            labels: Value::string_map(sample.labels.iter()),
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
            value: sample.value,
            series: sample.labels.clone(),
            expression: self.expression.clone(),
            time: self.time,
        })
    }

    /// Renders `text`; a failure becomes the text, so that the alert is sent all the same.
    pub(crate) fn render(&self, text: &str, data: &Value) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let whole = format!("{DEFINITIONS}{text}");
        match self.template.render(&self.name, &whole, data, &Limits::default()) {
            Ok(text) => text,
            Err(error) => {
                let doing = match &error {
                    novaobs_template::RenderError::Parse(_) => "parsing",
                    novaobs_template::RenderError::Exec(_) => "executing",
                };
                tracing::warn!(template = self.name, %error, "expanding an alert template failed");
                format!("<error expanding template: error {doing} template {}: {error}>", self.name)
            }
        }
    }
}

/// What alert templates see as dot.
struct Data {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: f64,
    series: Labels,
    expression: Arc<dyn Expression>,
    time: i64,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("labels", &self.labels)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

impl Object for Data {
    fn type_name(&self) -> &'static str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Labels" => self.labels.clone(),
            "ExternalLabels" => self.external_labels.clone(),
            "ExternalURL" => self.external_url.clone(),
            "Value" => Value::Float(self.value),
            // Read only where a template asks: it is a query of its own.
            "Lines" => Value::list(
                self.expression
                    .lines(self.time, &self.series, MAX_LINES)
                    .iter()
                    .map(|l| Value::from(l.as_str())),
            ),
            _ => return None,
        })
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let names = ["Labels", "ExternalLabels", "ExternalURL", "Value"];
        names.into_iter().filter_map(|name| Some((name, self.field(name)?))).collect()
    }
}

/// A context for parsing only.
pub(crate) fn no_context() -> Context {
    Context {
        query: Arc::new(|_| Ok(Vec::new())),
        timestamp: 0,
        external_url: String::new(),
        path_prefix: String::new(),
    }
}

/// Whether `text` is a template.
pub(crate) fn check(parser: &Template, alert: &str, text: &str) -> Result<(), ParseError> {
    parser.check(&format!("__alert_{alert}"), &format!("{DEFINITIONS}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::EvalError;

    /// Knows two lines of one series.
    struct Logs;

    impl Expression for Logs {
        fn text(&self) -> &str {
            "logs"
        }

        fn eval(&self, _: i64) -> Result<Vec<VectorSample>, EvalError> {
            Ok(Vec::new())
        }

        fn lines(&self, time: i64, labels: &Labels, limit: usize) -> Vec<String> {
            let lines = ["disk full", "disk is full"].map(|text| format!("{text} at {time} on {labels}"));
            lines.into_iter().take(limit).collect()
        }
    }

    impl Language for Logs {
        fn compile(&self, _: &str) -> Result<Arc<dyn Expression>, String> {
            Ok(Arc::new(Logs))
        }
    }

    #[test]
    fn an_alert_shows_the_lines_behind_it() {
        let context = TextContext {
            language: Arc::new(Logs),
            external_labels: Labels::empty(),
            external_url: String::new(),
            path_prefix: String::new(),
        };
        let renderer = Renderer::new(&context, "Full", 60_000, Arc::new(Logs), 59_000);
        let labels = Labels::from_pairs([("host", "a")]);
        let data = renderer.data(&VectorSample { labels, timestamp: 60_000, value: 2.0 });
        let text = renderer.render("{{ $labels.host }}: {{ range .Lines }}{{ . }}; {{ end }}", &data);
        assert_eq!(text, "a: disk full at 59000 on {host=\"a\"}; disk is full at 59000 on {host=\"a\"}; ");
    }
}
