//! LogQL text to [tree](ast) and back.
//!
//! Text -> words -> recursive descent -> [`Expr`], with what can be checked without data checked. Errors say
//! what the peer (Loki 3.7) says, at the same line and column. Printing an expression gives the peer's
//! one-line form, [`pretty`] its broken-up one. `| distinct a, b` is an extension; `variants` is left out, as
//! it is from Loki's main line, and its words are labels.
//!
//! ```
//! use novaobs_logql_parser::{parse, pretty};
//! let expr = parse(r#"sum(rate({app="x"} |= "error" [5m])) by (level)"#)?;
//! assert_eq!(expr.to_string(), r#"sum by (level)(rate({app="x"} |= "error"[5m]))"#);
//! assert_eq!(pretty(&expr), expr.to_string());
//! let error = parse(r#"{app="x"} |= error"#).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "parse error at line 1, col 14: syntax error: unexpected IDENTIFIER, expecting STRING or ip",
//! );
//! # Ok::<(), novaobs_logql_parser::ParseError>(())
//! ```

pub mod ast;
mod check;
mod error;
mod lexer;
mod literal;
mod names;
mod parser;
mod pretty;
mod printer;
mod raw_regex;
mod token;
mod visit;

pub use ast::*;
pub use error::{ParseError, Position};
pub use pretty::pretty;
pub use visit::{log_exprs, max_lookback, max_window, ranges, selectors};

use novaobs_model::Matcher;

/// Texts of this many bytes and more are refused.
pub const MAX_INPUT: usize = 131_072;

fn check_size(text: &str) -> Result<(), ParseError> {
    if text.len() < MAX_INPUT {
        return Ok(());
    }
    Err(ParseError::general(format_args!("input size too long ({} > {MAX_INPUT})", text.len())))
}

/// Parses an expression and checks what can be checked without data.
///
/// # Errors
/// [`ParseError`].
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    check_size(text)?;
    let expr = parser::expression(text)?;
    match expr.error {
        None => Ok(expr.node),
        Some(error) => Err(ParseError::general(error)),
    }
}

/// Parses an expression that gives lines: what can be tailed.
///
/// # Errors
/// [`ParseError`], also for expressions that give samples.
pub fn parse_log(text: &str) -> Result<LogExpr, ParseError> {
    match parse(text)? {
        Expr::Log(log) => Ok(log),
        Expr::Sample(_) => Err(ParseError::bare("only log selector is supported")),
    }
}

/// Parses an expression that gives samples: what rules evaluate.
///
/// # Errors
/// [`ParseError`], also for expressions that give lines.
pub fn parse_sample(text: &str) -> Result<SampleExpr, ParseError> {
    match parse(text)? {
        Expr::Sample(sample) => Ok(sample),
        Expr::Log(_) => Err(ParseError::bare("only sample expression supported")),
    }
}

/// Parses a selector without a pipeline, as series, volume, deletes and retention take them. `{}` has no
/// matchers and selects everything: whether that is allowed is the caller's to say; a selector with matchers
/// must have one that no empty value passes.
///
/// # Errors
/// [`ParseError`], also for other expressions.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    check_size(text)?;
    let expr = parser::expression(text)?;
    match (expr.node, expr.error) {
        (Expr::Log(log), _) if !log.stages.is_empty() => {
            Err(ParseError::bare("only label matchers are supported"))
        }
        (Expr::Sample(_), _) => Err(ParseError::bare("only label matchers are supported")),
        (Expr::Log(log), Some(error)) if !log.matchers.is_empty() => Err(ParseError::general(error)),
        (Expr::Log(log), _) => Ok(log.matchers),
    }
}
