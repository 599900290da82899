//! The two JSON forms of a push, read in one pass.
//!
//! The peer checks the form of a whole stream before it looks at what it says. So a value that is out of
//! place only becomes an error once the stream's end was reached.

use std::borrow::Cow;

use super::reader::{Reader, Skipped, shown, unescape};
use super::{Collector, DecodeError, NO_TIME, PushStream};
use crate::quote::quote;

// What the peer's parser says of a value that is not of the kind it should be.
const NOT_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const NOT_STRING: &str = "Value is string, but can't find closing '\"' symbol";
const NOT_NUMBER: &str = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
const NOT_JSON: &str = "Malformed JSON error";
const NOT_ARRAY: &str = "Unknown value type";

/// Decodes `{"streams":[{"stream":{..},"values":[["<ns>","<line>",{..}?]]}]}` into at most `limit` bytes of
/// memory. Names of the outer object count in any case; a repeated field replaces the one before.
///
/// # Errors
/// [`DecodeError::Json`] and [`DecodeError::TooLarge`].
pub fn decode_json(body: &[u8], limit: usize) -> Result<Vec<PushStream>, DecodeError> {
    decode(body, limit, "loghttp.PushRequest", "[]loghttp.LogProtoStream", read_stream)
}

/// Decodes the form of `/api/prom/push`,
/// `{"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"<RFC 3339>","line":".."}]}]}`, into at most `limit`
/// bytes of memory.
///
/// # Errors
/// [`DecodeError::Json`] and [`DecodeError::TooLarge`].
pub fn decode_legacy_json(body: &[u8], limit: usize) -> Result<Vec<PushStream>, DecodeError> {
    decode(body, limit, "push.PushRequest", "[]push.Stream", read_legacy_stream)
}

/// Reads the object around the streams. `request` and `list` are the names of the peer's types, which its
/// errors begin with.
fn decode(
    body: &[u8],
    limit: usize,
    request: &str,
    list: &str,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<PushStream, String>,
) -> Result<Vec<PushStream>, DecodeError> {
    let text = String::from_utf8_lossy(body);
    if text.is_empty() {
        return Err(DecodeError::Json("EOF".to_owned()));
    }
    let mut reader = Reader::new(&text, limit);
    let mut collector = Collector::new(limit);
    let mut too_large = None;
    let outcome = structure(&mut reader, request, |reader, name| {
        if !name.eq_ignore_ascii_case("streams") {
            return reader.skip().map(drop);
        }
        collector = Collector::new(limit);
        slice(reader, list, |reader| {
            if let Err(error) = collector.add(read(reader)?) {
                too_large = Some(error);
                return Err(String::new());
            }
            Ok(())
        })
        .map_err(|error| format!("Streams: {error}"))
    });
    if reader.over_limit {
        return Err(DecodeError::TooLarge { limit });
    }
    if let Some(error) = too_large {
        return Err(error);
    }
    outcome.map_err(DecodeError::Json)?;
    Ok(collector.streams)
}

/// Reads an object as the peer reads one into a struct of this name.
fn structure<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    mut field: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), String>,
) -> Result<(), String> {
    match reader.token() {
        b'{' => {}
        b'n' => return reader.null(),
        other => {
            let message = format!("expect {{ or n, but found {}", shown(other));
            return Err(reader.error("readObjectStart", &message));
        }
    }
    if reader.peek() == b'}' {
        reader.at += 1;
        return Ok(());
    }
    let mut fields = || loop {
        let quote = reader.token();
        if quote != b'"' {
            return Err(reader.error("readFieldHash", &format!("expect \", but found {}", shown(quote))));
        }
        reader.back(quote);
        let key = reader.string()?;
        let colon = reader.token();
        if colon != b':' {
            return Err(reader.error("readFieldHash", &format!("expect :, but found {}", shown(colon))));
        }
        field(reader, key)?;
        match reader.token() {
            b',' => {}
            b'}' => return Ok(()),
            other => {
                let message = format!("object ended prematurely, unexpected char {}", shown(other));
                return Err(reader.error("isObjectEnd", &message));
            }
        }
    };
    fields().map_err(|error| format!("{name}.{error}"))
}

