//! What both function sets have: regular expressions, title case, numbers from anything, durations.

use regex::Regex;

use crate::fmt::format_float;
use crate::function::{Function, Functions, Param, text};
use crate::value::Value;
use novaobs_model::labels::go_quote;

/// Bytes a compiled expression may take.
const REGEX_SIZE: usize = 1 << 20;

/// Adds the functions of the same meaning in both sets.
pub(super) fn add(functions: &mut Functions) {
    functions.set("toUpper", Function::of_string(|text| Ok(text.to_uppercase().into())));
    functions.set("toLower", Function::of_string(|text| Ok(text.to_lowercase().into())));
    functions.set("safeHtml", Function::of_string(|text| Ok(text.into())));
    functions.set(
        "match",
        Function::new(&[Param::String, Param::String], |args| {
            Ok(regex(text(args, 0))?.is_match(text(args, 1)).into())
        }),
    );
    functions.set(
        "reReplaceAll",
        Function::new(&[Param::String, Param::String, Param::String], |args| {
            let expression = regex(text(args, 0))
                .map_err(|error| format!("regexp: Compile({}): {error}", backquoted(text(args, 0))))?;
            Ok(expression.replace_all(text(args, 2), text(args, 1)).into_owned().into())
        }),
    );
    functions.set("humanizeDuration", Function::new(&[Param::Any], |args| humanize_duration(float(args)?)));
}

fn backquoted(text: &str) -> String {
    if text.contains('`') { go_quote(text) } else { format!("`{text}`") }
}

/// An expression that may match anywhere, as `regexp.MatchString` searches.
fn regex(source: &str) -> Result<Regex, String> {
    // Go's syntax is checked, and its error text made, by the shared translation; dot does not match a
    // newline here.
    novaobs_model::GoRegex::new(source).map_err(|error| error.to_string())?;
    regex::RegexBuilder::new(source).size_limit(REGEX_SIZE).build().map_err(|error| {
        format!("error parsing regexp: {}", error.to_string().lines().last().unwrap_or("invalid"))
    })
}

/// Every word's first letter in upper case; the others as they are, or in lower case if `lower_rest`.
pub(super) fn title(text: &str, lower_rest: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside_word = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let part_of_word = c.is_alphanumeric() || c == '_';
        // An apostrophe, point or colon between letters does not end a word.
        let joins = inside_word
            && matches!(c, '\'' | '’' | '.' | ':' | '·')
            && chars.peek().is_some_and(|next| next.is_alphabetic());
        if !part_of_word {
            out.push(c);
            inside_word = joins;
        } else if inside_word {
            if lower_rest { out.extend(c.to_lowercase()) } else { out.push(c) }
        } else {
            out.extend(c.to_uppercase());
            inside_word = true;
        }
    }
    out
}

/// The first argument as a number: numbers, texts of numbers, durations in seconds.
pub(super) fn float(args: &[Value]) -> Result<f64, String> {
    match args.first() {
        Some(Value::Float(f)) => Ok(*f),
        Some(Value::Int(n)) => Ok(*n as f64),
        Some(Value::Duration(nanos)) => Ok(*nanos as f64 / 1e9),
        Some(Value::String(text)) => parse_float(text),
        other => Err(format!("can't convert {} to float", other.map_or("<nil>", Value::type_name))),
    }
}

/// `strconv.ParseFloat`.
fn parse_float(text: &str) -> Result<f64, String> {
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", go_quote(text));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    if let Some(hex) = unsigned.strip_prefix("0x") {
        let magnitude = u64::from_str_radix(hex, 16).map_err(|_| invalid())? as f64;
        return Ok(if text.starts_with('-') { -magnitude } else { magnitude });
    }
    let value: f64 = text.parse().map_err(|_| invalid())?;
    if value.is_infinite() && !unsigned.starts_with("inf") {
        return Err(format!("strconv.ParseFloat: parsing {}: value out of range", go_quote(text)));
    }
    Ok(value)
}

/// `%.4g`.
pub(super) fn four_digits(v: f64) -> String {
    format_float(v, 'g', Some(4))
}

/// Prefixes of the thousandth parts.
pub(super) const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Scales a number below 1 up to a prefix.
pub(super) fn scale_small(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for p in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = p;
        v *= 1000.0;
    }
    (v, prefix)
}

fn humanize_duration(v: f64) -> Result<Value, String> {
    if !v.is_finite() {
        return Ok(four_digits(v).into());
    }
    if v == 0.0 {
        return Ok(format!("{}s", four_digits(v)).into());
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scale_small(v);
        return Ok(format!("{}{prefix}s", four_digits(v)).into());
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    let whole = v as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86400);
    let text = if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four_digits(v))
    };
    Ok(text.into())
}
