//! PromQL text to syntax tree and back, with positions.
//!
//! Text -> words -> Pratt parser -> [`ast::Expr`], type-checked; [`ast`] is what the engine, the rule
//! checker and the formatter read. Every node knows the byte range it came from, and every error says
//! what the peer (Prometheus 3.14) says, at the same line and column. Printing an expression gives the
//! peer's one-line form, [`format_query`] its broken-up one.
//!
//! ```
//! use novaobs_promql_parser::{ParseOptions, format_query, parse};
//! let expr = parse("sum(rate(http_requests_total[5m])) by (job)", ParseOptions::default())?;
//! assert_eq!(expr.to_string(), "sum by (job) (rate(http_requests_total[5m]))");
//! assert_eq!(format_query(&expr), expr.to_string());
//! let error = parse("rate(up)", ParseOptions::default()).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     r#"1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
//! );
//! # Ok::<(), novaobs_promql_parser::ParseError>(())
//! ```

pub mod ast;
mod check;
mod error;
pub mod functions;
mod lexer;
mod literal;
mod parser;
mod printer;
mod token;

pub use error::{ParseError, position};
pub use printer::format_query;

use novaobs_model::Matcher;

/// Which experimental parts of the language are on. The defaults are the peer's without
/// `--enable-feature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions marked experimental, `limitk` and `limit_ratio` (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// Arithmetic in brackets and after `offset`; on by default since 3.14.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right` (`promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions {
            experimental_functions: false,
            duration_expressions: true,
            extended_range_selectors: false,
            fill_modifiers: false,
        }
    }
}

impl ParseOptions {
    /// Everything on.
    pub fn all() -> Self {
        ParseOptions {
            experimental_functions: true,
            duration_expressions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
        }
    }
}

/// Parses and type-checks an expression.
///
/// # Errors
/// [`ParseError`]: the first fault, in the peer's words.
pub fn parse(text: &str, options: ParseOptions) -> Result<ast::Expr, ParseError> {
    let mut expr = parser::Parser::new(text, options).expression()?;
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// Parses a selector without modifiers, the form of the API's `match[]`. Selectors that may match the
/// empty label set are accepted: whether those are allowed differs between the callers.
///
/// # Errors
/// [`ParseError`].
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    parser::Parser::new(text, ParseOptions::default()).matchers()
}
