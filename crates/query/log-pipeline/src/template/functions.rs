//! Functions of LogQL templates, by what they are about.

mod math;
mod text;
mod times;

use std::cell::RefCell;
use std::collections::HashMap;

use novaobs_template::{Function, Functions, Param, Value};
use regex::{NoExpand, Regex};

use crate::convert;
use crate::template::TemplateRow;

thread_local! {
    /// The line and time of the row being rendered, for functions without arguments.
    static ROW: RefCell<(String, i64)> = const { RefCell::new((String::new(), 0)) };
    /// Expressions that templates of this thread used; they mostly use the same one for every row.
    static EXPRESSIONS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Expressions a thread keeps.
const MAX_EXPRESSIONS: usize = 64;
/// Bytes a function may make of little.
const MAX_TEXT: usize = 16 << 20;

/// Runs `render` with `__line__` and `__timestamp__` of this row.
pub(crate) fn with_row<T>(row: &TemplateRow<'_>, render: impl FnOnce() -> T) -> T {
    ROW.with_borrow_mut(|current| {
        row.line.clone_into(&mut current.0);
        current.1 = row.timestamp;
    });
    render()
}

/// All of them.
pub(crate) fn all() -> Functions {
    let mut all = Functions::new();
    let line = |_: &[Value]| Ok(ROW.with_borrow(|row| Value::from(row.0.as_str())));
    let timestamp = |_: &[Value]| Ok(Value::Time(times::of_nanos(ROW.with_borrow(|row| row.1))));
    all.set("__line__", Function::new(&[], line));
    all.set("__timestamp__", Function::new(&[], timestamp));
    text::add(&mut all);
    math::add(&mut all);
    times::add(&mut all);
    add_conversions(&mut all);
    add_expressions(&mut all);
    all
}

fn add_conversions(all: &mut Functions) {
    let seconds = |text: &str| Ok(Value::Float(convert::seconds(convert::duration(text)?)));
    all.set("bytes", Function::of_string(|text| Ok(Value::Float(convert::bytes(text)? as f64))));
    all.set("duration", Function::of_string(seconds));
    all.set("duration_seconds", Function::of_string(seconds));
    all.set("fromJson", Function::of_string(|text| Ok(from_json(text))));
    all.set(
        "default",
        Function::variadic(&[Param::Any, Param::Any], |args| {
            let given = args.get(1).filter(|given| !is_empty(given));
            Ok(given.or(args.first()).cloned().unwrap_or_default())
        }),
    );
}

/// What `default` takes for missing: zero, nothing, the empty text.
fn is_empty(value: &Value) -> bool {
    !matches!(value, Value::Time(_)) && !value.truth()
}

/// A JSON text as values of a template; nothing when it is none.
fn from_json(text: &str) -> Value {
    fn convert(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(b) => Value::Bool(b),
            serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
            serde_json::Value::String(text) => text.into(),
            serde_json::Value::Array(items) => Value::list(items.into_iter().map(convert)),
            serde_json::Value::Object(pairs) => {
                Value::map(pairs.into_iter().map(|(key, value)| (key, convert(value))))
            }
        }
    }
    serde_json::from_str(text).map_or(Value::Nil, convert)
}

fn add_expressions(all: &mut Functions) {
    const TEXTS: [Param; 3] = [Param::String; 3];
    all.set(
        "regexReplaceAll",
        Function::new(&TEXTS, |args| {
            let [regex, text, with] = texts(args);
            with_expression(regex, |regex| Value::from(&*regex.replace_all(text, with)))
        }),
    );
    all.set(
        "regexReplaceAllLiteral",
        Function::new(&TEXTS, |args| {
            let [regex, text, with] = texts(args);
            with_expression(regex, |regex| Value::from(&*regex.replace_all(text, NoExpand(with))))
        }),
    );
    all.set(
        "count",
        Function::new(&[Param::String; 2], |args| {
            let [regex, text] = texts(args);
            with_expression(regex, |regex| Value::Int(regex.find_iter(text).count() as i64))
        }),
    );
}

/// Runs `use_it` with a compiled expression.
fn with_expression(source: &str, use_it: impl FnOnce(&Regex) -> Value) -> Result<Value, String> {
    EXPRESSIONS.with_borrow_mut(|known| {
        if !known.contains_key(source) {
            let regex = novaobs_model::regex::search(source).map_err(|error| error.to_string())?;
            if known.len() >= MAX_EXPRESSIONS {
                known.clear();
            }
            known.insert(source.to_owned(), regex);
        }
        known.get(source).map(use_it).ok_or_else(String::new)
    })
}

/// The arguments as texts.
fn texts<const N: usize>(args: &[Value]) -> [&str; N] {
    std::array::from_fn(|i| args.get(i).and_then(Value::as_str).unwrap_or(""))
}

/// The integer argument at `at`.
fn int(args: &[Value], at: usize) -> i64 {
    match args.get(at) {
        Some(Value::Int(n)) => *n,
        _ => 0,
    }
}
