//! Readers for the values that configs are made of. Each reports its own error and answers `None` then.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_model::{GoRegex, Labels, duration as durations};
use url::Url;

use crate::node::Value;
use crate::read::{Cursor, nearest};
use crate::{Secret, scalar, size};

/// A text. Numbers and booleans without quotes are taken as they are written, nothing is the empty text.
pub fn string(at: &Cursor<'_>) -> Option<String> {
    text(at).map(str::to_owned)
}

fn text<'a>(at: &Cursor<'a>) -> Option<&'a str> {
    match &at.node().value {
        Value::Scalar { text, .. } => Some(text),
        Value::Null => Some(""),
        _ => at.error(format!("expected a text, found {}", at.node().kind())),
    }
}

/// A text that must not be shown.
pub fn secret(at: &Cursor<'_>) -> Option<Secret> {
    string(at).map(Secret::new)
}

/// `true`/`false`, `yes`/`no`, `on`/`off`, without quotes.
pub fn boolean(at: &Cursor<'_>) -> Option<bool> {
    match &at.node().value {
        Value::Scalar { text, plain: true } => match scalar::boolean(text) {
            Some(value) => Some(value),
            None => at.error(format!("expected true or false, found {text:?}")),
        },
        _ => at.error(format!("expected true or false, found {}", at.node().kind())),
    }
}

fn whole(at: &Cursor<'_>, range: std::ops::RangeInclusive<i128>) -> Option<i128> {
    let number = match &at.node().value {
        Value::Scalar { text, plain: true } => scalar::integer(text),
        _ => None,
    };
    match number {
        Some(value) if range.contains(&value) => Some(value),
        Some(value) if value < 0 && *range.start() == 0 => {
            at.error(format!("expected a number of at least 0, found {value}"))
        }
        Some(value) => at.error(format!("the number {value} is out of range")),
        None => at.error(format!("expected a whole number, found {}", at.node().kind())),
    }
}

/// A whole number of at least zero.
pub fn u64(at: &Cursor<'_>) -> Option<u64> {
    whole(at, 0..=u64::MAX.into()).and_then(|v| v.try_into().ok())
}

/// A whole number of at least zero that fits the machine.
pub fn usize(at: &Cursor<'_>) -> Option<usize> {
    whole(at, 0..=i64::MAX.into()).and_then(|v| v.try_into().ok())
}

/// A port or the like.
pub fn u16(at: &Cursor<'_>) -> Option<u16> {
    whole(at, 0..=u16::MAX.into()).and_then(|v| v.try_into().ok())
}

/// A whole number.
pub fn i64(at: &Cursor<'_>) -> Option<i64> {
    whole(at, i64::MIN.into()..=i64::MAX.into()).and_then(|v| v.try_into().ok())
}

/// A number.
pub fn f64(at: &Cursor<'_>) -> Option<f64> {
    let number = match &at.node().value {
        Value::Scalar { text, plain: true } => {
            scalar::float(text).or_else(|| scalar::integer(text).map(|v| v as f64))
        }
        _ => None,
    };
    number.or_else(|| at.error(format!("expected a number, found {}", at.node().kind())))
}

/// A duration such as `1m30s`, quoted or not.
pub fn duration(at: &Cursor<'_>) -> Option<Duration> {
    let text = text(at)?;
    match durations::parse(text) {
        Ok(value) => Some(value),
        Err(error) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            at.error(format!("{error}: write it with a unit, such as {text}s"))
        }
        Err(error @ durations::DurationError::OutOfRange) => at.error(error.to_string()),
        Err(error) => {
            at.error(format!("{error}: write numbers with units, largest first, such as 1h30m or 15s"))
        }
    }
}

/// A size such as `512MB`.
pub fn size(at: &Cursor<'_>) -> Option<size::Bytes> {
    size::parse(text(at)?).map_or_else(|error| at.error(error.to_string()), Some)
}

/// A regular expression in Go's syntax, anchored at both ends.
pub fn regex(at: &Cursor<'_>) -> Option<GoRegex> {
    GoRegex::new(text(at)?).map_or_else(|error| at.error(error.to_string()), Some)
}

/// An absolute URL with a host.
pub fn url(at: &Cursor<'_>) -> Option<Url> {
    let text = text(at)?;
    match Url::parse(text) {
        Ok(url) if url.has_host() => Some(url),
        Ok(_) => at.error(format!("the URL {text:?} has no host: write it as http://host:port/path")),
        Err(error) => {
            at.error(format!("not a valid URL: {text:?}: {error}: write it as http://host:port/path"))
        }
    }
}

/// A path of a file; a relative one starts at the folder of the config file, an empty one stays empty.
pub fn path(at: &Cursor<'_>) -> Option<PathBuf> {
    let text = text(at)?;
    Some(if text.is_empty() { PathBuf::new() } else { at.base_dir().join(text) })
}

/// A set of labels. Names may be any non-empty UTF-8 text.
pub fn labels(at: &Cursor<'_>) -> Option<Labels> {
    let mut pairs = Vec::new();
    for (name, value) in at.entries()? {
        if name.is_empty() {
            value.error::<()>("\"\" is not a valid label name");
        }
        pairs.push((name, text(&value).unwrap_or("")));
    }
    Some(Labels::from_pairs(pairs))
}

/// A list of `read`.
pub fn list<'a, T>(read: impl Fn(&Cursor<'a>) -> Option<T>) -> impl Fn(&Cursor<'a>) -> Option<Vec<T>> {
    move |at| Some(at.items()?.iter().filter_map(&read).collect())
}

/// A mapping with free keys to values of `read`, in the order of the file.
pub fn map<'a, T>(
    read: impl Fn(&Cursor<'a>) -> Option<T>,
) -> impl Fn(&Cursor<'a>) -> Option<Vec<(String, T)>> {
    move |at| {
        Some(
            at.entries()?.iter().filter_map(|(key, value)| Some(((*key).to_owned(), read(value)?))).collect(),
        )
    }
}

/// One of a few named values.
///
/// ```
/// # use novaobs_config::{Document, UnknownKeys, value};
/// let document = Document::parse("x.yml", "htpp").unwrap();
/// let scheme = value::one_of(&[("http", 80), ("https", 443)]);
/// let error = document.read(UnknownKeys::Warn, scheme).err().unwrap();
/// assert_eq!(error.to_string(), r#"x.yml:1:1: unknown value "htpp": write one of http, https (did you mean http?)"#);
/// ```
pub fn one_of<T: Clone>(values: &'static [(&'static str, T)]) -> impl Fn(&Cursor<'_>) -> Option<T> {
    move |at| {
        let text = text(at)?;
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == text) {
            return Some(value.clone());
        }
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let hint = nearest(text, &names).map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        at.error(format!("unknown value {text:?}: write one of {}{hint}", names.join(", ")))
    }
}