/// Reads an array as the peer reads one into a slice of this type.
fn slice<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    mut element: impl FnMut(&mut Reader<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut elements = || {
        match reader.token() {
            b'[' => {}
            b'n' => return reader.null(),
            other => {
                let message = format!("expect [ or n, but found {}", shown(other));
                return Err(reader.error("decode slice", &message));
            }
        }
        if reader.peek() == b']' {
            reader.at += 1;
            return Ok(());
        }
        loop {
            element(reader)?;
            match reader.token() {
                b',' => {}
                b']' => return Ok(()),
                other => {
                    return Err(
                        reader.error("decode slice", &format!("expect ], but found {}", shown(other)))
                    );
                }
            }
        }
    };
    elements().map_err(|error| format!("{name}: {error}"))
}

/// Reads one stream; what is out of place is kept until its end was seen.
fn read_stream(reader: &mut Reader<'_>) -> Result<PushStream, String> {
    let mut stream = PushStream::default();
    let mut wrong = None;
    if reader.peek() != b'{' {
        reader.skip()?;
        wrong = Some(NOT_OBJECT);
    } else {
        reader.object(|reader, name| match &*name {
            "stream" => read_labels(reader, &mut stream, &mut wrong),
            "values" => read_values(reader, &mut stream, &mut wrong),
            _ => reader.skip().map(drop),
        })?;
    }
    match wrong {
        Some(problem) => Err(reader.error("unmarshalerDecoder", problem)),
        None => Ok(stream),
    }
}

type Wrong = Option<&'static str>;

/// Reads the object of labels and writes it as a selector's text, sorted, of a repeated name the last.
fn read_labels(reader: &mut Reader<'_>, stream: &mut PushStream, wrong: &mut Wrong) -> Result<(), String> {
    if reader.peek() != b'{' {
        reader.skip()?;
        wrong.get_or_insert(NOT_OBJECT);
        return Ok(());
    }
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    reader.object(|reader, name| {
        reader.peek();
        let start = reader.at;
        let value = match reader.skip()? {
            Skipped::Text(raw) if raw.escaped => {
                let mut text = String::new();
                if !unescape(reader.slice(raw.range), &mut text) {
                    wrong.get_or_insert(NOT_NUMBER);
                }
                Cow::Owned(text)
            }
            Skipped::Text(raw) => Cow::Borrowed(reader.slice(raw.range)),
            // Numbers, words and even arrays count as the text they are written with.
            _ => Cow::Borrowed(reader.slice(start..reader.at)),
        };
        pairs.push((name, value));
        Ok(())
    })?;
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    stream.labels.clear();
    stream.labels.push('{');
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs.get(at + 1).is_some_and(|next| next.0 == *name) {
            continue;
        }
        if stream.labels.len() > 1 {
            stream.labels.push_str(", ");
        }
        stream.labels.push_str(name);
        stream.labels.push('=');
        stream.labels.push_str(&quote(value.as_bytes()));
    }
    stream.labels.push('}');
    Ok(())
}

fn read_values(reader: &mut Reader<'_>, stream: &mut PushStream, wrong: &mut Wrong) -> Result<(), String> {
    match reader.peek() {
        b'[' => {}
        b'n' => return reader.skip().map(drop),
        other => {
            reader.skip()?;
            wrong.get_or_insert(if other == b'{' { NOT_ARRAY } else { NOT_JSON });
            return Ok(());
        }
    }
    stream.clear_entries();
    reader.array(|reader| match reader.peek() {
        b'[' => read_entry(reader, stream, wrong),
        b'n' => reader.skip().map(drop),
        other => {
            reader.skip()?;
            wrong.get_or_insert(if other == b'{' { NOT_ARRAY } else { NOT_JSON });
            Ok(())
        }
    })
}

/// Reads `["<ns>","<line>",{..}?]`; what comes after is ignored, what is missing is empty. As in the peer, an
/// element that cannot be used leaves its place to the next, and of several problems the last is told.
fn read_entry(reader: &mut Reader<'_>, stream: &mut PushStream, wrong: &mut Wrong) -> Result<(), String> {
    reader.check_memory(stream)?;
    let (mut place, mut timestamp) = (0, NO_TIME);
    let mut problem = None;
    reader.array(|reader| {
        let outcome = match place {
            0 => match reader.skip()? {
                Skipped::Text(raw) => {
                    parse_integer(reader.slice(raw.range)).map(|ns| timestamp = ns).ok_or(NOT_NUMBER)
                }
                _ => Err(NOT_STRING),
            },
            1 => match reader.skip()? {
                Skipped::Text(raw) if raw.escaped => {
                    let mut good = true;
                    stream.lines.push_with(|out| good = unescape(reader.slice(raw.range), out));
                    if good { Ok(()) } else { Err(NOT_NUMBER) }
                }
                Skipped::Text(raw) => {
                    stream.lines.push(reader.slice(raw.range));
                    Ok(())
                }
                _ => Err(NOT_STRING),
            },
            2 if reader.peek() == b'{' => read_metadata(reader, stream)?.map_or(Ok(()), Err),
            2 => reader.skip().map(|_| Err(NOT_OBJECT))?,
            _ => reader.skip().map(|_| Ok(()))?,
        };
        match outcome {
            Ok(()) => place += 1,
            Err(told) => problem = Some(told),
        }
        Ok(())
    })?;
    *wrong = wrong.or(problem);
    if place < 2 {
        stream.lines.push("");
    }
    stream.timestamps.push(timestamp);
    stream.metadata.end_row();
    Ok(())
}

