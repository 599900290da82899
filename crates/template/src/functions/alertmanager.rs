//! The functions of notification templates.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::escape;
use crate::function::{Function, Functions, Param, text};
use crate::functions::shared::{self, title};
use crate::json;
use crate::time::{self, Time};
use crate::value::Value;

/// The functions. `routeLabels` gives the empty text until it is bound to a notification's data, see
/// [`crate::notification::render`].
pub fn functions() -> Functions {
    let mut all = Functions::new();
    shared::add(&mut all);
    add_text(&mut all);
    add_time(&mut all);
    add_data(&mut all);
    all.set("routeLabels", Function::of_string(|_| Ok("".into())));
    all
}

fn add_text(all: &mut Functions) {
    all.set("title", Function::of_string(|text| Ok(title(text, true).into())));
    all.set("trimSpace", Function::of_string(|text| Ok(text.trim().into())));
    all.set("safeUrl", Function::of_string(|text| Ok(text.into())));
    all.set("urlUnescape", Function::of_string(|text| escape::unquery(text).map(Value::from)));
    all.set("base64encode", Function::of_string(|text| Ok(URL_SAFE.encode(text).into())));
    all.set(
        "base64decode",
        Function::of_string(|text| {
            let bytes = URL_SAFE.decode(text).map_err(|error| match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
                    format!("illegal base64 data at input byte {at}")
                }
                _ => format!("illegal base64 data at input byte {}", text.len()),
            })?;
            Ok(String::from_utf8_lossy(&bytes).into_owned().into())
        }),
    );
    all.set(
        "join",
        Function::new(&[Param::String, Param::Strings], |args| {
            let Some(Value::List(list)) = args.get(1).map(Value::plain) else { return Ok("".into()) };
            let texts: Vec<&str> = list.items.iter().filter_map(Value::as_str).collect();
            Ok(texts.join(text(args, 0)).into())
        }),
    );
    all.set(
        "stringSlice",
        Function::variadic(&[Param::String], |args| {
            Ok(Value::strings(args.iter().filter_map(Value::as_str)))
        }),
    );
}

fn time_at(args: &[Value], at: usize) -> Time {
    match args.get(at) {
        Some(Value::Time(time)) => *time,
        _ => Time::zero(),
    }
}

fn add_time(all: &mut Functions) {
    let now = || Time::utc(chrono::Utc::now());
    all.set("now", Function::new(&[], move |_| Ok(Value::Time(now()))));
    all.set(
        "since",
        Function::new(&[Param::Time], move |args| {
            Ok(Value::Duration(time::nanos_between(&time_at(args, 0).instant(), &now().instant())))
        }),
    );
    all.set(
        "date",
        Function::new(&[Param::String, Param::Time], |args| {
            Ok(time_at(args, 1).format(text(args, 0)).into())
        }),
    );
    all.set(
        "tz",
        Function::new(&[Param::String, Param::Time], |args| {
            time_at(args, 1).in_zone(text(args, 0)).map(Value::Time)
        }),
    );
    all.set(
        "toDate",
        Function::new(&[Param::String, Param::String], |args| {
            Ok(Value::Time(time::parse(text(args, 0), text(args, 1)).unwrap_or_else(|_| Time::zero())))
        }),
    );
    all.set(
        "mustToDate",
        Function::new(&[Param::String, Param::String], |args| {
            time::parse(text(args, 0), text(args, 1)).map(Value::Time)
        }),
    );
}

fn add_data(all: &mut Functions) {
    all.set(
        "toJson",
        Function::new(&[Param::Any], |args| {
            json::encode(args.first().unwrap_or(&Value::Nil)).map(Value::from)
        }),
    );
    all.set("list", Function::variadic(&[Param::Any], |args| Ok(Value::list(args.iter().cloned()))));
    all.set(
        "append",
        Function::variadic(&[Param::List, Param::Any], |args| {
            let (list, more) = args.split_first().unwrap_or((&Value::Nil, &[]));
            let items = match list {
                Value::List(list) => list.items.to_vec(),
                _ => Vec::new(),
            };
            Ok(Value::list(items.into_iter().chain(more.iter().cloned())))
        }),
    );
    all.set(
        "dict",
        Function::variadic(&[Param::Any], |args| {
            if !args.len().is_multiple_of(2) {
                return Err("dict requires an even number of arguments".to_owned());
            }
            let mut pairs = Vec::new();
            for pair in args.chunks_exact(2) {
                let [Value::String(key), value] = pair else {
                    return Err("dict keys must be strings".to_owned());
                };
                pairs.push((key.to_string(), value.clone()));
            }
            Ok(Value::map(pairs))
        }),
    );
}
