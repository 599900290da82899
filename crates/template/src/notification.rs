//! What notification templates are rendered over: the group's data, its alerts, key-value sets; and the
//! default templates whose names users override.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::function::{Function, text};
use crate::functions::alertmanager;
use crate::time::Time;
use crate::value::{List, Object, Value};
use crate::{Limits, MissingKey, ParseError, RenderError, Template};

/// The default templates: one per field of each receiver, under the names Alertmanager gave them.
pub const DEFAULT_TEMPLATES: &str = include_str!("defaults/default.tmpl");

/// A template with the notification functions and the default templates.
///
/// # Errors
/// None for the text that is built in; the type is that of adding further files.
pub fn template() -> Result<Template, ParseError> {
    Template::parse_all(alertmanager::functions(), MissingKey::Zero, &[("default.tmpl", DEFAULT_TEMPLATES)])
}

/// Label or annotation names with their values.
pub type Kv = BTreeMap<String, String>;

/// What a notification is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Name of the receiver.
    pub receiver: String,
    /// `firing` while any alert fires, then `resolved`.
    pub status: String,
    /// The alerts of the group.
    pub alerts: Vec<Alert>,
    /// Why it is sent, such as `first notification`.
    pub notification_reason: String,
    /// The labels the group is grouped by.
    pub group_labels: Kv,
    /// Labels all alerts share.
    pub common_labels: Kv,
    /// Annotations all alerts share.
    pub common_annotations: Kv,
    /// Labels of the route, templates themselves.
    pub route_labels: Kv,
    /// Where the alerts can be looked at.
    pub external_url: String,
}

/// One alert of a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    pub labels: Kv,
    /// Its annotations.
    pub annotations: Kv,
    /// Since when.
    pub starts_at: Time,
    /// Until when; the zero time while unknown.
    pub ends_at: Time,
    /// Link to what raised it.
    pub generator_url: String,
    /// Hash of the labels, 16 hexadecimal digits.
    pub fingerprint: String,
}

impl Data {
    /// The data as templates see it.
    pub fn to_value(&self) -> Value {
        let alerts: Arc<[Value]> = self.alerts.iter().map(Alert::to_value).collect();
        Value::object(Struct {
            type_name: "*template.Data",
            fields: vec![
                ("Receiver", "receiver", self.receiver.as_str().into()),
                ("Status", "status", self.status.as_str().into()),
                ("Alerts", "alerts", Value::object(Alerts(alerts))),
                ("NotificationReason", "notification_reason", self.notification_reason.as_str().into()),
                ("GroupLabels", "groupLabels", kv(&self.group_labels)),
                ("CommonLabels", "commonLabels", kv(&self.common_labels)),
                ("CommonAnnotations", "commonAnnotations", kv(&self.common_annotations)),
                ("RouteLabels", "routeLabels", kv(&self.route_labels)),
                ("ExternalURL", "externalURL", self.external_url.as_str().into()),
            ],
        })
    }
}

impl Alert {
    fn to_value(&self) -> Value {
        Value::object(Struct {
            type_name: "template.Alert",
            fields: vec![
                ("Status", "status", self.status.as_str().into()),
                ("Labels", "labels", kv(&self.labels)),
                ("Annotations", "annotations", kv(&self.annotations)),
                ("StartsAt", "startsAt", Value::Time(self.starts_at)),
                ("EndsAt", "endsAt", Value::Time(self.ends_at)),
                ("GeneratorURL", "generatorURL", self.generator_url.as_str().into()),
                ("Fingerprint", "fingerprint", self.fingerprint.as_str().into()),
            ],
        })
    }
}

/// Renders `text`, a field of a receiver, over a notification's data; the empty text stays empty.
///
/// # Errors
/// [`RenderError`].
pub fn render(template: &Template, text: &str, data: &Data, limits: &Limits) -> Result<String, RenderError> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let value = data.to_value();
    if data.route_labels.is_empty() {
        return template.render("", text, &value, limits);
    }
    let labels = Arc::new(RouteLabels {
        template: template.clone(),
        raw: data.route_labels.clone(),
        data: value.clone(),
        limits: *limits,
        state: Mutex::default(),
    });
    bind(template, &labels).render("", text, &value, limits)
}

/// Labels of a route, rendered when they are asked for, each once.
struct RouteLabels {
    template: Template,
    raw: Kv,
    data: Value,
    limits: Limits,
    state: Mutex<RouteLabelState>,
}

#[derive(Default)]
struct RouteLabelState {
    rendered: HashMap<String, String>,
    /// Labels being rendered, outermost first.
    open: Vec<String>,
}

/// The template with `routeLabels` answering from `labels`.
fn bind(template: &Template, labels: &Arc<RouteLabels>) -> Template {
    let mut functions = template.functions().clone();
    let labels = labels.clone();
    functions.set("routeLabels", Function::of_string(move |name| resolve(&labels, name).map(Value::from)));
    template.with_functions(functions)
}

