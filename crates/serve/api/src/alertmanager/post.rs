//! The JSON of requests: read and checked as the peer's generated server does.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use novaobs_alerts::PostableAlert;
use novaobs_alerts::silence::{PostableSilence, SilenceMatcher};
use novaobs_alerts::time::Time;
use novaobs_model::Labels;
use novaobs_model::labels::go_quote;
use serde_json::{Map, Value};

use super::error::ApiError;

/// A body and the words errors about it begin with.
struct Body {
    /// `alerts` or `silence`.
    name: &'static str,
}

impl Body {
    /// 400: the body is not JSON of the right types.
    fn parsing(&self, message: impl std::fmt::Display) -> ApiError {
        let message = format!("parsing {} body from \"\" failed, because {message}", self.name);
        ApiError::schema(StatusCode::BAD_REQUEST, 400, message)
    }

    /// Go's words for a value of the wrong type.
    fn mistyped(&self, found: &Value, field: &str, wanted: &str) -> ApiError {
        let kind = match found {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.parsing(format!("json: cannot unmarshal {kind} into Go {field} of type {wanted}"))
    }

    fn read(&self, headers: &HeaderMap, bytes: &[u8]) -> Result<Value, ApiError> {
        let content_type =
            headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
        let kind = content_type.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let message = format!(
                "unsupported media type {}, only [application/json] are allowed",
                go_quote(content_type)
            );
            return Err(ApiError::schema(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, message));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(ApiError::unprocessable(602, format!("{} in body is required", self.name)));
        }
        serde_json::from_slice(bytes).map_err(|error| match error.is_eof() {
            true => self.parsing("unexpected EOF"),
            false => self.parsing(error),
        })
    }

    /// The text of a field; absent and null are none.
    fn text<'a>(
        &self,
        object: &'a Map<String, Value>,
        owner: &str,
        key: &str,
    ) -> Result<Option<&'a str>, ApiError> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.mistyped(other, &format!("struct field {owner}.{key}"), "string")),
        }
    }

    fn flag(&self, object: &Map<String, Value>, owner: &str, key: &str) -> Result<Option<bool>, ApiError> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.mistyped(other, &format!("struct field {owner}.{key}"), "bool")),
        }
    }

    /// A mapping of texts to texts.
    fn texts(
        &self,
        object: &Map<String, Value>,
        owner: &str,
        key: &str,
    ) -> Result<Option<BTreeMap<String, String>>, ApiError> {
        let field = format!("struct field {owner}.{key}");
        let pairs = match object.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(pairs)) => pairs,
            Some(other) => return Err(self.mistyped(other, &field, "models.LabelSet")),
        };
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Null => Ok((name.clone(), String::new())),
            other => Err(self.mistyped(other, &field, "string")),
        };
        pairs.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A time; Go's zero time, which clients send for "not set", is none.
    fn time(&self, object: &Map<String, Value>, owner: &str, key: &str) -> Result<Option<Time>, ApiError> {
        let Some(text) = self.text(object, owner, key)?.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match parse_time(text) {
            Some(time) if time.timestamp() == GO_ZERO => Ok(None),
            Some(time) => Ok(Some(time)),
            None => {
                let quoted = go_quote(text);
                let layout = "\"2006-01-02 15:04:05\"";
                Err(self
                    .parsing(format!("parsing time {quoted} as {layout}: cannot parse {quoted} as \"2006\"")))
            }
        }
    }
}

/// Unix seconds of 0001-01-01T00:00:00Z.
const GO_ZERO: i64 = -62_135_596_800;

/// RFC 3339, or a date and time without a zone, which is UTC then.
fn parse_time(text: &str) -> Option<Time> {
    Time::parse_from_rfc3339(text).or_else(|_| Time::parse_from_rfc3339(&format!("{text}Z"))).ok()
}

