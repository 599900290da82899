//! Query parameters and path parameters.

use novaobs_alerts::AlertFilter;
use novaobs_alerts::matchers;
use novaobs_alerts::silence::SilenceState;
use novaobs_model::{GoRegex, Matcher};

use super::error::ApiError;

/// The query of a request.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(query: Option<&str>) -> Parameters {
        Parameters(url::form_urlencoded::parse(query.unwrap_or("").as_bytes()).into_owned().collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A flag, true when absent. The words for yes are those of the peer's generated server; all else is no.
    fn flag(&self, name: &str) -> bool {
        const YES: [&str; 10] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"];
        match self.all(name).last() {
            None | Some("") => true,
            Some(value) => YES.contains(&value.to_ascii_lowercase().as_str()),
        }
    }

    /// A repeated matcher parameter.
    pub(super) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, ApiError> {
        let parse = |text| match matchers::parse_one(text) {
            Ok(parsed) => Ok(parsed.value),
            Err(error) => Err(ApiError::refused(error.to_string())),
        };
        self.all(name).map(parse).collect()
    }

    /// `receiver_matchers`, whose errors name it.
    pub(super) fn receiver_matchers(&self) -> Result<Vec<Matcher>, ApiError> {
        let parse = |text| match matchers::parse_one(text) {
            Ok(parsed) => Ok(parsed.value),
            Err(error) => Err(ApiError::refused(format!("failed to parse receiver_matchers param: {error}"))),
        };
        self.all("receiver_matchers").map(parse).collect()
    }

    /// What `/alerts` and `/alerts/groups` take.
    pub(super) fn alert_filter(&self) -> Result<AlertFilter, ApiError> {
        let matchers = self.matchers("filter")?;
        let receiver =
            self.all("receiver").last().filter(|text| !text.is_empty()).map(GoRegex::new).transpose();
        let receiver = receiver
            .map_err(|error| ApiError::refused(format!("failed to parse receiver param: {error}")))?;
        Ok(AlertFilter {
            active: self.flag("active"),
            silenced: self.flag("silenced"),
            inhibited: self.flag("inhibited"),
            muted: self.flag("muted"),
            matchers,
            receiver,
            receiver_matchers: self.receiver_matchers()?,
        })
    }

    /// The states of `/silences` that are wanted.
    pub(super) fn silence_states(&self) -> Vec<SilenceState> {
        [SilenceState::Active, SilenceState::Pending, SilenceState::Expired]
            .into_iter()
            .filter(|state| self.flag(state.as_str()))
            .collect()
    }
}

/// A silence's id, which must look like a UUID.
pub(super) fn silence_id(id: String) -> Result<String, ApiError> {
    let digits = id.bytes().filter(|b| *b != b'-').count();
    let dashes = |at: &[usize]| id.bytes().enumerate().all(|(i, b)| (b == b'-') == at.contains(&i));
    let hex = id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    if digits == 32 && hex && (dashes(&[8, 13, 18, 23]) || dashes(&[])) {
        return Ok(id);
    }
    let quoted = novaobs_model::labels::go_quote(&id);
    Err(ApiError::unprocessable(601, format!("silenceID in path must be of type uuid: {quoted}")))
}