fn resolve(labels: &Arc<RouteLabels>, name: &str) -> Result<String, String> {
    let Some(raw) = labels.raw.get(name) else { return Ok(String::new()) };
    let lock = || labels.state.lock().unwrap_or_else(PoisonError::into_inner);
    {
        let mut state = lock();
        if let Some(text) = state.rendered.get(name) {
            return Ok(text.clone());
        }
        if state.open.iter().any(|open| open == name) {
            return Err(format!("route label cycle detected: {} -> {name}", state.open.join(" -> ")));
        }
        state.open.push(name.to_owned());
    }
    let result = bind(&labels.template, labels).render("", raw, &labels.data, &labels.limits);
    let mut state = lock();
    state.open.pop();
    let text = result.map_err(|error| error.to_string())?;
    state.rendered.insert(name.to_owned(), text.clone());
    Ok(text)
}

/// A struct of named fields: (in templates, in JSON, value).
#[derive(Debug)]
struct Struct {
    type_name: &'static str,
    fields: Vec<(&'static str, &'static str, Value)>,
}

impl Object for Struct {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(field, ..)| *field == name).map(|(_, _, value)| value.clone())
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.fields.iter().map(|(_, key, value)| (*key, value.clone())).collect()
    }
}

/// A key-value set as templates see it.
pub fn kv(pairs: &Kv) -> Value {
    Value::object(KvObject(pairs.clone()))
}

#[derive(Debug)]
struct KvObject(Kv);

impl KvObject {
    /// The alert's name first, then by name.
    fn sorted(&self) -> Vec<(String, String)> {
        const ALERT_NAME: &str = "alertname";
        let first = self.0.get_key_value(ALERT_NAME);
        let others = self.0.iter().filter(|(name, _)| *name != ALERT_NAME);
        first.into_iter().chain(others).map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

impl Object for KvObject {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn plain(&self) -> Value {
        Value::string_map(self.0.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }

    fn text(&self) -> Option<String> {
        Pairs(self.sorted()).text()
    }

    fn method(&self, name: &str) -> Option<Function> {
        match name {
            "SortedPairs" => Some(Function::constant(Value::object(Pairs(self.sorted())))),
            "Remove" => {
                let pairs = self.0.clone();
                Some(Function::new(&[crate::Param::Strings], move |args| {
                    let mut left = pairs.clone();
                    if let Some(Value::List(list)) = args.first().map(Value::plain) {
                        for name in list.items.iter().filter_map(Value::as_str) {
                            left.remove(name);
                        }
                    }
                    Ok(kv(&left))
                }))
            }
            "Names" | "Values" => Pairs(self.sorted()).method(name),
            "String" => self.text().map(|text| Function::constant(text.into())),
            _ => None,
        }
    }
}

/// Pairs in order.
#[derive(Debug)]
struct Pairs(Vec<(String, String)>);

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn plain(&self) -> Value {
        let pair = |(name, value): &(String, String)| {
            Value::object(Struct {
                type_name: "template.Pair",
                fields: vec![
                    ("Name", "Name", name.as_str().into()),
                    ("Value", "Value", value.as_str().into()),
                ],
            })
        };
        Value::List(List { items: self.0.iter().map(pair).collect(), type_name: "[]template.Pair" })
    }

    fn text(&self) -> Option<String> {
        let all: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some(all.join(", "))
    }

    fn method(&self, name: &str) -> Option<Function> {
        let texts: Vec<String> = match name {
            "Names" => self.0.iter().map(|(name, _)| name.clone()).collect(),
            "Values" => self.0.iter().map(|(_, value)| value.clone()).collect(),
            "String" => return self.text().map(|text| Function::constant(text.into())),
            _ => return None,
        };
        Some(Function::constant(Value::object(Strings(texts))))
    }
}

/// A list of strings with `Join`.
#[derive(Debug)]
struct Strings(Vec<String>);

impl Object for Strings {
    fn type_name(&self) -> &'static str {
        "template.Strings"
    }

    fn plain(&self) -> Value {
        Value::strings(&self.0)
    }

    fn method(&self, name: &str) -> Option<Function> {
        if name != "Join" {
            return None;
        }
        let texts = self.0.clone();
        Some(Function::new(&[crate::Param::String], move |args| Ok(texts.join(text(args, 0)).into())))
    }
}

/// Alerts with `Firing` and `Resolved`.
#[derive(Debug)]
struct Alerts(Arc<[Value]>);

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn plain(&self) -> Value {
        Value::List(List { items: self.0.clone(), type_name: "[]template.Alert" })
    }

    fn method(&self, name: &str) -> Option<Function> {
        let status = match name {
            "Firing" => "firing",
            "Resolved" => "resolved",
            _ => return None,
        };
        let has_status = |alert: &&Value| match alert {
            Value::Object(object) => object.field("Status").is_some_and(|s| s.as_str() == Some(status)),
            _ => false,
        };
        let items = self.0.iter().filter(has_status).cloned().collect();
        Some(Function::constant(Value::List(List { items, type_name: "[]template.Alert" })))
    }
}
