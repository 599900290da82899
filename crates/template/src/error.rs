//! Why a template does not parse or does not render, in the words of Go's `text/template`.

use novaobs_model::labels::go_quote;

/// A text that is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {file}:{line}: {message}")]
pub struct ParseError {
    /// The name the text was parsed under.
    pub file: String,
    /// Line of the error, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(file: &str, line: usize, message: impl std::fmt::Display) -> Self {
        ParseError { file: file.to_owned(), line, message: message.to_string() }
    }
}

/// A template that failed while rendering.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(String);

impl ExecError {
    /// An error of the template as a whole.
    pub(crate) fn whole(name: &str, message: impl std::fmt::Display) -> Self {
        ExecError(format!("template: {name}: {message}"))
    }

    /// An error at a place: `context` is the printed form of what stood there.
    pub(crate) fn at(tree: &crate::ast::Tree, pos: usize, context: &str, message: &str) -> Self {
        let before = tree.source.get(..pos).unwrap_or("");
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let column = pos - before.rfind('\n').map_or(0, |at| at + 1);
        let name = go_quote(&tree.name);
        ExecError(format!(
            "template: {}:{line}:{column}: executing {name} at <{context}>: {message}",
            tree.file
        ))
    }
}

/// Why [`crate::Template::render`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The text does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It failed while rendering.
    #[error(transparent)]
    Exec(#[from] ExecError),
}
