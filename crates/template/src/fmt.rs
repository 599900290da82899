//! Go's `fmt`: how values print and what `printf` makes of its verbs.

use std::fmt::Write as _;

use crate::value::Value;
use novaobs_model::labels::go_quote;

/// Widths and precisions beyond this are refused, as Go refuses them.
const MAX_WIDTH: i64 = 1_000_000;

/// `value` as an action prints it.
pub(crate) fn print_action(value: &Value) -> String {
    match value {
        Value::Nil => "<no value>".to_owned(),
        other => display(other),
    }
}

/// `value` as `%v` prints it.
pub fn display(value: &Value) -> String {
    let mut out = String::new();
    write_verb(&mut out, &Spec { verb: 'v', ..Spec::default() }, value);
    out
}

/// `fmt.Sprint`: a space between operands when neither is a string.
pub(crate) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    let mut previous_string = true;
    for (i, arg) in args.iter().enumerate() {
        let string = matches!(arg, Value::String(_));
        if i > 0 && !string && !previous_string {
            out.push(' ');
        }
        out.push_str(&display(arg));
        previous_string = string;
    }
    out
}

/// `fmt.Sprintln`.
pub(crate) fn sprintln(args: &[Value]) -> String {
    let all: Vec<String> = args.iter().map(display).collect();
    format!("{}\n", all.join(" "))
}

/// `%v` of a float without a precision changes to `1e+06` at this power of ten.
const SHORTEST_EXPONENT: i32 = 6;

/// One verb with its flags.
#[derive(Clone, Debug, Default)]
struct Spec {
    verb: char,
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(crate) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars().peekable();
    let mut next = 0usize;
    let mut reordered = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.peek() {
            match flag {
                '+' => spec.plus = true,
                '-' => {
                    spec.minus = true;
                    spec.zero = false;
                }
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = !spec.minus,
                _ => break,
            }
            chars.next();
        }
        let mut good_index = take_index(&mut chars, &mut next, args.len(), &mut reordered);
        if chars.peek() == Some(&'*') {
            chars.next();
            match star(args, &mut next) {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.zero &= !spec.minus;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
        } else {
            spec.width = digits(&mut chars);
        }
        if chars.peek() == Some(&'.') {
            chars.next();
            good_index &= take_index(&mut chars, &mut next, args.len(), &mut reordered);
            if chars.peek() == Some(&'*') {
                chars.next();
                match star(args, &mut next) {
                    Some(precision) => spec.precision = usize::try_from(precision).ok(),
                    None => out.push_str("%!(BADPREC)"),
                }
            } else {
                spec.precision = Some(digits(&mut chars).unwrap_or(0));
            }
        }
        good_index &= take_index(&mut chars, &mut next, args.len(), &mut reordered);
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        spec.verb = verb;
        if verb == '%' {
            out.push('%');
        } else if !good_index {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(arg) = args.get(next) {
            next += 1;
            write_verb(&mut out, &spec, arg);
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
    }
    if !reordered && next < args.len() {
        out.push_str("%!(EXTRA ");
        for (i, arg) in args.iter().skip(next).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            match arg {
                Value::Nil => out.push_str("<nil>"),
                arg => {
                    let _ = write!(out, "{}={}", arg.type_name(), display(arg));
                }
            }
        }
        out.push(')');
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads `[n]`; `false` when it is there and no index of an argument.
fn take_index(chars: &mut Chars<'_>, next: &mut usize, count: usize, reordered: &mut bool) -> bool {
    if chars.peek() != Some(&'[') {
        return true;
    }
    chars.next();
    *reordered = true;
    let number = digits(chars);
    let closed = chars.peek() == Some(&']');
    if closed {
        chars.next();
    }
    match number {
        Some(n) if closed && (1..=count).contains(&n) => {
            *next = n - 1;
            true
        }
        _ => false,
    }
}

fn digits(chars: &mut Chars<'_>) -> Option<usize> {
    let mut number: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
    }
    number.map(|n| n.min(MAX_WIDTH as usize))
}

fn star(args: &[Value], next: &mut usize) -> Option<i64> {
    let arg = args.get(*next);
    *next += usize::from(arg.is_some());
    match arg {
        Some(Value::Int(n)) if n.unsigned_abs() <= MAX_WIDTH as u64 => Some(*n),
        _ => None,
    }
}

fn bad_verb(out: &mut String, verb: char, value: &Value) {
    match value {
        Value::Nil => {
            let _ = write!(out, "%!{verb}(<nil>)");
        }
        value => {
            let _ = write!(out, "%!{verb}({}={})", value.type_name(), display(value));
        }
    }
}

fn write_verb(out: &mut String, spec: &Spec, value: &Value) {
    match spec.verb {
        'T' => return pad(out, spec, value.type_name(), false),
        'p' => return bad_verb(out, 'p', value),
        _ => {}
    }
    let takes_text = matches!(spec.verb, 'v' | 's' | 'x' | 'X' | 'q');
    match value {
        Value::Nil => match spec.verb {
            'v' => pad(out, spec, "<nil>", false),
            verb => bad_verb(out, verb, value),
        },
        Value::Bool(b) => match spec.verb {
            't' | 'v' => pad(out, spec, if *b { "true" } else { "false" }, false),
            verb => bad_verb(out, verb, value),
        },
        Value::Int(n) => int(out, spec, *n, value),
        Value::Float(f) => float(out, spec, *f, value),
        Value::String(text) => string(out, spec, text, value),
        Value::Time(time) if takes_text => string(out, spec, &time.to_string(), value),
        Value::Duration(nanos) if takes_text => {
            string(out, spec, &crate::time::format_duration(*nanos), value)
        }
        Value::Duration(nanos) => int(out, spec, *nanos, value),
        Value::Time(time) => string(out, &Spec { verb: 's', ..spec.clone() }, &time.to_string(), value),
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write_item(out, spec, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (i, (key, item)) in map.entries.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write_verb(out, spec, &Value::from(key.as_str()));
                out.push(':');
                write_item(out, spec, item);
            }
            out.push(']');
        }
        Value::Object(object) => match (object.text(), object.plain()) {
            (Some(text), _) if takes_text => string(out, spec, &text, value),
            (_, Value::Nil) => {
                out.push('{');
                for (i, (_, field)) in object.fields().iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    write_verb(out, spec, field);
                }
                out.push('}');
            }
            (_, plain) => write_verb(out, spec, &plain),
        },
    }
}

