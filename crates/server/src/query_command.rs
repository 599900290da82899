//! `novaobs query sql "SELECT …"`: asks a running server and shows the answer.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use axum::http::{HeaderName, HeaderValue, header};
use clap::Command;
use novaobs_http_client::{HttpClient, HttpConfig, Request, Response};
use serde_json::Value;
use url::Url;

use crate::flags::{self, FlagError, Flags};

/// Rows that a table is laid out for at once: widths are those of the first rows.
const PAGE: usize = 1000;
/// Largest error answer that is shown.
const MAX_ERROR: usize = 64 << 10;

/// The flags of a command line: `sql`, the query, and flags in any order.
///
/// # Errors
/// [`FlagError`], for `--help` too.
pub fn flags(mut arguments: Vec<String>) -> Result<Flags, FlagError> {
    if arguments.first().is_some_and(|language| language == "sql") {
        arguments.remove(0);
        if let Some(at) = arguments.iter().position(|argument| !argument.starts_with("--")) {
            let after_flag = at.checked_sub(1).and_then(|before| arguments.get(before));
            let is_value = after_flag.is_some_and(|flag| flag.starts_with("--") && !flag.contains('='));
            if let Some(query) = arguments.get_mut(at).filter(|_| !is_value) {
                query.insert_str(0, "--query=");
            }
        }
    }
    let usage = Command::new("novaobs query sql")
        .override_usage("novaobs query sql \"SELECT count(*) FROM logs\" [--url=URL] [--format=csv]");
    flags::parse(usage, &[flags::query::FLAGS], arguments)
}

/// Asks and shows.
pub async fn run(flags: &Flags) -> ExitCode {
    match ask(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        // Who closes a pipe (head, less) has seen enough.
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("novaobs query: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn ask(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let sql = flags.get("query");
    if sql.is_empty() {
        return Err("write a query: novaobs query sql \"SELECT count(*) FROM logs\"".into());
    }
    let format = flags.get("format");
    let (sent, table) = if format == "table" { ("json", true) } else { (format, false) };
    let mut url = flags.read("url", |text| Url::parse(text))?;
    let path = format!("{}/api/v1/sql", url.path().trim_end_matches('/'));
    url.set_path(&path);
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("query", sql)
        .append_pair("format", sent)
        .finish();
    let timeout = flags.duration("timeout")?;
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut request = Request::post(url, form).header(header::CONTENT_TYPE, form_type).timeout(timeout);
    if !flags.get("tenant").is_empty() {
        let tenant = flags.read("tenant", HeaderValue::from_str)?;
        request = request.header(HeaderName::from_static("x-scope-orgid"), tenant);
    }
    let mut response = HttpClient::new(&HttpConfig::default())?.send(request).await?;
    if !response.status().is_success() {
        return Err(why(response).await.into());
    }
    let mut out = io::stdout().lock();
    if table {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&body)?;
        out.write_all(show(&answer).as_bytes())?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            return Err(error.to_owned().into());
        }
        return Ok(());
    }
    while let Some(chunk) = response.chunk().await? {
        out.write_all(&chunk)?;
    }
    out.flush()?;
    Ok(())
}

/// What an error answer says.
async fn why(response: Response) -> String {
    let status = response.status();
    let body = response.bytes(MAX_ERROR).await.unwrap_or_default();
    let said = serde_json::from_slice::<Value>(&body).ok();
    match said.as_ref().and_then(|said| said.get("error")).and_then(Value::as_str) {
        Some(error) => error.to_owned(),
        None => format!("the server answers {status}: {}", String::from_utf8_lossy(&body).trim_end()),
    }
}

/// An answer as a table: names, a rule, rows; numbers at the right.
fn show(answer: &Value) -> String {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let data = answer.get("data");
    let columns = list(data.and_then(|data| data.get("columns")));
    let text =
        |column: &Value, key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let names: Vec<String> = columns.iter().map(|column| text(column, "name")).collect();
    let right: Vec<bool> = columns
        .iter()
        .map(|column| matches!(text(column, "type").as_str(), "integer" | "float" | "decimal"))
        .collect();
    let rows: Vec<Vec<String>> = list(data.and_then(|data| data.get("rows")))
        .iter()
        .map(|row| row.as_array().map(|cells| cells.iter().map(cell).collect()).unwrap_or_default())
        .collect();
    let width = |at: usize| {
        let cells = rows.iter().take(PAGE).filter_map(|row| row.get(at));
        cells.chain(names.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut out = String::new();
    write_row(&mut out, &names, &widths, &right);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    write_row(&mut out, &rule, &widths, &right);
    rows.iter().for_each(|row| write_row(&mut out, row, &widths, &right));
    // Writing to a String does not fail.
    let _ = writeln!(out, "({} {})", rows.len(), if rows.len() == 1 { "row" } else { "rows" });
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A row is a line of the table.
        Value::String(text) => text.replace('\n', "\\n").replace('\t', "\\t"),
        other => other.to_string(),
    }
}

fn write_row(out: &mut String, cells: &[String], widths: &[usize], right: &[bool]) {
    let last = cells.len().saturating_sub(1);
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = match right.get(at) {
            Some(true) => write!(out, "{cell:>width$}"),
            _ if at == last => write!(out, "{cell}"),
            _ => write!(out, "{cell:<width$}"),
        };
        out.push_str(if at == last { "" } else { "  " });
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_may_stand_anywhere() {
        for arguments in [
            ["sql", "SELECT 1", "--url=http://h"].as_slice(),
            &["sql", "--url=http://h", "SELECT 1"],
            &["sql", "--url=http://h", "--query=SELECT 1"],
        ] {
            let flags = flags(arguments.iter().map(|a| (*a).to_owned()).collect()).unwrap();
            assert_eq!((flags.get("query"), flags.get("url")), ("SELECT 1", "http://h"), "{arguments:?}");
        }
        assert!(flags(vec!["promql".into(), "up".into()]).is_err());
    }

    #[test]
    fn answers_are_tables() {
        let answer = serde_json::json!({"status": "success", "data": {
            "columns": [{"name": "service", "type": "text"}, {"name": "n", "type": "integer"}, {"name": "line", "type": "text"}],
            "rows": [["api", 12, "a\nb"], ["checkout", 3, null]],
        }});
        let expected =
            "service    n  line\n--------  --  ----\napi       12  a\\nb\ncheckout   3  \n(2 rows)\n";
        assert_eq!(show(&answer), expected);
    }
}
