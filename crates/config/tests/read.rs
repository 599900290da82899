//! Text in, text out: what a reader sees of a document, and what it says about a faulty one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::time::Duration;

use expect_test::{Expect, expect};
use novaobs_config::{Cursor, Document, Fields, Node, Secret, UnknownKeys, emit, value};

#[derive(Debug)]
#[expect(dead_code, reason = "only its debug form is looked at")]
struct Job {
    name: String,
    interval: Duration,
    limit: u64,
    honor: bool,
    password: Secret,
    params: Vec<(String, Vec<String>)>,
}

fn job(at: &Cursor<'_>) -> Option<Job> {
    let mut map = at.mapping();
    let name = map.required("job_name", value::string);
    let interval = map.or("scrape_interval", value::duration, Duration::from_secs(60));
    let limit = map.or("sample_limit", value::u64, 0);
    let honor = map.or("honor_labels", value::boolean, false);
    let password = map.or("password", value::secret, Secret::default());
    let params = map.or("params", value::map(value::list(value::string)), Vec::new());
    map.obsolete("api_version", "only v2 exists");
    map.finish();
    Some(Job { name: name?, interval, limit, honor, password, params })
}

fn jobs(at: &Cursor<'_>) -> Option<Vec<Job>> {
    let mut map = at.mapping();
    let jobs = map.list("jobs", job);
    // Anchors live under free keys.
    map.take_matching(|key| key.starts_with("x-"));
    map.finish();
    Some(jobs)
}

fn outcome(text: &str, unknown: UnknownKeys) -> String {
    let loaded = match Document::parse("dir/jobs.yml", text).and_then(|d| d.read(unknown, jobs)) {
        Ok(loaded) => loaded,
        Err(error) => return error.to_string(),
    };
    let mut lines: Vec<String> = loaded.value.iter().map(|job| format!("{job:?}")).collect();
    lines.extend(loaded.warnings.iter().map(|w| format!("warning: {w}")));
    lines.join("\n")
}

#[track_caller]
fn check(text: &str, want: Expect) {
    want.assert_eq(&outcome(text, UnknownKeys::Warn));
}

#[test]
fn reads_what_go_reads() {
    check(
        "jobs:\n- job_name: 1\n  scrape_interval: \"15s\"\n  sample_limit: 0x10\n  honor_labels: on\n  password: true\n  params: {a: [1, yes]}\n",
        expect![[
            r#"Job { name: "1", interval: 15s, limit: 16, honor: true, password: <secret>, params: [("a", ["1", "yes"])] }"#
        ]],
    );
    check("", expect![]);
    check("jobs:\n", expect![]);
    check(
        "jobs: ~\n---\njobs: 5\n",
        expect![
            "warning: dir/jobs.yml:2:1: only the first document of the file is read: this one is ignored"
        ],
    );
}

