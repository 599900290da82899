//! The texts of alerts: labels and annotations rendered over a sample.

use std::sync::Arc;

use novaobs_model::Labels;
use novaobs_promql::VectorSample;
use novaobs_template::functions::prometheus::{self, Context, Sample};
use novaobs_template::{Limits, MissingKey, Object, ParseError, Template, Value};

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
        Value::object(Data {
            labels: Value::string_map(sample.labels.iter()),
            external_labels: self.external_labels.clone(),
            external_url: self.external_url.clone(),
            value: sample.value,
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
#[derive(Debug)]
struct Data {
    labels: Value,
    external_labels: Value,
    external_url: Value,
    value: f64,
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
