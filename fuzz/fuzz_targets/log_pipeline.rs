//! Pipelines: any line runs through every parser and stages of each kind; nothing panics.
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
        "| regexp \"(?P<a>[0-9.]+) ?(?P<b>\\\\w*)\"",
        "| unpack",
        "| decolorize",
        "|= ip(\"10.0.0.0/8\") or ip(\"::/0\")",
        "|> \"<_>a<_>\" !> \"<_> b\" |~ \"(?i)e+\" != \"c\"",
        "| logfmt | a > 1 or a > 1s or a > 1kB or b = ip(\"1.0.0.0-2.0.0.0\") or __error__ != \"\"",
        "| json | label_format c=a, d=\"{{ .a | trunc 3 | upper }}\" | drop a, b=\"1\" | keep c, d",
        "| line_format \"{{ __line__ | fromJson }}\" | line_format \"{{ unixToTime __line__ }} {{ __line__ | duration }} {{ bytes __line__ }}\"",
    ]
    .iter()
    .map(|stages| {
        let parsed = parse_log(&format!("{{x=\"y\"}} {stages}")).expect(stages);
        Pipeline::compile(&parsed.stages, None).expect(stages)
    })
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
