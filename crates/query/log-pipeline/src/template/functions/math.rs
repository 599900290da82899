//! Functions on numbers. They take anything: texts are read as numbers, what is none counts as 0.

use novaobs_template::{Function, Functions, Param, Value};

use super::int as int_argument;
use crate::convert;

pub(super) fn add(all: &mut Functions) {
    add_ints(all);
    add_floats(all);
    add_decimals(all);
}

const ONE: [Param; 1] = [Param::Any];
const TWO: [Param; 2] = [Param::Any, Param::Any];

fn add_ints(all: &mut Functions) {
    all.set("int", Function::new(&ONE, |args| Ok(Value::Int(int(args.first())))));
    all.set("add", Function::variadic(&ONE, |args| Ok(Value::Int(ints(args).fold(0, i64::wrapping_add)))));
    let mut fold = |name: &str, step: fn(i64, i64) -> i64| {
        let call = move |args: &[Value]| Ok(Value::Int(ints(args).reduce(step).unwrap_or(0)));
        all.set(name, Function::variadic(&TWO, call));
    };
    fold("mul", i64::wrapping_mul);
    fold("max", i64::max);
    fold("min", i64::min);
    let mut two = |name: &str, call: fn(i64, i64) -> Option<i64>| {
        let call = move |args: &[Value]| {
            let result = call(int(args.first()), int(args.get(1)));
            result.map(Value::Int).ok_or_else(|| "runtime error: integer divide by zero".to_owned())
        };
        all.set(name, Function::new(&TWO, call));
    };
    two("sub", |a, b| Some(a.wrapping_sub(b)));
    two("div", |a, b| (b != 0).then(|| a.wrapping_div(b)));
    two("mod", |a, b| (b != 0).then(|| a.wrapping_rem(b)));
}

fn add_floats(all: &mut Functions) {
    let mut one = |name: &str, call: fn(f64) -> f64| {
        all.set(name, Function::new(&ONE, move |args| Ok(Value::Float(call(float(args.first()))))));
    };
    one("float64", |f| f);
    one("ceil", f64::ceil);
    one("floor", f64::floor);
    let mut fold = |name: &str, step: fn(f64, f64) -> f64| {
        let call = move |args: &[Value]| {
            Ok(Value::Float(args.iter().map(|arg| float(Some(arg))).reduce(step).unwrap_or(0.0)))
        };
        all.set(name, Function::variadic(&TWO, call));
    };
    // A NaN wins, as in Go.
    fold("maxf", |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) });
    fold("minf", |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) });
    all.set(
        "round",
        Function::variadic(&[Param::Any, Param::Int, Param::Float], |args| {
            let up_from = match args.get(2) {
                Some(Value::Float(up_from)) => *up_from,
                _ => 0.5,
            };
            let power = 10f64.powi(i32::try_from(int_argument(args, 1)).unwrap_or(0));
            let scaled = float(args.first()) * power;
            let rounded = if scaled.fract() >= up_from { scaled.ceil() } else { scaled.floor() };
            Ok(Value::Float(rounded / power))
        }),
    );
}

/// Functions that reckon in decimals, so that 0.1 and 0.2 are 0.3.
fn add_decimals(all: &mut Functions) {
    let mut fold = |name: &str, params: &[Param], from: Option<f64>, step: Step| {
        let call = move |args: &[Value]| {
            let mut numbers = args.iter().map(|arg| float(Some(arg)));
            let first = from.or_else(|| numbers.next()).unwrap_or(0.0);
            let mut sum = Decimal::new(first)?;
            for number in numbers {
                sum = step(sum, Decimal::new(number)?)?;
            }
            Ok(Value::Float(sum.to_float()))
        };
        all.set(name, Function::variadic(params, call));
    };
    fold("addf", &ONE, Some(0.0), |a, b| Ok(a.plus(b, 1)));
    fold("subf", &TWO, None, |a, b| Ok(a.plus(b, -1)));
    fold("mulf", &TWO, None, |a, b| Ok(a.times(b)));
    fold("divf", &TWO, None, Decimal::over);
}

type Step = fn(Decimal, Decimal) -> Result<Decimal, String>;

/// `digits * 10^exponent`; what does not fit goes on as a float.
#[derive(Clone, Copy, Debug)]
enum Decimal {
    Exact { digits: i128, exponent: i32 },
    Float(f64),
}

/// Decimals a division gives.
const DIVISION_DECIMALS: i32 = 16;

