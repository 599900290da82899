//! From nodes back to YAML, in the layout that the peers print.

use std::fmt::Write as _;

use crate::node::{Entry, Node, Value};
use crate::scalar;

/// Writes a node as a YAML document: block style, two spaces of indentation, lists at the level of their
/// key, quotes only where a reader would take a text for something else.
pub fn emit(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => mapping(&mut out, entries, 0, false),
        Value::Sequence(items) if !items.is_empty() => sequence(&mut out, items, 0),
        _ => {
            inline(&mut out, node, 0);
            out.push('\n');
        }
    }
    out
}

/// Writes keys at `indent`; `after_dash` says that the first one follows a `- ` on the same line.
fn mapping(out: &mut String, entries: &[Entry], indent: usize, after_dash: bool) {
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 || !after_dash {
            spaces(out, indent);
        }
        string(out, &entry.key, None);
        out.push(':');
        match &entry.value.value {
            Value::Mapping(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, indent + 2, false);
            }
            Value::Sequence(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent);
            }
            _ => {
                out.push(' ');
                inline(out, &entry.value, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Node], indent: usize) {
    for item in items {
        spaces(out, indent);
        out.push_str("- ");
        match &item.value {
            Value::Mapping(inner) if !inner.is_empty() => mapping(out, inner, indent + 2, true),
            Value::Sequence(inner) if !inner.is_empty() => nested_sequence(out, inner, indent + 2),
            _ => {
                inline(out, item, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// A list in a list: its first dash stays on the line of the outer one.
fn nested_sequence(out: &mut String, items: &[Node], indent: usize) {
    let mut text = String::new();
    sequence(&mut text, items, indent);
    out.push_str(text.get(indent..).unwrap_or(""));
}

fn inline(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Scalar { text, plain: true } => out.push_str(text),
        Value::Scalar { text, plain: false } => string(out, text, Some(indent)),
        Value::Sequence(_) => out.push_str("[]"),
        Value::Mapping(_) => out.push_str("{}"),
    }
}

/// Writes a text: plain, single-quoted, double-quoted, or (when `block` gives an indentation and the text
/// has several lines) as a literal block.
fn string(out: &mut String, text: &str, block: Option<usize>) {
    let printable = text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{feff}'));
    let space_at_line_end = text.contains(" \n") || text.ends_with(' ');
    if text.contains('\n') {
        match block {
            Some(indent) if printable && !space_at_line_end && !text.trim().is_empty() => {
                literal(out, text, indent);
            }
            _ => double_quoted(out, text),
        }
    } else if !printable || scalar::is_ambiguous(text) {
        double_quoted(out, text);
    } else if is_plain_safe(text) {
        out.push_str(text);
    } else {
        let _ = write!(out, "'{}'", text.replace('\'', "''"));
    }
}

/// Whether a one-line text can stand without quotes in block style.
fn is_plain_safe(text: &str) -> bool {
    const INDICATORS: &str = "#,[]{}&*!|>'\"%@`";
    let mut chars = text.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else { return false };
    let alone = matches!(first, '-' | '?' | ':') && second.is_none_or(|c| c == ' ');
    !INDICATORS.contains(first)
        && !alone
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            spaces(out, indent);
            out.push_str(line);
        }
    }
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c if (c.is_control() || c == '\u{feff}') && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02X}", c as u32);
            }
            c if c.is_control() || c == '\u{feff}' => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}
