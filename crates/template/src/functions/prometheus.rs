//! The functions of alert texts and console templates.

use std::sync::Arc;

use crate::escape;
use crate::function::{Function, Functions, Param, text};
use crate::functions::shared::{self, float, four_digits, scale_small, title};
use crate::time::Time;
use crate::value::{List, Object, Value};

/// One sample of a query's result: `.Labels` and `.Value`.
#[derive(Clone, Debug)]
pub struct Sample {
    /// (name, value) pairs, the metric name included.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// Runs an instant query at the time of the evaluation; the error is shown in the text.
pub type Query = dyn Fn(&str) -> Result<Vec<Sample>, String> + Send + Sync;

/// What the functions know of the evaluation they are called in.
#[derive(Clone)]
pub struct Context {
    /// Answers `query`.
    pub query: Arc<Query>,
    /// Unix milliseconds: what `now` gives.
    pub timestamp: i64,
    /// What `externalURL` gives.
    pub external_url: String,
    /// What `pathPrefix` gives: the path of the external URL.
    pub path_prefix: String,
}

const SAMPLE: &str = "*template.sample";
const RESULT: &str = "template.queryResult";

#[derive(Debug)]
struct SampleObject {
    labels: Value,
    value: f64,
}

impl Object for SampleObject {
    fn type_name(&self) -> &'static str {
        SAMPLE
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(self.labels.clone()),
            "Value" => Some(Value::Float(self.value)),
            _ => None,
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Labels", self.labels.clone()), ("Value", Value::Float(self.value))]
    }
}

fn result(items: Vec<Value>) -> Value {
    Value::List(List { items: items.into(), type_name: RESULT })
}

fn items(args: &[Value], at: usize) -> &[Value] {
    match args.get(at) {
        Some(Value::List(list)) => &list.items,
        _ => &[],
    }
}

fn field(sample: Option<&Value>, name: &str) -> Value {
    match sample {
        Some(Value::Object(object)) => object.field(name).unwrap_or_default(),
        _ => Value::Nil,
    }
}

fn label(sample: Option<&Value>, name: &str) -> Value {
    match field(sample, "Labels") {
        Value::Map(map) => map.entries.get(name).cloned().unwrap_or_else(|| Value::from("")),
        _ => Value::from(""),
    }
}

/// The functions, bound to one evaluation.
pub fn functions(context: &Context) -> Functions {
    let mut all = Functions::new();
    shared::add(&mut all);
    add_query(&mut all, context);
    add_numbers(&mut all);
    add_text(&mut all);
    let now = context.timestamp as f64 / 1000.0;
    all.set("now", Function::constant(Value::Float(now)));
    all.set("externalURL", Function::constant(context.external_url.as_str().into()));
    all.set("pathPrefix", Function::constant(context.path_prefix.as_str().into()));
    all
}

fn add_query(all: &mut Functions, context: &Context) {
    let query = context.query.clone();
    all.set(
        "query",
        Function::of_string(move |expression| {
            let samples = query(expression)?;
            let object = |sample: Sample| {
                let labels = sample.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                Value::object(SampleObject { labels: Value::string_map(labels), value: sample.value })
            };
            Ok(result(samples.into_iter().map(object).collect()))
        }),
    );
    all.set(
        "first",
        Function::new(&[Param::Named(RESULT)], |args| {
            let none = || "first() called on vector with no elements".to_owned();
            items(args, 0).first().cloned().ok_or_else(none)
        }),
    );
    all.set(
        "label",
        Function::new(&[Param::String, Param::Named(SAMPLE)], |args| Ok(label(args.get(1), text(args, 0)))),
    );
    all.set("value", Function::new(&[Param::Named(SAMPLE)], |args| Ok(field(args.first(), "Value"))));
    all.set("strvalue", Function::new(&[Param::Named(SAMPLE)], |args| Ok(label(args.first(), "__value__"))));
    all.set(
        "sortByLabel",
        Function::new(&[Param::String, Param::Named(RESULT)], |args| {
            let by = text(args, 0);
            let mut sorted = items(args, 1).to_vec();
            sorted.sort_by_cached_key(|sample| label(Some(sample), by).as_str().unwrap_or("").to_owned());
            Ok(result(sorted))
        }),
    );
    all.set(
        "args",
        Function::variadic(&[Param::Any], |args| {
            Ok(Value::map(args.iter().enumerate().map(|(i, arg)| (format!("arg{i}"), arg.clone()))))
        }),
    );
}

