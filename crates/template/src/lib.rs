//! Go templates as Prometheus and Alertmanager write them.
//!
//! Text -> [tokens](lex) -> [syntax tree](ast) -> [execution](exec) over a [`Value`], with the functions of
//! the caller's [`Functions`]: [`functions::prometheus`] for alert texts, [`functions::alertmanager`] for
//! notifications. Printing, error texts and type rules are those of Go's `text/template` and `fmt`, because
//! people's templates depend on them. Execution is bounded by [`Limits`]: a hostile template ends in an
//! error.
//!
//! An own engine rather than the crate `gotmpl`: that one has no methods, no types of parameters, other
//! number printing, other error texts and no bounds; all of these sit in its evaluator.
//!
//! ```
//! use novaobs_template::{Functions, Limits, MissingKey, Template, Value};
//! let template = Template::parse_all(
//!     Functions::new(),
//!     MissingKey::Zero,
//!     &[("greet.tmpl", r#"{{ define "hello" }}Hello {{ .name }}!{{ end }}"#)],
//! )?;
//! let data = Value::string_map([("name", "world")]);
//! assert_eq!(template.execute("hello", &data, &Limits::default())?, "Hello world!");
//! assert_eq!(template.render("", r#"{{ template "hello" . }} {{ len . }}"#, &data, &Limits::default())?, "Hello world! 1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ast;
mod builtins;
mod error;
pub mod escape;
mod exec;
pub mod fmt;
mod function;
pub mod functions;
pub mod json;
mod lex;
pub mod notification;
mod parse;
pub mod time;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

pub use error::{ExecError, ParseError, RenderError};
pub use function::{Function, Functions, Param};
pub use time::Time;
pub use value::{List, Map, Object, Value};

/// What a missing key of a map gives; Go's option `missingkey`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value, printed `<no value>`.
    #[default]
    Default,
    /// The zero value of the map's type: `""` in a map of strings.
    Zero,
    /// An error.
    Error,
}

/// How much an execution may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes, arguments and turns of loops.
    pub steps: u64,
    /// Bytes of the result.
    pub output_bytes: usize,
    /// Bytes of all texts that functions make on the way.
    pub work_bytes: usize,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    /// Far beyond any honest template (the default e-mail over 1,000 alerts takes 200,000 steps), and
    /// well under a second of work.
    fn default() -> Self {
        Limits { steps: 5_000_000, output_bytes: 16 << 20, work_bytes: 64 << 20, deadline: None }
    }
}

/// Parsed templates by name, with the functions they may call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    trees: Arc<BTreeMap<String, Arc<ast::Tree>>>,
    functions: Arc<Functions>,
    missing_key: MissingKey,
}

impl Template {
    /// No templates yet.
    pub fn new(functions: Functions, missing_key: MissingKey) -> Self {
        Template { trees: Arc::default(), functions: Arc::new(functions), missing_key }
    }

    /// Parses files given as (name, text), in order: what a later one defines replaces what an earlier
    /// one did, unless it is blank.
    ///
    /// # Errors
    /// The first [`ParseError`].
    pub fn parse_all(
        functions: Functions,
        missing_key: MissingKey,
        files: &[(&str, &str)],
    ) -> Result<Self, ParseError> {
        let mut template = Template::new(functions, missing_key);
        for (name, text) in files {
            template.add(name, text)?;
        }
        Ok(template)
    }

    /// Parses one more file.
    ///
    /// # Errors
    /// [`ParseError`]; then nothing has changed.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), ParseError> {
        let parsed = self.parse(name, text)?;
        let trees = Arc::make_mut(&mut self.trees);
        for (name, tree) in parsed {
            if ast::is_blank(&tree.root) && trees.contains_key(&name) {
                continue;
            }
            trees.insert(name, tree);
        }
        Ok(())
    }

    fn parse(&self, name: &str, text: &str) -> Result<BTreeMap<String, Arc<ast::Tree>>, ParseError> {
        let is_function = |name: &str| self.functions.get(name).is_some() || builtins::get(name).is_some();
        parse::parse(name, text, &is_function)
    }

    /// Parses `text` without keeping it: a check.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn check(&self, name: &str, text: &str) -> Result<(), ParseError> {
        self.parse(name, text).map(drop)
    }

    /// Whether there is a template of that name.
    pub fn defines(&self, name: &str) -> bool {
        self.trees.contains_key(name)
    }

    /// The fields of the dot that the template `name` names, each once.
    pub fn fields(&self, name: &str) -> Vec<String> {
        let mut names = Vec::new();
        if let Some(tree) = self.trees.get(name) {
            ast::named_fields(&tree.root, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The names of all templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }

    /// The same templates with other functions, for those that depend on the data.
    #[must_use]
    pub fn with_functions(&self, functions: Functions) -> Self {
        Template { functions: Arc::new(functions), ..self.clone() }
    }

    /// The functions.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Renders the template `name`.
    ///
    /// # Errors
    /// [`ExecError`].
    pub fn execute(&self, name: &str, data: &Value, limits: &Limits) -> Result<String, ExecError> {
        self.run(&BTreeMap::new(), name, data, limits)
    }

    /// Parses and renders `text` as the template `name`; it may call the templates of `self`, and what it
    /// defines holds only for it.
    ///
    /// # Errors
    /// [`RenderError`].
    pub fn render(
        &self,
        name: &str,
        text: &str,
        data: &Value,
        limits: &Limits,
    ) -> Result<String, RenderError> {
        let mut parsed = self.parse(name, text)?;
        parsed.retain(|defined, tree| {
            defined == name || !ast::is_blank(&tree.root) || !self.trees.contains_key(defined)
        });
        Ok(self.run(&parsed, name, data, limits)?)
    }

    fn run(
        &self,
        overlay: &BTreeMap<String, Arc<ast::Tree>>,
        name: &str,
        data: &Value,
        limits: &Limits,
    ) -> Result<String, ExecError> {
        let program = exec::Program {
            trees: &self.trees,
            overlay,
            functions: &self.functions,
            missing_key: self.missing_key,
            limits: *limits,
        };
        exec::execute(&program, name, data)
    }
}
