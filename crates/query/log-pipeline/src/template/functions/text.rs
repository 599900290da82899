//! Functions on text. Some count bytes and others characters, as the peer's do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novaobs_template::{Function, Functions, Param, Value, escape};

use super::{MAX_TEXT, int, texts};

pub(super) fn add(all: &mut Functions) {
    add_cases(all);
    add_trims(all);
    add_searches(all);
    add_cuts(all);
    add_codes(all);
}

/// A function of texts alone.
fn set<const N: usize>(all: &mut Functions, name: &str, call: fn([&str; N]) -> Value) {
    all.set(name, Function::new(&[Param::String; N], move |args| Ok(call(texts(args)))));
}

fn add_cases(all: &mut Functions) {
    for name in ["ToLower", "lower"] {
        set(all, name, |[text]| text.chars().map(lower).collect::<String>().into());
    }
    for name in ["ToUpper", "upper"] {
        set(all, name, |[text]| text.chars().map(upper).collect::<String>().into());
    }
    set(all, "title", |[text]| {
        let mut after_word = false;
        let title = |c: char| {
            let begins = !std::mem::replace(&mut after_word, is_word(c));
            if begins { upper(c) } else { c }
        };
        text.chars().map(title).collect::<String>().into()
    });
}

/// One character for one, as Go maps them.
fn lower(c: char) -> char {
    single(c, c.to_lowercase())
}

fn upper(c: char) -> char {
    single(c, c.to_uppercase())
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// What does not end a word.
fn is_word(c: char) -> bool {
    match c {
        c if c.is_ascii() => c.is_ascii_alphanumeric() || c == '_',
        c => !c.is_whitespace(),
    }
}

fn add_trims(all: &mut Functions) {
    for name in ["TrimSpace", "trim"] {
        set(all, name, |[text]| text.trim().into());
    }
    set(all, "Trim", |[text, set]| text.trim_matches(|c| set.contains(c)).into());
    set(all, "TrimLeft", |[text, set]| text.trim_start_matches(|c| set.contains(c)).into());
    set(all, "TrimRight", |[text, set]| text.trim_end_matches(|c| set.contains(c)).into());
    set(all, "TrimPrefix", |[text, prefix]| text.strip_prefix(prefix).unwrap_or(text).into());
    set(all, "TrimSuffix", |[text, suffix]| text.strip_suffix(suffix).unwrap_or(text).into());
    set(all, "trimAll", |[set, text]| text.trim_matches(|c| set.contains(c)).into());
    set(all, "trimPrefix", |[prefix, text]| text.strip_prefix(prefix).unwrap_or(text).into());
    set(all, "trimSuffix", |[suffix, text]| text.strip_suffix(suffix).unwrap_or(text).into());
}

fn add_searches(all: &mut Functions) {
    set(all, "contains", |[part, text]| text.contains(part).into());
    set(all, "hasPrefix", |[prefix, text]| text.starts_with(prefix).into());
    set(all, "hasSuffix", |[suffix, text]| text.ends_with(suffix).into());
    all.set(
        "replace",
        Function::new(&[Param::String; 3], |args| {
            let [old, new, text] = texts(args);
            replaced(text, old, new, -1)
        }),
    );
    all.set(
        "Replace",
        Function::new(&[Param::String, Param::String, Param::String, Param::Int], |args| {
            let [text, old, new] = texts(args);
            replaced(text, old, new, int(args, 3))
        }),
    );
}

/// The first `count` (negative: all) places of `old` replaced; an empty one stands between all characters.
fn replaced(text: &str, old: &str, new: &str, count: i64) -> Result<Value, String> {
    let places = text.matches(old).count().min(usize::try_from(count).unwrap_or(usize::MAX));
    fits(places, new.len())?;
    Ok(text.replacen(old, new, places).into())
}

fn fits(count: usize, length: usize) -> Result<(), String> {
    let fits = count.checked_mul(length).is_some_and(|bytes| bytes <= MAX_TEXT);
    if fits { Ok(()) } else { Err("template makes too much text".to_owned()) }
}

/// `count` times `text`.
fn repeated(text: &str, count: i64) -> Result<String, String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_owned())?;
    fits(count, text.len())?;
    Ok(text.repeat(count))
}

/// A function of a number and a text.
fn set_counted(all: &mut Functions, name: &str, call: fn(i64, &str) -> Result<Value, String>) {
    all.set(
        name,
        Function::new(&[Param::Int, Param::String], move |args| {
            call(int(args, 0), args.get(1).and_then(Value::as_str).unwrap_or(""))
        }),
    );
}