impl Decimal {
    /// The shortest decimal that reads back as `number`.
    fn new(number: f64) -> Result<Decimal, String> {
        if number.is_nan() {
            return Err("Cannot create a Decimal from NaN".to_owned());
        }
        if number.is_infinite() {
            let sign = if number > 0.0 { "+" } else { "-" };
            return Err(format!("Cannot create a Decimal from {sign}Inf"));
        }
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Ok(match format!("{whole}{decimals}").parse() {
            Ok(digits) => Decimal::Exact { digits, exponent: exponent - decimals.len() as i32 },
            Err(_) => Decimal::Float(number),
        })
    }

    fn to_float(self) -> f64 {
        match self {
            Decimal::Exact { digits, exponent } => format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN),
            Decimal::Float(number) => number,
        }
    }

    fn plus(self, other: Decimal, sign: i128) -> Decimal {
        let exact = || {
            let (a, x, b, y) = parts(self, other)?;
            let least = x.min(y);
            let digits = raised(a, x - least)?.checked_add(raised(b, y - least)?.checked_mul(sign)?)?;
            Some(Decimal::Exact { digits, exponent: least })
        };
        exact().unwrap_or_else(|| Decimal::Float(self.to_float() + sign as f64 * other.to_float()))
    }

    fn times(self, other: Decimal) -> Decimal {
        let exact = || {
            let (a, x, b, y) = parts(self, other)?;
            Some(Decimal::Exact { digits: a.checked_mul(b)?, exponent: x.checked_add(y)? })
        };
        exact().unwrap_or_else(|| Decimal::Float(self.to_float() * other.to_float()))
    }

    /// Division to [`DIVISION_DECIMALS`], halves away from zero.
    fn over(self, other: Decimal) -> Result<Decimal, String> {
        if other.to_float() == 0.0 {
            return Err("decimal division by 0".to_owned());
        }
        let exact = || {
            let (a, x, b, y) = parts(self, other)?;
            let shift = x - y + DIVISION_DECIMALS;
            let (a, b) = if shift >= 0 { (raised(a, shift)?, b) } else { (a, raised(b, -shift)?) };
            let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
            let is_half = rest.checked_abs()?.checked_mul(2)? >= b.checked_abs()?;
            let sign = a.signum() * b.signum();
            let digits = if is_half { quotient + sign } else { quotient };
            Some(Decimal::Exact { digits, exponent: -DIVISION_DECIMALS })
        };
        Ok(exact().unwrap_or_else(|| Decimal::Float(self.to_float() / other.to_float())))
    }
}

fn parts(a: Decimal, b: Decimal) -> Option<(i128, i32, i128, i32)> {
    match (a, b) {
        (Decimal::Exact { digits: a, exponent: x }, Decimal::Exact { digits: b, exponent: y }) => {
            Some((a, x, b, y))
        }
        _ => None,
    }
}

/// `digits * 10^by`.
fn raised(digits: i128, by: i32) -> Option<i128> {
    digits.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?)
}

fn ints(args: &[Value]) -> impl Iterator<Item = i64> + '_ {
    args.iter().map(|arg| int(Some(arg)))
}

/// A value as an integer.
fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(n) | Value::Duration(n)) => *n,
        Some(Value::Float(f)) => *f as i64,
        Some(Value::Bool(b)) => i64::from(*b),
        Some(Value::String(text)) => parse_int(without_decimals(text)).unwrap_or(0),
        _ => 0,
    }
}

/// `5.75` as `5`.
fn without_decimals(text: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, decimals))
            if is_number(whole.strip_prefix(['+', '-']).unwrap_or(whole))
                && (decimals.is_empty() || is_number(decimals)) =>
        {
            whole
        }
        _ => text,
    }
}

/// An integer in Go's notations: `0x1f`, `0b1`, `0o17`, `017`, with `_` between digits.
fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits, prefixed) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?, true),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?, true),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?, true),
        [b'0', _, ..] => (8, digits.get(1..)?, true),
        _ => (10, digits, false),
    };
    let bytes = digits.as_bytes();
    let mut plain = String::with_capacity(digits.len());
    for (i, c) in digits.char_indices() {
        if c != '_' {
            plain.push(c);
            continue;
        }
        let is_digit = |b: Option<&u8>| b.is_some_and(|b| char::from(*b).is_digit(radix));
        let before = if i == 0 { prefixed } else { is_digit(bytes.get(i - 1)) };
        if !before || !is_digit(bytes.get(i + 1)) {
            return None;
        }
    }
    if plain.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// A value as a float.
fn float(value: Option<&Value>) -> f64 {
    match value {
        Some(Value::Float(f)) => *f,
        Some(Value::Int(n) | Value::Duration(n)) => *n as f64,
        Some(Value::Bool(b)) => f64::from(u8::from(*b)),
        Some(Value::String(text)) => convert::number(text).unwrap_or(0.0),
        _ => 0.0,
    }
}
