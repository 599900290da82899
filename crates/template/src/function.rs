//! Functions and methods that templates can call, with the types of their parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// The type of a parameter. It decides how constants are read and which error a wrong argument gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    /// `string`
    String,
    /// `int` or another integer type
    Int,
    /// `float64`
    Float,
    /// `time.Time`
    Time,
    /// `time.Duration`
    Duration,
    /// `[]string`, or a type made of it
    Strings,
    /// `[]interface {}`
    List,
    /// A type of the host, by its Go name: lists and objects of that name.
    Named(&'static str),
}

impl Param {
    /// The Go type.
    pub fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::Time => "time.Time",
            Param::Duration => "time.Duration",
            Param::Strings => "[]string",
            Param::List => "[]interface {}",
            Param::Named(name) => name,
        }
    }

    /// Whether `nil` is a value of the type.
    pub fn takes_nil(self) -> bool {
        match self {
            Param::Any | Param::Strings | Param::List => true,
            Param::Named(name) => name.starts_with(['*', '[']) || name.ends_with("queryResult"),
            _ => false,
        }
    }

    /// Whether `value` can be passed as it is.
    pub fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Param::Any, _)
            | (Param::String, Value::String(_))
            | (Param::Int, Value::Int(_))
            | (Param::Float, Value::Float(_))
            | (Param::Time, Value::Time(_))
            | (Param::Duration, Value::Duration(_)) => true,
            (Param::Strings, _) => match value.plain() {
                Value::List(list) => list.type_name == "[]string",
                _ => false,
            },
            (Param::List, Value::List(list)) => list.type_name == "[]interface {}",
            (Param::Named(name), _) => value.type_name() == name,
            _ => false,
        }
    }
}

type Call = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// A function: its parameters and what it does. An error is the text after `error calling name: `.
#[derive(Clone)]
pub struct Function {
    pub(crate) params: Arc<[Param]>,
    pub(crate) variadic: bool,
    pub(crate) call: Arc<Call>,
}

impl Function {
    /// A function of fixed parameters; `call` gets exactly one argument of each parameter's type (nil
    /// where the type takes it).
    pub fn new(
        params: &[Param],
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Function { params: Arc::from(params), variadic: false, call: Arc::new(call) }
    }

    /// A function whose last parameter may come any number of times.
    pub fn variadic(
        params: &[Param],
        call: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Function { params: Arc::from(params), variadic: true, call: Arc::new(call) }
    }

    /// A function or method without parameters that gives this value.
    pub fn constant(value: Value) -> Self {
        Function::new(&[], move |_| Ok(value.clone()))
    }

    /// A function from text to a value.
    pub fn of_string(call: impl Fn(&str) -> Result<Value, String> + Send + Sync + 'static) -> Self {
        Function::new(&[Param::String], move |args| call(text(args, 0)))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("params", &self.params).field("variadic", &self.variadic).finish()
    }
}

/// The string argument at `at`; empty when it is none.
pub(crate) fn text(args: &[Value], at: usize) -> &str {
    args.get(at).and_then(Value::as_str).unwrap_or("")
}

/// Functions by name, beside the built-in ones.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    by_name: BTreeMap<String, Function>,
}

impl Functions {
    /// None but the built-in functions.
    pub fn new() -> Self {
        Functions::default()
    }

    /// Adds or replaces a function.
    pub fn set(&mut self, name: &str, function: Function) {
        self.by_name.insert(name.to_owned(), function);
    }

    /// The function of that name.
    pub fn get(&self, name: &str) -> Option<&Function> {
        self.by_name.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
