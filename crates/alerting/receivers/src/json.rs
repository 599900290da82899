//! JSON as Go's encoder writes it, field by field in a fixed order, and values out of YAML texts.

use std::collections::BTreeMap;

use novaobs_config::{Document, Node, Value as Yaml};
use novaobs_template::{RenderError, Value, json};

/// Writes one JSON object. Go's `omitempty` is [`JsonObject::nonempty`].
#[derive(Debug, Default)]
pub(crate) struct JsonObject {
    out: String,
}

impl JsonObject {
    pub(crate) fn new() -> JsonObject {
        JsonObject::default()
    }

    /// A text, even an empty one.
    pub(crate) fn text(self, key: &str, text: &str) -> JsonObject {
        let mut quoted = String::new();
        json::string(&mut quoted, text);
        self.raw(key, &quoted)
    }

    /// A text unless it is empty.
    pub(crate) fn nonempty(self, key: &str, text: &str) -> JsonObject {
        if text.is_empty() { self } else { self.text(key, text) }
    }

    /// Something that is JSON already.
    pub(crate) fn raw(mut self, key: &str, json: &str) -> JsonObject {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        json::string(&mut self.out, key);
        self.out.push(':');
        self.out.push_str(json);
        self
    }

    /// A list of objects unless there are none.
    pub(crate) fn list(self, key: &str, items: &[String]) -> JsonObject {
        if items.is_empty() { self } else { self.raw(key, &array(items)) }
    }

    /// The object.
    pub(crate) fn end(self) -> String {
        if self.out.is_empty() { "{}".to_owned() } else { self.out + "}" }
    }
}

/// A list of values that are JSON already.
pub(crate) fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// A value of a config (`details`, `payload`) with its texts and keys rendered. A rendered text that is YAML
/// of anything but a text becomes that: `42` a number, `{"a": 1}` an object, nothing null.
///
/// # Errors
/// The first text that does not render.
pub(crate) fn rendered(
    node: &Node,
    render: &impl Fn(&str) -> Result<String, RenderError>,
) -> Result<Value, RenderError> {
    Ok(match &node.value {
        Yaml::Scalar { text, plain } => match scalar(text, *plain) {
            Value::String(_) => from_text(render(text)?),
            number => number,
        },
        Yaml::Null => Value::Nil,
        Yaml::Sequence(items) => {
            list(items.iter().map(|item| rendered(item, render)).collect::<Result<_, _>>()?)
        }
        Yaml::Mapping(entries) => {
            let pairs = entries
                .iter()
                .map(|entry| Ok::<_, RenderError>((render(&entry.key)?, rendered(&entry.value, render)?)));
            map(pairs.collect::<Result<_, _>>()?)
        }
    })
}

/// What a rendered text stands for.
fn from_text(text: String) -> Value {
    match Document::parse("", &text).map(|document| plain(document.root())) {
        Ok(Value::String(_)) | Err(_) => Value::from(text.as_str()),
        Ok(value) => value,
    }
}

fn plain(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Nil,
        Yaml::Scalar { text, plain } => scalar(text, *plain),
        Yaml::Sequence(items) => list(items.iter().map(plain).collect()),
        Yaml::Mapping(entries) => map(entries.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
    }
}

fn list(items: Vec<Value>) -> Value {
    Value::List(novaobs_template::List { items: items.into(), type_name: "[]interface {}" })
}

fn map(entries: BTreeMap<String, Value>) -> Value {
    Value::Map(novaobs_template::Map { entries: entries.into(), of_strings: false })
}

/// A YAML 1.1 scalar as Go's reader types it.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let compact = text.replace('_', "");
    let (sign, digits) = match compact.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, compact.strip_prefix('+').unwrap_or(&compact)),
    };
    let radix = match digits.as_bytes() {
        [b'0', b'x', ..] => Some((16, 2)),
        [b'0', b'b', ..] => Some((2, 2)),
        [b'0', b'o', ..] => Some((8, 2)),
        [b'0', b'0'..=b'7', ..] => Some((8, 1)),
        [b'0'..=b'9', ..] => Some((10, 0)),
        _ => None,
    };
    let whole = radix.and_then(|(radix, skip)| i64::from_str_radix(digits.get(skip..)?, radix).ok());
    if let Some(whole) = whole {
        return Value::Int(sign * whole);
    }
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    match compact.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::Float(number),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_rendered_texts_as_yaml() {
        let f = |text: &str, want: &str| {
            assert_eq!(json::encode(&from_text(text.to_owned())).unwrap(), want, "{text}");
        };
        f("plain text", r#""plain text""#);
        f("42", "42");
        f("-1.5", "-1.5");
        f("0x1f", "31");
        f("true", "true");
        f("", "null");
        f("q: z", r#"{"q":"z"}"#);
        f(r#"{"a": [1,2,{"b": "x"}]}"#, r#"{"a":[1,2,{"b":"x"}]}"#);
        f("\"42\"", r#""\"42\"""#);
        f("{{", r#""{{""#);
        f("2026-11-22", r#""2026-11-22""#);
        f("a: b: c", r#""a: b: c""#);
        f("[FIRING:1] X", r#""[FIRING:1] X""#);
    }

    #[test]
    fn writes_objects_in_order() {
        let object =
            JsonObject::new().text("b", "").nonempty("a", "").nonempty("c", "<&>").raw("d", "1").end();
        assert_eq!(object, r#"{"b":"","c":"\u003c\u0026\u003e","d":1}"#);
        assert_eq!(JsonObject::new().end(), "{}");
    }
}