/// The alerts of a `POST /alerts`.
pub(super) fn alerts(headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<PostableAlert>, ApiError> {
    let body = Body { name: "alerts" };
    let value = body.read(headers, bytes)?;
    let items = match value {
        Value::Array(items) => items,
        Value::Null => return Err(ApiError::unprocessable(602, "alerts in body is required")),
        other => return Err(body.mistyped(&other, "value", "models.PostableAlerts")),
    };
    // Types are checked in the whole body before anything else is.
    let parsed = items.iter().map(|item| alert(&body, item)).collect::<Result<Vec<_>, _>>()?;
    let check = |(i, alert): (usize, Option<RawAlert>)| {
        let RawAlert { labels, alert } = alert?;
        let Some(labels) = labels else {
            return Some(Err(ApiError::unprocessable(602, format!("{i}.labels in body is required"))));
        };
        if !is_uri(&alert.generator_url) {
            let quoted = go_quote(&alert.generator_url);
            let message = format!("{i}.generatorURL in body must be of type uri: {quoted}");
            return Some(Err(ApiError::unprocessable(601, message)));
        }
        Some(Ok(PostableAlert { labels: Labels::from_pairs(labels), ..alert }))
    };
    parsed.into_iter().enumerate().filter_map(check).collect()
}

/// An alert whose labels are not checked yet.
struct RawAlert {
    /// `None` when the body has no key for them.
    labels: Option<BTreeMap<String, String>>,
    alert: PostableAlert,
}

/// One alert; null is nothing.
fn alert(body: &Body, item: &Value) -> Result<Option<RawAlert>, ApiError> {
    let object = match item {
        Value::Object(object) => object,
        Value::Null => return Ok(None),
        other => return Err(body.mistyped(other, "value", "models.PostableAlert")),
    };
    let labels = body.texts(object, "Alert", "labels")?;
    let alert = PostableAlert {
        labels: Labels::empty(),
        annotations: body.texts(object, "PostableAlert", "annotations")?.unwrap_or_default(),
        starts_at: body.time(object, "PostableAlert", "startsAt")?,
        ends_at: body.time(object, "PostableAlert", "endsAt")?,
        generator_url: body.text(object, "Alert", "generatorURL")?.unwrap_or("").to_owned(),
    };
    Ok(Some(RawAlert { labels, alert }))
}

/// Whether a text is empty, a path from the root or a URL with a scheme.
fn is_uri(text: &str) -> bool {
    text.is_empty() || text.starts_with('/') || url::Url::parse(text).is_ok()
}

/// The silence of a `POST /silences`.
pub(super) fn silence(headers: &HeaderMap, bytes: &[u8], now: Time) -> Result<PostableSilence, ApiError> {
    let body = Body { name: "silence" };
    let value = body.read(headers, bytes)?;
    let object = match &value {
        Value::Object(object) => object,
        Value::Null => return Err(ApiError::unprocessable(602, "silence in body is required")),
        other => return Err(body.mistyped(other, "value", "models.PostableSilence")),
    };
    let required = |key: &str| ApiError::unprocessable(602, format!("{key} in body is required"));
    let items = match object.get("matchers") {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(items),
        Some(other) => return Err(body.mistyped(other, "struct field Silence.matchers", "models.Matchers")),
    };
    let matchers =
        items.into_iter().flatten().map(|item| matcher(&body, item)).collect::<Result<Vec<_>, _>>()?;
    let id = body.text(object, "PostableSilence", "id")?.unwrap_or("").to_owned();
    let annotations = body.texts(object, "Silence", "annotations")?.unwrap_or_default();
    let comment = body.text(object, "Silence", "comment")?;
    let created_by = body.text(object, "Silence", "createdBy")?;
    let ends_at = body.time(object, "Silence", "endsAt")?;
    let starts_at = body.time(object, "Silence", "startsAt")?;
    let comment = comment.ok_or_else(|| required("comment"))?.to_owned();
    let created_by = created_by.ok_or_else(|| required("createdBy"))?.to_owned();
    let ends_at = ends_at.ok_or_else(|| required("endsAt"))?;
    if items.is_none() {
        return Err(required("matchers"));
    }
    if matchers.is_empty() {
        return Err(ApiError::unprocessable(612, "matchers in body should have at least 1 items"));
    }
    let matchers = matchers
        .into_iter()
        .enumerate()
        .map(|(i, matcher)| matcher.map_err(|key| required(&format!("matchers.{i}.{key}"))))
        .collect::<Result<Vec<_>, _>>()?;
    let starts_at = starts_at.ok_or_else(|| required("startsAt"))?;
    if starts_at >= ends_at {
        return Err(ApiError::refused("Failed to create silence: start time must be before end time"));
    }
    if ends_at < now {
        return Err(ApiError::refused("Failed to create silence: end time can't be in the past"));
    }
    Ok(PostableSilence { id, matchers, starts_at, ends_at, created_by, comment, annotations })
}

/// A matcher, or the key that it lacks.
fn matcher(body: &Body, item: &Value) -> Result<Result<SilenceMatcher, &'static str>, ApiError> {
    let object = match item {
        Value::Object(object) => object,
        other => return Err(body.mistyped(other, "struct field Silence.matchers", "models.Matcher")),
    };
    let is_equal = body.flag(object, "Matcher.matchers", "isEqual")?;
    let is_regex = body.flag(object, "Matcher.matchers", "isRegex")?;
    let name = body.text(object, "Matcher.matchers", "name")?;
    let value = body.text(object, "Matcher.matchers", "value")?;
    Ok(match (is_regex, name, value) {
        (None, ..) => Err("isRegex"),
        (_, None, _) => Err("name"),
        (_, _, None) => Err("value"),
        (Some(is_regex), Some(name), Some(value)) => Ok(SilenceMatcher {
            name: name.to_owned(),
            value: value.to_owned(),
            is_regex,
            is_equal: is_equal.unwrap_or(true),
        }),
    })
}