fn add_numbers(all: &mut Functions) {
    let mut number = |name: &str, call: fn(f64) -> Result<Value, String>| {
        all.set(name, Function::new(&[Param::Any], move |args| call(float(args)?)));
    };
    number("humanize", |v| {
        if v == 0.0 || !v.is_finite() {
            return Ok(four_digits(v).into());
        }
        if v.abs() < 1.0 {
            let (v, prefix) = scale_small(v);
            return Ok(format!("{}{prefix}", four_digits(v)).into());
        }
        let (v, prefix) = scale_large(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
        Ok(format!("{}{prefix}", four_digits(v)).into())
    });
    number("humanize1024", |v| {
        if v.abs() <= 1.0 || !v.is_finite() {
            return Ok(four_digits(v).into());
        }
        let (v, prefix) = scale_large(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
        Ok(format!("{}{prefix}", four_digits(v)).into())
    });
    number("humanizePercentage", |v| Ok(format!("{}%", four_digits(v * 100.0)).into()));
    number("humanizeTimestamp", |v| {
        if !v.is_finite() {
            return Ok(four_digits(v).into());
        }
        Ok(time(v)?.to_string().into())
    });
    number("toTime", |v| time(v).map(Value::Time));
    number("toDuration", |v| Ok(Value::Duration((v * 1e9) as i64)));
}

fn scale_large(mut v: f64, base: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for p in prefixes {
        if v.abs() < base {
            break;
        }
        prefix = p;
        v /= base;
    }
    (v, prefix)
}

/// Unix seconds to a time of whole milliseconds.
fn time(v: f64) -> Result<Time, String> {
    if !v.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = v * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        let v = crate::fmt::format_float(v, 'g', None);
        return Err(format!("{v} cannot be represented as a nanoseconds timestamp since it overflows int64"));
    }
    Ok(Time::from_unix_ms(nanos as i64 / 1_000_000))
}

fn add_text(all: &mut Functions) {
    all.set("title", Function::of_string(|text| Ok(title(text, false).into())));
    all.set("urlQueryEscape", Function::of_string(|text| Ok(escape::query(text).into())));
    all.set("graphLink", Function::of_string(|expr| Ok(link(expr, 0))));
    all.set("tableLink", Function::of_string(|expr| Ok(link(expr, 1))));
    all.set(
        "stripPort",
        Function::of_string(|address| Ok(split_host_port(address).map_or(address, |(host, _)| host).into())),
    );
    all.set("stripDomain", Function::of_string(|address| Ok(strip_domain(address).into())));
    all.set(
        "parseDuration",
        Function::of_string(|text| {
            let (sign, magnitude) = match text.strip_prefix('-') {
                Some(rest) => (-1.0, rest),
                None => (1.0, text),
            };
            let duration = novaobs_model::duration::parse(magnitude).map_err(|error| error.to_string())?;
            Ok(Value::Float(sign * duration.as_secs_f64()))
        }),
    );
}

fn link(expr: &str, tab: u8) -> Value {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape::query(expr)).into()
}

/// `net.SplitHostPort`: `host:port`, `[v6]:port`.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        let plain = |s: &str| !s.contains(['[', ']']);
        return (plain(host) && plain(port) && !port.contains(':')).then_some((host, port));
    }
    let (host, port) = address.rsplit_once(':')?;
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_host_port(address).unwrap_or((address, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return address.to_owned();
    }
    let host = host.split('.').next().unwrap_or("");
    match port {
        "" => host.to_owned(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}