/// Reads an object of strings as the row's metadata; gives what is wrong with it.
fn read_metadata(reader: &mut Reader<'_>, stream: &mut PushStream) -> Result<Wrong, String> {
    let (mut scratch, mut wrong) = (String::new(), None);
    reader.object(|reader, name| {
        match reader.skip()? {
            Skipped::Text(raw) => {
                let mut value = reader.slice(raw.range);
                if raw.escaped {
                    scratch.clear();
                    if !unescape(value, &mut scratch) {
                        wrong.get_or_insert(NOT_NUMBER);
                    }
                    value = &scratch;
                }
                stream.metadata.pair(&name, value);
            }
            _ => drop(wrong.get_or_insert(NOT_STRING)),
        }
        Ok(())
    })?;
    Ok(wrong)
}

/// Decimal digits, a minus in front allowed and nothing else.
fn parse_integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// Reads one stream of the legacy form. There the peer goes on behind a field it cannot use, and names in
/// its error each known field that follows.
fn read_legacy_stream(reader: &mut Reader<'_>) -> Result<PushStream, String> {
    let mut stream = PushStream::default();
    structure(reader, "push.Stream", |reader, name| {
        if name.eq_ignore_ascii_case("labels") {
            let labels = reader.string().map_err(|error| format!("Labels: {error}"))?;
            stream.labels = labels.into_owned();
            return Ok(());
        }
        if !name.eq_ignore_ascii_case("entries") {
            return reader.skip().map(drop);
        }
        stream.clear_entries();
        slice(reader, "[]push.Entry", |reader| read_legacy_entry(reader, &mut stream))
            .map_err(|error| format!("Entries: {error}"))
    })?;
    Ok(stream)
}

fn read_legacy_entry(reader: &mut Reader<'_>, stream: &mut PushStream) -> Result<(), String> {
    reader.check_memory(stream)?;
    let (mut timestamp, mut line) = (NO_TIME, Cow::Borrowed(""));
    let mut pairs = Vec::new();
    let mut bad: Option<String> = None;
    let outcome = structure(reader, "push.Entry", |reader, name| {
        let known =
            ["ts", "line", "structuredMetadata"].into_iter().position(|k| name.eq_ignore_ascii_case(k));
        match known {
            Some(0) => match read_time(reader)? {
                Ok(ns) => timestamp = ns,
                Err(error) => bad = bad.take().or(Some(error)),
            },
            Some(1) => line = reader.string().map_err(|error| format!("Line: {error}"))?,
            Some(_) => match read_legacy_metadata(reader)? {
                Ok(read) => pairs = read,
                Err(error) => bad = bad.take().or(Some(error)),
            },
            None => {
                reader.skip()?;
            }
        }
        let field = known.and_then(|at| ["Timestamp", "Line", "StructuredMetadata"].get(at));
        if let (Some(error), Some(field)) = (&mut bad, field) {
            *error = format!("{field}: {error}");
        }
        Ok(())
    });
    if let Some(error) = bad {
        return Err(format!("push.Entry.{error}"));
    }
    outcome?;
    stream.timestamps.push(timestamp);
    stream.lines.push(&line);
    stream.metadata.push(pairs.iter().map(|(name, value)| (&**name, &**value)));
    Ok(())
}

