//! `AnyValue` and attributes: views into a message, and the text they stand for.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::DecodeError;
use crate::protobuf::Fields;

/// How deep values may be nested.
const MAX_DEPTH: usize = 64;

/// A value of any type, not yet looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyValue<'a> {
    message: &'a [u8],
}

/// A value of any type.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the cases of AnyValue")]
pub enum Any<'a> {
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Array<'a>),
    Map(Attributes<'a>),
    Bytes(&'a [u8]),
}

/// A list of values.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    message: &'a [u8],
}

/// Names with values: the repeated field of this number in a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    message: &'a [u8],
    field: u64,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a [u8], field: u64) -> Self {
        Attributes { message, field }
    }

    /// Calls `visit` with each name and value, in order.
    ///
    /// # Errors
    /// [`DecodeError`] or what `visit` returns.
    pub fn each<E: From<DecodeError>>(
        &self,
        mut visit: impl FnMut(Cow<'a, str>, AnyValue<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        super::each(self.message, self.field, &mut |pair| {
            let (name, value) = read_pair(pair)?;
            visit(String::from_utf8_lossy(name), value)
        })
    }
}

fn read_pair(message: &[u8]) -> Result<(&[u8], AnyValue<'_>), DecodeError> {
    let (mut name, mut value) = (&[][..], AnyValue::default());
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.bytes()?,
            2 => value = AnyValue::new(field.bytes()?),
            _ => {}
        }
    }
    Ok((name, value))
}

impl<'a> AnyValue<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        AnyValue { message }
    }

    /// What it is; of several the last.
    ///
    /// # Errors
    /// [`DecodeError::Protobuf`].
    pub fn get(&self) -> Result<Any<'a>, DecodeError> {
        let mut any = Any::Empty;
        let mut fields = Fields::new(self.message);
        while let Some((number, value)) = fields.next()? {
            any = match number {
                1 => Any::Text(value.bytes()?),
                2 => Any::Bool(value.integer()? != 0),
                3 => Any::Int(value.signed()?),
                4 => Any::Double(value.double()?),
                5 => Any::Array(Array { message: value.bytes()? }),
                6 => Any::Map(Attributes::new(value.bytes()?, 1)),
                7 => Any::Bytes(value.bytes()?),
                _ => any,
            };
        }
        Ok(any)
    }

    /// Appends the text it stands for: strings as they are, bytes in base64, lists and maps as JSON with
    /// their names sorted.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn write_text(&self, out: &mut String) -> Result<(), DecodeError> {
        match self.get()? {
            Any::Empty => {}
            Any::Text(text) => out.push_str(&String::from_utf8_lossy(text)),
            Any::Bytes(bytes) => STANDARD.encode_string(bytes, out),
            Any::Double(value) if value.is_nan() => out.push_str("NaN"),
            Any::Double(value) if value.is_infinite() => {
                out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
            }
            _ => self.write_json(out, 0)?,
        }
        Ok(())
    }

    fn write_json(&self, out: &mut String, depth: usize) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth(MAX_DEPTH));
        }
        match self.get()? {
            Any::Empty => out.push_str("null"),
            Any::Text(text) => push_json_string(out, &String::from_utf8_lossy(text)),
            Any::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Any::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Any::Double(value) => push_double(out, value),
            Any::Bytes(bytes) => {
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Any::Array(array) => {
                out.push('[');
                let start = out.len();
                super::each(array.message, 1, &mut |value| {
                    if out.len() > start {
                        out.push(',');
                    }
                    AnyValue::new(value).write_json(out, depth + 1)
                })?;
                out.push(']');
            }
            Any::Map(map) => {
                let mut pairs = Vec::new();
                map.each(|name, value| {
                    pairs.push((name, value));
                    Ok::<_, DecodeError>(())
                })?;
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                // Of a repeated name the last counts.
                out.push('{');
                let start = out.len();
                for (at, (name, value)) in pairs.iter().enumerate() {
                    if pairs.get(at + 1).is_some_and(|next| next.0 == *name) {
                        continue;
                    }
                    if out.len() > start {
                        out.push(',');
                    }
                    push_json_string(out, name);
                    out.push(':');
                    value.write_json(out, depth + 1)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// Gives `out` the name and value of everything in it that is no map; names of maps are joined to those
    /// within by `_`. What is joined can be as long as the square of the message: `out` is to count.
    ///
    /// # Errors
    /// [`DecodeError`], or what `out` returns; then nothing more is joined.
    pub fn flatten<F: Flatten>(&self, name: &str, out: &mut F) -> Result<(), F::Error> {
        self.flatten_at(name, out, 0)
    }

    fn flatten_at<F: Flatten>(&self, name: &str, out: &mut F, depth: usize) -> Result<(), F::Error> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth(MAX_DEPTH).into());
        }
        let name = out.name(name)?;
        let Any::Map(map) = self.get()? else { return out.pair(&name, self) };
        map.each(|key, value| value.flatten_at(&format!("{name}_{key}"), out, depth + 1))
    }
}

/// What [`AnyValue::flatten`] calls.
pub trait Flatten {
    /// What a call may fail with.
    type Error: From<DecodeError>;

    /// What a name is called here: that of each value and each map, joined from those around it, which this
    /// was called for before.
    ///
    /// # Errors
    /// Its own, which ends the walk.
    fn name<'n>(&mut self, joined: &'n str) -> Result<Cow<'n, str>, Self::Error>;

    /// Takes a value that is no map.
    ///
    /// # Errors
    /// Its own, which ends the walk.
    fn pair(&mut self, name: &str, value: &AnyValue<'_>) -> Result<(), Self::Error>;
}

/// A number as encoding/json writes it: plain digits, or an exponent outside 1e-6..1e21.
fn push_double(out: &mut String, value: f64) {
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        let _ = write!(out, "{value}");
        return;
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            let _ = write!(out, "{digits}e+{exponent}");
        }
        _ => out.push_str(&text),
    }
}

/// A string as encoding/json writes it without care for HTML.
fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
