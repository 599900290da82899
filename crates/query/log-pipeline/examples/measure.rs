//! Prints nanoseconds of CPU per line of the main shapes of pipelines: `cargo run --release --example measure`.

use std::hint::black_box;

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::Grouping;
use novaobs_model::Labels;

const JSON: &str = r#"{"ts":"2026-08-22T10:11:12.123456Z","level":"info","service":"checkout","msg":"request served","method":"GET","path":"/api/v1/orders/1234567","status":200,"duration_ms":12.75,"user":"u-48213","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","host":"node-17","region":"eu-central-1","bytes":5312,"http":{"ua":"curl/8.5","v":"1.1"}}"#;
const LOGFMT: &str = r#"ts=2026-08-22T10:11:12.123456Z level=info service=checkout msg="request served" method=GET path=/api/v1/orders/1234567 status=200 duration=12.75ms user=u-48213 trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 host=node-17 region=eu-central-1 bytes=5312 ua=curl/8.5"#;
const ACCESS: &str = r#"10.1.2.3 - alice [22/Aug/2026:10:11:12 +0000] "GET /api/v1/orders/1234567 HTTP/1.1" 200 5312 "-" "curl/8.5""#;

const SHAPES: &[(&str, &str, &str)] = &[
    ("json", "", "| json"),
    ("json", "by (status)", "| json"),
    ("json", "by (service, level)", "| json"),
    ("json", "", "| json | status >= 500"),
    ("json", "", "| json | level=\"error\""),
    ("json", "", "| json s=\"status\", v=\"http.v\""),
    ("json", "", "|= \"4736\""),
    ("json", "", "|~ \"4bf9.*4737\""),
    ("json", "", "|> \"<_>served<_>\""),
    ("json", "", "| json | line_format \"{{.level}} {{.msg}}\""),
    ("json", "", "| json | line_format \"{{.level | ToUpper}} {{.msg}}\""),
    ("json", "", "| json | label_format lvl=level"),
    ("json", "", "| json | keep level, status"),
    ("logfmt", "", "| logfmt"),
    ("logfmt", "by (status)", "| logfmt"),
    ("logfmt", "", "| logfmt | duration > 1s"),
    ("logfmt", "", "| logfmt status, user"),
    ("access", "", "| pattern \"<ip> - <user> [<_>] \\\"<method> <path> <_>\\\" <status> <size>\""),
    ("access", "", "| regexp \"(?P<ip>\\\\S+) - (?P<user>\\\\S+) .* (?P<status>\\\\d{3}) (?P<size>\\\\d+)\""),
    ("access", "", "|= ip(\"10.0.0.0/8\")"),
    ("access", "", "| decolorize"),
];

#[expect(clippy::print_stdout, reason = "a program that prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let labels =
        Labels::from_pairs([("app", "shop"), ("env", "prod"), ("pod", "checkout-7d9f"), ("zone", "a")]);
    let metadata = [("detected_level", "info"), ("node", "n17")];
    for (kind, by, stages) in SHAPES {
        let line = match *kind {
            "json" => JSON,
            "logfmt" => LOGFMT,
            _ => ACCESS,
        };
        let parsed = novaobs_logql_parser::parse_log(&format!("{{x=\"y\"}} {stages}"))?;
        let grouping = by.strip_prefix("by (").map(|names| Grouping {
            without: false,
            labels: names.trim_end_matches(')').split(", ").map(str::to_owned).collect(),
        });
        let pipeline = Pipeline::compile_for(&parsed.stages, None, grouping.as_ref())?;
        let mut stream = pipeline.stream(&labels);
        let (turns, start) = (200_000, cpu_nanos());
        let mut kept = 0u64;
        for turn in 0..turns {
            kept += u64::from(stream.run(turn, black_box(line), metadata.into_iter()).is_some());
        }
        let nanos = (cpu_nanos() - start) / turns as u64;
        let kept = if kept > 0 { "kept" } else { "dropped" };
        println!("{nanos:>6} ns  {:>3} bytes  {kept:7}  {by} {stages}", line.len());
    }
    Ok(())
}

/// What this thread has run so far, by Linux' count; other load on the machine does not disturb it.
fn cpu_nanos() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    counts.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
