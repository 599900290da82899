//! Templates whose results were taken from Go's `text/template`, kept in `go.cases`.

use chrono::{TimeZone as _, Utc};
use novaobs_template::{Functions, Limits, MissingKey, Template, Time, Value};

fn data() -> Value {
    let t = Utc.with_ymd_and_hms(2024, 2, 9, 13, 4, 5).unwrap() + chrono::TimeDelta::milliseconds(678);
    let pairs = [
        ("v", Value::Float(1.2345)),
        ("big", Value::Float(12345678.0)),
        ("small", Value::Float(1e-6)),
        ("inf", Value::Float(f64::INFINITY)),
        ("three", Value::Float(3.0)),
        ("int", Value::Int(42)),
        ("s", "hello".into()),
        ("m", Value::string_map([("b", "2"), ("a", "1")])),
        ("any", Value::map([("n".to_owned(), Value::Nil), ("x".to_owned(), Value::Float(1.5))])),
        ("l", Value::strings(["x", "y", "z", "w", "v"])),
        ("fl", Value::list([Value::Float(1.0), Value::Float(2.5), "a".into(), Value::Nil])),
        ("empty", Value::strings(Vec::<&str>::new())),
        ("t", Value::Time(Time::utc(t))),
        ("dur", Value::Duration(90_500_000_000)),
    ];
    Value::map(pairs.map(|(name, value)| (name.to_owned(), value)))
}

#[test]
fn renders_as_go_does() {
    let base = Template::new(Functions::new(), MissingKey::Zero);
    let data = data();
    let mut lines =
        include_str!("go.cases").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut differences = Vec::new();
    let mut count = 0;
    while let (Some(template), Some(want)) = (lines.next(), lines.next()) {
        let (kind, text) = want.split_at(3);
        let text: String = serde_json::from_str(text).unwrap();
        let got = match base.render("t", template, &data, &Limits::default()) {
            Ok(text) => ("=> ", text),
            Err(error) => ("!! ", error.to_string()),
        };
        if got != (kind, text.clone()) {
            differences.push(format!("{template}\n  want {kind}{text:?}\n  got  {}{:?}", got.0, got.1));
        }
        count += 1;
    }
    assert!(count > 70, "the cases were read");
    assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n"));
}
