//! Functions of one float: math, trigonometry, dates.

use super::calendar::{Civil, civil, days_in_month};

/// The function of that name, if it takes one float and nothing else.
pub(crate) fn by_name(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sgn" => sign,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => inverse_cosh,
        "atanh" => f64::atanh,
        "rad" => |degrees| degrees * std::f64::consts::PI / 180.0,
        "deg" => |radians| radians * 180.0 / std::f64::consts::PI,
        _ => return date_by_name(name),
    })
}

/// The date function of that name, of Unix seconds.
pub(crate) fn date_by_name(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |seconds| date(seconds).minute as f64,
        "hour" => |seconds| date(seconds).hour as f64,
        "day_of_week" => |seconds| date(seconds).weekday as f64,
        "day_of_month" => |seconds| date(seconds).day as f64,
        "day_of_year" => |seconds| date(seconds).day_of_year as f64,
        "days_in_month" => |seconds| {
            let Civil { year, month, .. } = date(seconds);
            days_in_month(year, month) as f64
        },
        "month" => |seconds| date(seconds).month as f64,
        "year" => |seconds| date(seconds).year as f64,
        _ => return None,
    })
}

/// The date of a float of Unix seconds. What is no time (NaN, out of range) becomes the smallest integer,
/// as the peer's conversion does on amd64.
fn date(seconds: f64) -> Civil {
    let in_range = seconds >= -(2f64.powi(63)) && seconds < 2f64.powi(63);
    civil(if in_range { seconds as i64 } else { i64::MIN })
}

/// -1, 1, or the value itself for zeros and NaN.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Precise near 1, where the textbook formula loses digits.
fn inverse_cosh(value: f64) -> f64 {
    if (1.0..2.0).contains(&value) {
        let above = value - 1.0;
        return (above + (2.0 * above + above * above).sqrt()).ln_1p();
    }
    value.acosh()
}

/// `round(value, to)`; ties go up. Multiplying by the inverse loses fewer digits than dividing.
pub(crate) fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}