/// An element of a slice or map: one without a value prints as `<nil>` under every verb.
fn write_item(out: &mut String, spec: &Spec, item: &Value) {
    match item {
        Value::Nil => out.push_str("<nil>"),
        item => write_verb(out, spec, item),
    }
}

/// Writes `text` padded to the width; zeros go behind a sign.
fn pad(out: &mut String, spec: &Spec, text: &str, number: bool) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        out.push_str(text);
    } else if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if spec.zero {
        let sign = if number { text.find(|c| !matches!(c, '+' | '-' | ' ')).unwrap_or(0).min(1) } else { 0 };
        let (sign, rest) = text.split_at(sign);
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(rest);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn string(out: &mut String, spec: &Spec, text: &str, value: &Value) {
    let cut = match spec.precision {
        Some(n) => text.char_indices().nth(n).map_or(text, |(at, _)| text.get(..at).unwrap_or(text)),
        None => text,
    };
    match spec.verb {
        'v' if spec.sharp => pad(out, spec, &go_quote(text), false),
        'v' | 's' => pad(out, spec, cut, false),
        'q' if spec.sharp && !cut.contains('`') => pad(out, spec, &format!("`{cut}`"), false),
        'q' => pad(out, spec, &go_quote(cut), false),
        'x' | 'X' => {
            let bytes = text.as_bytes();
            let bytes = bytes.get(..spec.precision.unwrap_or(bytes.len())).unwrap_or(bytes);
            let upper = spec.verb == 'X';
            let mut hex = String::with_capacity(bytes.len() * 2);
            for (i, byte) in bytes.iter().enumerate() {
                if spec.space && i > 0 {
                    hex.push(' ');
                }
                if spec.sharp && (i == 0 || spec.space) {
                    hex.push_str(if upper { "0X" } else { "0x" });
                }
                let _ = if upper { write!(hex, "{byte:02X}") } else { write!(hex, "{byte:02x}") };
            }
            pad(out, spec, &hex, false);
        }
        verb => bad_verb(out, verb, value),
    }
}

fn int(out: &mut String, spec: &Spec, n: i64, value: &Value) {
    let magnitude = n.unsigned_abs();
    let (prefix, digits) = match spec.verb {
        'v' | 'd' => ("", magnitude.to_string()),
        'b' => ("0b", format!("{magnitude:b}")),
        'o' => ("0", format!("{magnitude:o}")),
        'O' => ("0o", format!("{magnitude:o}")),
        'x' => ("0x", format!("{magnitude:x}")),
        'X' => ("0X", format!("{magnitude:X}")),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            let text = match spec.verb {
                'c' => c.to_string(),
                'q' if c == '\'' => "'\\''".to_owned(),
                'q' if c == '"' => "'\"'".to_owned(),
                'q' => format!("'{}'", go_quote(&c.to_string()).trim_matches('"')),
                _ if spec.sharp => format!("U+{n:04X} '{c}'"),
                _ => format!("U+{n:04X}"),
            };
            return pad(out, spec, &text, false);
        }
        verb => return bad_verb(out, verb, value),
    };
    let mut text = String::new();
    text.push_str(match (n < 0, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    });
    if spec.sharp || spec.verb == 'O' {
        text.push_str(prefix);
    }
    match spec.precision {
        Some(0) if n == 0 => pad(out, &Spec { zero: false, ..spec.clone() }, "", false),
        Some(precision) => {
            text.extend(std::iter::repeat_n('0', precision.saturating_sub(digits.len())));
            text.push_str(&digits);
            pad(out, &Spec { zero: false, ..spec.clone() }, &text, true);
        }
        None => {
            text.push_str(&digits);
            pad(out, spec, &text, true);
        }
    }
}