#[test]
fn merges_and_aliases() {
    check(
        "x-base: &base\n  scrape_interval: 5s\n  sample_limit: 3\njobs:\n- <<: *base\n  job_name: a\n  sample_limit: 4\n- <<: [{job_name: b}, *base]\n",
        expect![[r#"
            Job { name: "a", interval: 5s, limit: 4, honor: false, password: , params: [] }
            Job { name: "b", interval: 5s, limit: 3, honor: false, password: , params: [] }"#]],
    );
    check(
        "jobs:\n- <<: 5\n",
        expect!["dir/jobs.yml:2:7: a merge key (<<) wants a mapping or a list of mappings"],
    );
    check(
        "x-a: &a [*a]\n",
        expect!["dir/jobs.yml:1:10: this alias refers to itself or to an anchor that is too large"],
    );
}

#[test]
fn names_every_fault_at_once() {
    check(
        "jobs:\n- job_name: [a]\n  scrape_interval: 15\n  sample_limit: \"5\"\n- scrape_interval: 1x\n  honor_labels: maybe\n  params: {a: {}}\n- 5\n-\n",
        expect![[r#"
            dir/jobs.yml:2:13: jobs[0].job_name: expected a text, found a list
            dir/jobs.yml:3:20: jobs[0].scrape_interval: not a valid duration string: "15": write it with a unit, such as 15s
            dir/jobs.yml:4:17: jobs[0].sample_limit: expected a whole number, found the quoted text "5"
            dir/jobs.yml:5:3: jobs[1]: the key job_name is missing
            dir/jobs.yml:5:20: jobs[1].scrape_interval: unknown unit "x" in duration "1x": write numbers with units, largest first, such as 1h30m or 15s
            dir/jobs.yml:6:17: jobs[1].honor_labels: expected true or false, found "maybe"
            dir/jobs.yml:7:15: jobs[1].params.a: expected a list (lines that begin with -), found a mapping
            dir/jobs.yml:8:3: jobs[2]: expected a mapping of keys to values, found "5"
            dir/jobs.yml:9:2: jobs[3]: empty or null item"#]],
    );
    check(
        "jobs: {}\n",
        expect!["dir/jobs.yml:1:7: jobs: expected a list (lines that begin with -), found a mapping"],
    );
    check(
        "jobs:\n- job_name: a\n  job_name: b\n",
        expect![[
            r#"dir/jobs.yml:3:3: the key "job_name" is already set in this mapping: remove one of them"#
        ]],
    );
    check(
        "jobs:\n- job_name: a\n\tscrape_interval: 5s\n",
        expect!["dir/jobs.yml:2:13: line 3 is indented with a tab: YAML wants spaces"],
    );
    check(
        "jobs: [a\n",
        expect!["dir/jobs.yml:2:1: invalid YAML: while parsing a flow sequence, expected ',' or ']'"],
    );
    check(
        "jobs:\n- job_name: a\n  ? [x]\n  : 1\n",
        expect!["dir/jobs.yml:3:5: a key must be a text, not a list or a mapping"],
    );
}

#[test]
fn unknown_keys_warn_once_or_refuse() {
    let text = "jobs:\n- job_name: a\n  scrape_intervall: 5s\n  api_version: v1\n  colour: red\n";
    check(
        text,
        expect![[r#"
        Job { name: "a", interval: 60s, limit: 0, honor: false, password: , params: [] }
        warning: dir/jobs.yml:3:3: jobs[0].scrape_intervall: unknown key "scrape_intervall" is ignored: did you mean scrape_interval?
        warning: dir/jobs.yml:4:3: jobs[0].api_version: api_version is ignored: only v2 exists
        warning: dir/jobs.yml:5:3: jobs[0].colour: unknown key "colour" is ignored"#]],
    );
    let strict = expect![[r#"
        dir/jobs.yml:3:3: jobs[0].scrape_intervall: field scrape_intervall not found in jobs[0]: did you mean scrape_interval?
        dir/jobs.yml:5:3: jobs[0].colour: field colour not found in jobs[0]"#]];
    strict.assert_eq(&outcome(text, UnknownKeys::Refuse));
}

#[test]
fn alias_bombs_end() {
    let mut text = String::from("x-0: &a0 [l, o, l, l, o, l, l, o, l]\n");
    for i in 1..12 {
        let previous = vec![format!("*a{}", i - 1); 9].join(", ");
        text.push_str(&format!("x-{i}: &a{i} [{previous}]\n"));
    }
    check(&text, expect!["dir/jobs.yml:6:36: aliases expand to too much: write the sections out"]);
    check(&("[".repeat(5000)), expect!["dir/jobs.yml:1:256: invalid YAML: recursion limit exceeded"]);
    check(&("- ".repeat(5000)), expect!["dir/jobs.yml:1:201: nested deeper than 100 levels"]);
}

#[test]
fn prints_as_the_peers_do() {
    let node = Fields::new()
        .field("scrape_interval", &Duration::from_secs(60))
        .field(
            "labels",
            &Fields::new()
                .field("b", "yes")
                .field("c", "1e3")
                .field("empty", "")
                .field("date", "2020-01-01")
                .node(),
        )
        .field(
            "texts",
            &Node::sequence(
                [
                    "a: b",
                    "#x",
                    "it's",
                    "'q",
                    " lead",
                    "x #y",
                    "-",
                    "-a",
                    "a\"b",
                    "tab\t",
                    "[a]",
                    "{{ .x }}",
                    "https://x:80/",
                ]
                .map(Node::text),
            ),
        )
        .field("block", "line one\n  line two\n")
        .field("stripped", "a\nb")
        .field("kept", "a\n\n")
        .field(
            "list",
            &Node::sequence([
                Fields::new().field("k", &true).field("inner", &Node::sequence([Node::text("v")])).node(),
                Node::sequence([Node::text("n"), Node::text("m")]),
            ]),
        )
        .field("none", &Node::null())
        .field("empty_list", &Node::sequence([]))
        .field("secret", &Secret::new("x"))
        .nonempty("left_out", &Secret::default())
        .node();
    let text = emit(&node);
    expect![[r#"
        scrape_interval: 1m
        labels:
          b: "yes"
          c: "1e3"
          empty: ""
          date: "2020-01-01"
        texts:
        - 'a: b'
        - '#x'
        - it's
        - '''q'
        - ' lead'
        - 'x #y'
        - '-'
        - -a
        - a"b
        - "tab\t"
        - '[a]'
        - '{{ .x }}'
        - https://x:80/
        block: |
          line one
            line two
        stripped: |-
          a
          b
        kept: |+
          a

        list:
        - k: true
          inner:
          - v
        - - "n"
          - m
        none: null
        empty_list: []
        secret: <secret>
    "#]]
    .assert_eq(&text);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_back(text in "[ -~\n\té\u{85}\u{feff}]{0,12}", key in "[a-z:#' ]{1,6}") {
        let node = Fields::new()
            .field(&key, &text)
            .field("~list", &Node::sequence([Node::text(text.as_str()), Node::sequence([Node::text(text.as_str())])]))
            .node();
        let written = emit(&node);
        let document = Document::parse("x.yml", &written).map_err(|e| proptest::test_runner::TestCaseError::fail(format!("{e}\n{written}")))?;
        let read = |node: Option<&Node>| node.and_then(|n| match &n.value {
            novaobs_config::Value::Scalar { text, .. } => Some(text.clone()),
            _ => None,
        });
        proptest::prop_assert_eq!(read(document.root().get(&key)), Some(text.clone()), "{}", written);
        let list = document.root().get("~list").unwrap();
        let novaobs_config::Value::Sequence(items) = &list.value else { panic!("{written}") };
        proptest::prop_assert_eq!(read(items.first()), Some(text), "{}", written);
    }

    #[test]
    fn no_text_panics(text in "[-a-c:#&*<>|{}\\[\\]\n \t'\"?!,%@`~0-9.]{0,60}") {
        let _ = Document::parse("x.yml", &text);
    }
}