fn add_cuts(all: &mut Functions) {
    set_counted(all, "repeat", |count, text| repeated(text, count).map(Value::from));
    set_counted(all, "indent", |count, text| indented("", count, text));
    set_counted(all, "nindent", |count, text| indented("\n", count, text));
    set_counted(all, "trunc", |count, text| {
        let length = text.len() as i64;
        Ok(match count {
            count if count < 0 && length.saturating_add(count) > 0 => bytes(text, length + count, length),
            count if count >= 0 && length > count => bytes(text, 0, count),
            _ => text.into(),
        })
    });
    set_counted(all, "alignLeft", |count, text| aligned(count, text, |text, pad| text + &pad, |_| 0));
    set_counted(all, "alignRight", |count, text| aligned(count, text, |text, pad| pad + &text, |over| over));
    all.set(
        "substr",
        Function::new(&[Param::Int, Param::Int, Param::String], |args| {
            let (start, end) = (int(args, 0), int(args, 1));
            substr(start, end, args.get(2).and_then(Value::as_str).unwrap_or(""))
        }),
    );
}

fn indented(before: &str, count: i64, text: &str) -> Result<Value, String> {
    let pad = repeated(" ", count)?;
    fits(text.matches('\n').count() + 1, pad.len())?;
    Ok(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}"))).into())
}

/// Bytes of a text; a character cut through is shown as one that is none.
fn bytes(text: &str, start: i64, end: i64) -> Value {
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    String::from_utf8_lossy(text.as_bytes().get(range).unwrap_or(&[])).into_owned().into()
}

/// Go's slicing, with its errors: a negative start means the beginning, a negative or too large end the end.
fn substr(start: i64, end: i64, text: &str) -> Result<Value, String> {
    let length = text.len() as i64;
    let out_of_range = |what: String| Err(format!("runtime error: slice bounds out of range {what}"));
    if start < 0 {
        return match end {
            end if end < 0 => out_of_range(format!("[:{end}]")),
            end if end > length => out_of_range(format!("[:{end}] with length {length}")),
            end => Ok(bytes(text, 0, end)),
        };
    }
    let end = if end < 0 || end > length { length } else { end };
    if start > end {
        return out_of_range(format!("[{start}:{end}]"));
    }
    Ok(bytes(text, start, end))
}

/// The text in `count` characters: padded, or cut from where `first` says.
fn aligned(
    count: i64,
    text: &str,
    padded: fn(String, String) -> String,
    first: fn(usize) -> usize,
) -> Result<Value, String> {
    let length = text.chars().count();
    let Ok(count) = usize::try_from(count) else { return Ok(text.into()) };
    if count >= length {
        let pad = repeated(" ", (count - length) as i64)?;
        return Ok(padded(text.to_owned(), pad).into());
    }
    Ok(text.chars().skip(first(length - count)).take(count).collect::<String>().into())
}

fn add_codes(all: &mut Functions) {
    set(all, "b64enc", |[text]| STANDARD.encode(text).into());
    set(all, "b64dec", |[text]| match base64_decoded(text.as_bytes()) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
        // The function gives its error as a text.
        Err(at) => format!("illegal base64 data at input byte {at}").into(),
    });
    set(all, "urlencode", |[text]| escape::query(text).into());
    all.set("urldecode", Function::of_string(url_decoded));
}

/// Decodes padded base64, line breaks anywhere; an error is the byte Go says it is at.
fn base64_decoded(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut bytes = text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    loop {
        let (mut group, mut count, mut start) = (0u32, 0, text.len());
        while count < 4 {
            let Some((at, byte)) = bytes.next() else {
                return if count == 0 { Ok(out) } else { Err(start) };
            };
            start = start.min(at);
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if count >= 2 => {
                    let closed = count == 3 || bytes.next().ok_or(text.len())?.1 == b'=';
                    if !closed {
                        return Err(at);
                    }
                    let [_, first, second, _] = (group << (6 * (4 - count))).to_be_bytes();
                    out.push(first);
                    out.extend((count == 3).then_some(second));
                    return bytes.next().map_or(Ok(out), |(at, _)| Err(at));
                }
                _ => return Err(at),
            };
            group = group << 6 | u32::from(digit);
            count += 1;
        }
        let [_, three @ ..] = group.to_be_bytes();
        out.extend(three);
    }
}

fn url_decoded(text: &str) -> Result<Value, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let shown = String::from_utf8_lossy(after.get(..2).unwrap_or(after));
                    let quoted = novaobs_model::labels::go_quote(&format!("%{shown}"));
                    return Err(format!("invalid URL escape {quoted}"));
                };
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or(&[]);
            }
            byte => out.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned().into())
}