fn float(out: &mut String, spec: &Spec, f: f64, value: &Value) {
    let (format, precision) = match spec.verb {
        'v' => ('g', spec.precision),
        'g' | 'G' => (spec.verb, spec.precision),
        'e' | 'E' | 'f' => (spec.verb, Some(spec.precision.unwrap_or(6))),
        'F' => ('f', Some(spec.precision.unwrap_or(6))),
        verb => return bad_verb(out, verb, value),
    };
    let mut text = format_float(f, format, precision);
    let finite = f.is_finite();
    if spec.plus || text.starts_with('+') {
        if !text.starts_with(['+', '-']) {
            text.insert(0, '+');
        }
    } else if spec.space && !text.starts_with('-') {
        text.insert(0, ' ');
    }
    if spec.space && !spec.plus && text.starts_with("+Inf") {
        text.replace_range(..1, " ");
    }
    // Infinities and NaN are not padded with zeros.
    pad(out, &Spec { zero: spec.zero && finite, ..spec.clone() }, &text, true);
}

/// Go's `strconv.FormatFloat(f, format, precision, 64)` for the formats e, E, f, g, G; no precision means
/// as many digits as tell the number from its neighbours.
pub fn format_float(f: f64, format: char, precision: Option<usize>) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = |digits: Option<usize>| match digits {
        Some(digits) => format!("{f:.digits$e}"),
        None => format!("{f:e}"),
    };
    match format {
        'f' => match precision {
            Some(precision) => format!("{f:.precision$}"),
            None => format!("{f}"),
        },
        'e' | 'E' => exponent_form(&scientific(precision), format),
        _ => {
            let text = scientific(precision.map(|p| p.max(1) - 1));
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let mantissa = if mantissa.contains('.') {
                mantissa.trim_end_matches('0').trim_end_matches('.')
            } else {
                mantissa
            };
            let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
            let limit = precision.map_or(SHORTEST_EXPONENT, |p| p.max(1) as i32);
            if exponent < -4 || exponent >= limit {
                let letter = if format == 'G' { 'E' } else { 'e' };
                return exponent_form(&format!("{mantissa}e{exponent}"), letter);
            }
            let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
            match precision {
                // The rounded digits, written out.
                Some(_) => {
                    let rounded: f64 = format!("{mantissa}e{exponent}").parse().unwrap_or(f);
                    format!("{rounded:.decimals$}")
                }
                None => format!("{f:.decimals$}"),
            }
        }
    }
}

/// Rust's `1.5e-7` as Go's `1.5e-07`.
fn exponent_form(text: &str, letter: char) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}{letter}{sign}{digits:0>2}")
}
