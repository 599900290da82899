//! The values templates work on, with the types Go gives them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::function::Function;
use crate::time::Time;

/// A value inside a template.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value: printed as `<no value>` by an action and as `<nil>` by `printf`.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    String(Arc<str>),
    /// A slice.
    List(List),
    /// A map with string keys, ordered as Go prints and ranges over it.
    Map(Map),
    /// `time.Time`
    Time(Time),
    /// `time.Duration`, in nanoseconds.
    Duration(i64),
    /// Something with fields or methods.
    Object(Arc<dyn Object>),
}

/// A slice: its items and its Go type.
#[derive(Clone, Debug)]
pub struct List {
    /// The items.
    pub items: Arc<[Value]>,
    /// Such as `[]string`.
    pub type_name: &'static str,
}

/// A map: its entries and what a missing key is.
#[derive(Clone, Debug)]
pub struct Map {
    /// The entries.
    pub entries: Arc<BTreeMap<String, Value>>,
    /// `map[string]string` gives `""` for a missing key, `map[string]interface {}` gives nil.
    pub of_strings: bool,
}

/// A struct, or a map or slice type with methods.
pub trait Object: fmt::Debug + Send + Sync {
    /// The Go type in error texts, such as `template.KV`.
    fn type_name(&self) -> &'static str;

    /// The field of that name.
    fn field(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// The method of that name, bound to this value.
    fn method(&self, name: &str) -> Option<Function> {
        let _ = name;
        None
    }

    /// The map or slice this type is made of; `Nil` for structs.
    fn plain(&self) -> Value {
        Value::Nil
    }

    /// What the type's `String` method gives, if it has one.
    fn text(&self) -> Option<String> {
        None
    }

    /// A struct's fields in order as (key in JSON, value); used to print and to encode it.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

impl Value {
    /// A `[]string`.
    pub fn strings<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Value {
        let items = items.into_iter().map(|text| Value::from(text.as_ref())).collect();
        Value::List(List { items, type_name: "[]string" })
    }

    /// A `[]interface {}`.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(List { items: items.into_iter().collect(), type_name: "[]interface {}" })
    }

    /// A `map[string]string`.
    pub fn string_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
        let entries = pairs.into_iter().map(|(k, v)| (k.to_owned(), Value::from(v))).collect();
        Value::Map(Map { entries: Arc::new(entries), of_strings: true })
    }

    /// A `map[string]interface {}`.
    pub fn map(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
        Value::Map(Map { entries: Arc::new(pairs.into_iter().collect()), of_strings: false })
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Value {
        Value::Object(Arc::new(object))
    }

    /// The Go type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::List(list) => list.type_name,
            Value::Map(map) if map.of_strings => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Object(object) => object.type_name(),
        }
    }

    /// The map or slice behind an object, the value itself otherwise.
    pub fn plain(&self) -> Value {
        match self {
            Value::Object(object) => match object.plain() {
                Value::Nil => self.clone(),
                plain => plain,
            },
            other => other.clone(),
        }
    }

    /// Whether `if` takes the value as true: not the zero of its type, structs always.
    pub fn truth(&self) -> bool {
        match self.plain() {
            Value::Nil => false,
            Value::Bool(b) => b,
            Value::Int(i) | Value::Duration(i) => i != 0,
            Value::Float(f) => f != 0.0,
            Value::String(s) => !s.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Time(_) | Value::Object(_) => true,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(Arc::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(Arc::from(text))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Value::Float(f)
    }
}
