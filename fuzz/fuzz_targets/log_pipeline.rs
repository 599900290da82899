//! Pipelines: any line runs through every parser; nothing panics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::parse_log;
use novaobs_model::Labels;

static PIPELINES: LazyLock<Vec<Pipeline>> = LazyLock::new(|| {
    [
        "| json",
        "| json a=\"b\", c=\"d[0].e\", f=\"[1]\"",
        "| logfmt --strict --keep-empty",
        "| logfmt a=\"b\"",
        "| pattern \"<a>=<b> <_>\"",
        "| unpack",
        "| decolorize",
        "|= ip(\"10.0.0.0/8\") or ip(\"::/0\")",
    ]
    .iter()
    .filter_map(|stages| parse_log(&format!("{{x=\"y\"}} {stages}")).ok())
    .filter_map(|parsed| Pipeline::compile(&parsed.stages, None).ok())
    .collect()
});

fuzz_target!(|line: &str| {
    let labels = Labels::from_pairs([("a", "stream")]);
    for pipeline in PIPELINES.iter() {
        let mut stream = pipeline.stream(&labels);
        if let Some(row) = stream.run(0, line, [("b", "metadata")].into_iter()) {
            let _ = (row.labels.merged(), row.labels.hash());
        }
    }
});
