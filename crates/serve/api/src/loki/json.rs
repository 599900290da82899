//! JSON as the peer writes it: HTML-safe strings, times in seconds, values as strings.

use std::fmt::Write;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use novaobs_model::Labels;

/// Content type of answers.
pub(super) const JSON: &str = "application/json; charset=UTF-8";

/// An answer with this body.
pub(super) fn answer(body: String) -> Response {
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// Appends formatted text.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = out.write_fmt(text);
}

/// Appends a string; `<`, `>`, `&` and the line separators of JavaScript are escaped, as Go does. The peer
/// writes lines, metrics and rules so, and other labels by [`push_bare_string`].
pub(super) fn push_string(out: &mut String, text: &str) {
    escape(out, text, |c| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'));
}

/// Appends a string with only the escapes that JSON needs.
pub(super) fn push_bare_string(out: &mut String, text: &str) {
    escape(out, text, |_| false);
}

fn escape(out: &mut String, text: &str, also: impl Fn(char) -> bool) {
    out.push('"');
    let mut done = 0;
    for (at, c) in text.char_indices() {
        if !matches!(c, '"' | '\\' | '\u{0}'..='\u{1f}') && !also(c) {
            continue;
        }
        out.push_str(text.get(done..at).unwrap_or_default());
        done = at + c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => push(out, format_args!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out.push('"');
}

/// Appends the labels of a stream as an object.
pub(super) fn push_labels(out: &mut String, labels: &Labels) {
    push_object(out, labels, push_bare_string);
}

/// Appends the labels of a metric, rule or alert as an object.
pub(super) fn push_metric(out: &mut String, labels: &Labels) {
    push_object(out, labels, push_string);
}

fn push_object(out: &mut String, labels: &Labels, string: fn(&mut String, &str)) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

/// Appends texts as a list.
pub(super) fn push_list<'a>(out: &mut String, items: impl IntoIterator<Item = &'a str>) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_bare_string(out, item);
    }
    out.push(']');
}

/// Appends a time in seconds with as many decimals of its milliseconds as are needed.
pub(super) fn push_seconds(out: &mut String, nanoseconds: i64) {
    let milliseconds = nanoseconds.div_euclid(1_000_000);
    if milliseconds < 0 {
        out.push('-');
    }
    let size = milliseconds.unsigned_abs();
    push(out, format_args!("{}", size / 1000));
    if !size.is_multiple_of(1000) {
        push(out, format_args!(".{:03}", size % 1000));
        out.truncate(out.trim_end_matches('0').len());
    }
}

/// Appends `[time,"value"]`; values never have an exponent.
pub(super) fn push_point(out: &mut String, nanoseconds: i64, value: f64) {
    out.push('[');
    push_seconds(out, nanoseconds);
    out.push_str(",\"");
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push(out, format_args!("{value}"));
    }
    out.push_str("\"]");
}

/// `{"status":"success","data":[…]}` with a line end; without `data` when there is nothing.
pub(super) fn list_answer(items: &[String]) -> Response {
    let mut out = "{\"status\":\"success\"".to_owned();
    if !items.is_empty() {
        out.push_str(",\"data\":");
        push_list(&mut out, items.iter().map(String::as_str));
    }
    out.push_str("}\n");
    answer(out)
}

/// A label set as the peer prints it in texts, `{a="b", c="d"}`; answers are sorted by it.
pub(super) fn label_text(labels: &Labels) -> String {
    let mut out = "{".to_owned();
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        push(&mut out, format_args!("{name}={}", novaobs_model::labels::go_quote(value)));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = String::new();
        push_string(&mut out, "a<b>&\"\\\n\r\t\u{8}\u{1f}\u{7f}é\u{2028}z");
        push_bare_string(&mut out, "<\u{1}\u{2028}");
        assert_eq!(out.split_off(out.len() - "\"<\\u0001\u{2028}\"".len()), "\"<\\u0001\u{2028}\"");
        assert_eq!(out, "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\r\\t\\u0008\\u001f\u{7f}é\\u2028z\"");
    }

    #[test]
    fn times_and_values_are_written_as_the_peer_writes_them() {
        let f = |time: i64, value: f64, want: &str| {
            let mut out = String::new();
            push_point(&mut out, time, value);
            assert_eq!(out, want);
        };
        f(1_795_380_562_120_000_000, 1e21, "[1795380562.12,\"1000000000000000000000\"]");
        f(1_795_380_562_123_456_789, 1e-9, "[1795380562.123,\"0.000000001\"]");
        f(0, -0.0, "[0,\"-0\"]");
        f(-1_500_000_000, f64::NEG_INFINITY, "[-1.5,\"-Inf\"]");
        f(10_000_000_000, f64::NAN, "[10,\"NaN\"]");
    }

    #[test]
    fn label_sets_in_texts_are_quoted() {
        let labels = Labels::from_pairs([("b", "x\"y"), ("a", "1")]);
        assert_eq!(label_text(&labels), "{a=\"1\", b=\"x\\\"y\"}");
    }
}
