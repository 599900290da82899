//! The texts of alerts: labels and annotations rendered over a sample.

use std::sync::Arc;

use novaobs_model::Labels;
use novaobs_promql::VectorSample;
use novaobs_template::functions::prometheus::{self, Context, Sample};
use novaobs_template::{Limits, MissingKey, ParseError, Template, Value};

use crate::language::Language;

/// Short names for the data, put in front of every template.
const DEFINITIONS: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                           {{$externalURL := .ExternalURL}}{{$value := .Value}}";

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
}

impl Renderer {
    pub(crate) fn new(context: &TextContext, alert: &str, timestamp: i64) -> Self {
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
        }
    }

    /// The data of one sample.
    pub(crate) fn data(&self, sample: &VectorSample) -> Value {
        Value::map([
            ("Labels".to_owned(), Value::string_map(sample.labels.iter())),
            ("ExternalLabels".to_owned(), self.external_labels.clone()),
            ("ExternalURL".to_owned(), self.external_url.clone()),
            ("Value".to_owned(), Value::Float(sample.value)),
        ])
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
