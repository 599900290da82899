//! The functions every template has: `and`, `eq`, `index`, `printf`, ….

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::escape;
use crate::fmt::{print_action, sprint, sprintf, sprintln};
use crate::function::{Function, Param, text};
use crate::value::{List, Value};

/// A built-in function; `and` and `or` do not evaluate all their arguments.
#[derive(Clone)]
pub(crate) enum Builtin {
    And,
    Or,
    Function(Function),
}

static ALL: LazyLock<HashMap<&'static str, Builtin>> = LazyLock::new(|| {
    use Param::{Any, String};
    let any = |call: fn(&[Value]) -> Result<Value, std::string::String>| {
        Builtin::Function(Function::variadic(&[Any], call))
    };
    let at_least_one = |call: fn(&[Value]) -> Result<Value, std::string::String>| {
        Builtin::Function(Function::variadic(&[Any, Any], call))
    };
    let two = |call: fn(&Value, &Value) -> Result<bool, std::string::String>| {
        Builtin::Function(Function::new(&[Any, Any], move |args| match args {
            [a, b] => call(a, b).map(Value::Bool),
            _ => Ok(Value::Nil),
        }))
    };
    HashMap::from([
        ("and", Builtin::And),
        ("or", Builtin::Or),
        ("call", at_least_one(call)),
        ("html", any(|args| Ok(escape::html(&joined(args)).into()))),
        ("index", at_least_one(index)),
        ("slice", at_least_one(slice)),
        ("js", any(|args| Ok(escape::js(&joined(args)).into()))),
        ("len", Builtin::Function(Function::new(&[Any], |args| length(&first(args))))),
        ("not", Builtin::Function(Function::new(&[Any], |args| Ok((!first(args).truth()).into())))),
        ("print", any(|args| Ok(sprint(args).into()))),
        (
            "printf",
            Builtin::Function(Function::variadic(&[String, Any], |args| {
                Ok(sprintf(text(args, 0), args.get(1..).unwrap_or(&[])).into())
            })),
        ),
        ("println", any(|args| Ok(sprintln(args).into()))),
        ("urlquery", any(|args| Ok(escape::query(&joined(args)).into()))),
        ("eq", at_least_one(equal_to_any)),
        ("ne", two(|a, b| Ok(!equal(a, b)?))),
        ("lt", two(less)),
        ("le", two(|a, b| Ok(less(a, b)? || equal(a, b)?))),
        ("gt", two(|a, b| Ok(!(less(a, b)? || equal(a, b)?)))),
        ("ge", two(|a, b| Ok(!less(a, b)?))),
    ])
});

/// The built-in function of that name.
pub(crate) fn get(name: &str) -> Option<Builtin> {
    ALL.get(name).cloned()
}

fn first(args: &[Value]) -> Value {
    args.first().cloned().unwrap_or_default()
}

/// The arguments as one text, as `print` would give them.
fn joined(args: &[Value]) -> String {
    match args {
        [one] => print_action(one),
        many => sprint(many),
    }
}

fn call(args: &[Value]) -> Result<Value, String> {
    match first(args) {
        Value::Nil => Err("call of nil".to_owned()),
        value => Err(format!("non-function of type {}", value.type_name())),
    }
}

fn index_arg(index: &Value, cap: usize) -> Result<usize, String> {
    let n = match index {
        Value::Int(n) | Value::Duration(n) => *n,
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    usize::try_from(n).ok().filter(|n| *n <= cap).ok_or_else(|| format!("index out of range: {n}"))
}

fn index(args: &[Value]) -> Result<Value, String> {
    let Some((item, indexes)) = args.split_first() else { return Ok(Value::Nil) };
    if let Value::Nil = item {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = item.clone();
    for index in indexes {
        item = match item.plain() {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::List(list) => {
                let at = index_arg(index, list.items.len())?;
                let out_of_range = || "reflect: slice index out of range".to_owned();
                list.items.get(at).cloned().ok_or_else(out_of_range)?
            }
            Value::String(text) => {
                let at = index_arg(index, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Int(i64::from(*byte))
            }
            Value::Map(map) => match index {
                Value::String(key) => match map.entries.get(&**key) {
                    Some(value) => value.clone(),
                    None if map.of_strings => Value::from(""),
                    None => Value::Nil,
                },
                Value::Nil => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let Some((item, indexes)) = args.split_first() else { return Ok(Value::Nil) };
    if let Value::Nil = item {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let plain = item.plain();
    let cap = match &plain {
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        _ => return Err(format!("can't slice item of type {}", item.type_name())),
    };
    let bound =
        |at: usize, default: usize| indexes.get(at).map_or(Ok(default), |index| index_arg(index, cap));
    let (from, to, max) = (bound(0, 0)?, bound(1, cap)?, bound(2, cap)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > max {
        return Err(format!("invalid slice index: {to} > {max}"));
    }
    Ok(match &plain {
        Value::String(text) => {
            let bytes = text.as_bytes().get(from..to).unwrap_or(&[]);
            String::from_utf8_lossy(bytes).into_owned().into()
        }
        Value::List(list) => Value::List(List {
            items: Arc::from(list.items.get(from..to).unwrap_or(&[])),
            type_name: list.type_name,
        }),
        _ => Value::Nil,
    })
}

fn length(item: &Value) -> Result<Value, String> {
    let n = match item.plain() {
        Value::String(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        _ => return Err(format!("len of type {}", item.type_name())),
    };
    Ok(Value::Int(n as i64))
}

const NO_COMPARISON: &str = "missing argument for comparison";
const BAD_COMPARISON: &str = "invalid type for comparison";

fn equal_to_any(args: &[Value]) -> Result<Value, String> {
    let Some((first, others)) = args.split_first() else { return Err(NO_COMPARISON.to_owned()) };
    if others.is_empty() {
        return Err(NO_COMPARISON.to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    use Value::{Bool, Duration, Float, Int, Nil, String, Time};
    match (a, b) {
        (Bool(a), Bool(b)) => Ok(a == b),
        (Int(a) | Duration(a), Int(b) | Duration(b)) => Ok(a == b),
        (Float(a), Float(b)) => Ok(a == b),
        (String(a), String(b)) => Ok(a == b),
        (Time(a), Time(b)) => Ok(a == b),
        (Nil, Nil) => Ok(true),
        (Nil, _) | (_, Nil) => Ok(false),
        (a, b) if basic(a) || basic(b) => Err(incompatible(a, b)),
        (a, b) => {
            let shown = |value: &Value| crate::fmt::display(value);
            if std::mem::discriminant(&a.plain()) == std::mem::discriminant(&b.plain()) {
                return Err(format!("non-comparable type {}: {}", shown(b), b.type_name()));
            }
            let (left, right) = (shown(a), shown(b));
            Err(format!("non-comparable types {left}: {}, {}: {right}", a.type_name(), b.type_name()))
        }
    }
}

fn basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Duration(_) | Value::Float(_) | Value::String(_))
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    use Value::{Bool, Duration, Float, Int, String};
    match (a, b) {
        (a, b) if !basic(a) || !basic(b) => Err(BAD_COMPARISON.to_owned()),
        (Int(a) | Duration(a), Int(b) | Duration(b)) => Ok(a < b),
        (Float(a), Float(b)) => Ok(a < b),
        (String(a), String(b)) => Ok(a < b),
        (Bool(_), Bool(_)) => Err(BAD_COMPARISON.to_owned()),
        (a, b) => Err(incompatible(a, b)),
    }
}