/// Reads a time. An error of form ends the reading; the inner one, of a value that is no time, does not.
fn read_time(reader: &mut Reader<'_>) -> Result<Result<i64, String>, String> {
    let skipped = reader.skip().map_err(|error| format!("Timestamp: {error}"))?;
    let problem = match skipped {
        Skipped::Null => return Ok(Ok(NO_TIME)),
        Skipped::Text(raw) => match parse_time(reader.slice(raw.range)) {
            Ok(ns) => return Ok(Ok(ns)),
            Err(problem) => problem,
        },
        _ => "Time.UnmarshalJSON: input is not a JSON string".to_owned(),
    };
    Ok(Err(reader.error("unmarshalerDecoder", &problem)))
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads an object of strings. An error of form ends the reading; the inner one, of meaning, does not.
fn read_legacy_metadata<'a>(reader: &mut Reader<'a>) -> Result<Result<Pairs<'a>, String>, String> {
    let mut pairs = Vec::new();
    let mut wrong = None;
    let kind = |found: u8| match found {
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        b'{' => "object",
        _ => "number",
    };
    match reader.peek() {
        b'{' => reader.object(|reader, name| {
            match reader.peek() {
                b'"' | b'n' => pairs.push((name, reader.string()?)),
                other => {
                    reader.skip()?;
                    wrong.get_or_insert(format!("{} into Go value of type string", kind(other)));
                }
            }
            Ok(())
        })?,
        b'n' => {
            reader.skip()?;
        }
        other => {
            reader.skip()?;
            wrong = Some(format!("{} into Go value of type map[string]string", kind(other)));
        }
    }
    Ok(match wrong {
        None => Ok(pairs),
        Some(problem) => {
            Err(reader.error("unmarshalerDecoder", &format!("json: cannot unmarshal {problem}")))
        }
    })
}

/// `2006-01-02T15:04:05.999999999Z07:00` in Unix nanoseconds; the error is Go's.
fn parse_time(text: &str) -> Result<i64, String> {
    let mut rest = text;
    let quoted = quote(text.as_bytes());
    let cannot = |rest: &str, wanted: &str| {
        let rest = quote(rest.as_bytes());
        format!("parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {rest} as \"{wanted}\"")
    };
    let out_of_range = |what: &str| format!("parsing time {quoted}: {what} out of range");
    let digits = |rest: &mut &str, count: usize, wanted: &str| -> Result<i64, String> {
        let taken = rest.get(..count).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let taken = taken.ok_or_else(|| cannot(rest, wanted))?;
        *rest = rest.get(count..).unwrap_or("");
        taken.parse().map_err(|_| cannot(rest, wanted))
    };
    let mark = |rest: &mut &str, mark: char| -> Result<(), String> {
        *rest = rest.strip_prefix(mark).ok_or_else(|| cannot(rest, mark.encode_utf8(&mut [0; 4])))?;
        Ok(())
    };
    let year = digits(&mut rest, 4, "2006")?;
    mark(&mut rest, '-')?;
    let month = digits(&mut rest, 2, "01")?;
    if !(1..=12).contains(&month) {
        return Err(out_of_range("month"));
    }
    mark(&mut rest, '-')?;
    let day = digits(&mut rest, 2, "02")?;
    mark(&mut rest, 'T')?;
    let hour = digits(&mut rest, 2, "15")?;
    if hour > 23 {
        return Err(out_of_range("hour"));
    }
    mark(&mut rest, ':')?;
    let minute = digits(&mut rest, 2, "04")?;
    if minute > 59 {
        return Err(out_of_range("minute"));
    }
    mark(&mut rest, ':')?;
    let second = digits(&mut rest, 2, "05")?;
    if second > 59 {
        return Err(out_of_range("second"));
    }
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 {
            let (taken, after) = fraction.split_at(length);
            nanos = format!("{:0<9}", taken.get(..9).unwrap_or(taken)).parse().unwrap_or(0);
            rest = after;
        }
    }
    let offset = match rest.as_bytes().first() {
        Some(b'Z') => {
            rest = rest.get(1..).unwrap_or("");
            0
        }
        Some(sign @ (b'+' | b'-')) => {
            let whole = rest;
            let mut zone = rest.get(1..).unwrap_or("");
            let mut read = || -> Result<i64, String> {
                let hours = digits(&mut zone, 2, "Z07:00")?;
                mark(&mut zone, ':')?;
                Ok(hours * 3600 + digits(&mut zone, 2, "Z07:00")? * 60)
            };
            let seconds = read().map_err(|_| cannot(whole, "Z07:00"))?;
            rest = zone;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return Err(cannot(rest, "Z07:00")),
    };
    if !rest.is_empty() {
        let rest = quote(rest.as_bytes());
        return Err(format!("parsing time {quoted}: extra text: {rest}"));
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=longest).contains(&day) {
        return Err(out_of_range("day"));
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Days from 1970-01-01 in the Gregorian calendar: years are counted from March, so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
