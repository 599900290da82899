//! Renders a template: walks its tree over data, within bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::ast::{Command, Node, Operand, OperandKind, Pipe, Pos, Tree};
use crate::builtins::{self, Builtin};
use crate::error::ExecError;
use crate::function::{Function, Functions, Param};
use crate::value::Value;
use crate::{Limits, MissingKey};

/// Actions, templates and parentheses open at once. One level takes some kilobytes of the thread's stack.
const MAX_DEPTH: usize = 300;
/// Steps between looks at the clock.
const STEPS_PER_CHECK: u64 = 1024;

/// Everything an execution reads.
pub(crate) struct Program<'a> {
    pub trees: &'a BTreeMap<String, Arc<Tree>>,
    /// Trees of the text being rendered; they win.
    pub overlay: &'a BTreeMap<String, Arc<Tree>>,
    pub functions: &'a Functions,
    pub missing_key: MissingKey,
    pub limits: Limits,
}

impl Program<'_> {
    fn tree(&self, name: &str) -> Option<&Arc<Tree>> {
        self.overlay.get(name).or_else(|| self.trees.get(name))
    }
}

/// Renders the template `name`.
pub(crate) fn execute(program: &Program<'_>, name: &str, data: &Value) -> Result<String, ExecError> {
    let Some(tree) = program.tree(name) else {
        let quoted = novaobs_model::labels::go_quote(name);
        return Err(ExecError::whole(name, format_args!("{quoted} is an incomplete or empty template")));
    };
    let mut run = Run { out: String::new(), steps: 0, bytes: 0, depth: 0, program };
    let mut frame = Frame { tree, variables: vec![("$", data.clone())] };
    run.body(&mut frame, data, &tree.root)?;
    Ok(run.out)
}

/// One execution.
struct Run<'p> {
    program: &'p Program<'p>,
    out: String,
    steps: u64,
    /// Bytes of text that functions made so far.
    bytes: usize,
    depth: usize,
}

/// One template being executed, with its variables.
struct Frame<'t> {
    tree: &'t Tree,
    variables: Vec<(&'t str, Value)>,
}

/// How a body ended.
enum Flow {
    Done,
    Break,
    Continue,
}

type Result2<T> = Result<T, ExecError>;

/// What goes before the arguments of a call: the place and printed form for errors.
struct Site<'t> {
    pos: Pos,
    context: &'t dyn std::fmt::Display,
    /// The function alone: what errors about the arguments are said to be at.
    callee: &'t dyn std::fmt::Display,
}

impl<'p> Run<'p> {
    fn fail<T>(
        &self,
        frame: &Frame<'_>,
        pos: Pos,
        context: &dyn std::fmt::Display,
        message: &str,
    ) -> Result2<T> {
        Err(ExecError::at(frame.tree, pos, &context.to_string(), message))
    }

    /// Counts one step of work.
    fn step(&mut self, frame: &Frame<'_>, pos: Pos) -> Result2<()> {
        self.steps += 1;
        let limits = &self.program.limits;
        if self.steps > limits.steps {
            return self.fail(frame, pos, &"", "template takes too many steps");
        }
        let look = self.steps.is_multiple_of(STEPS_PER_CHECK);
        if look && limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return self.fail(frame, pos, &"", "template takes too long");
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame<'_>, pos: Pos, text: &str) -> Result2<()> {
        if self.out.len() + text.len() > self.program.limits.output_bytes {
            return self.fail(frame, pos, &"", "template output is too large");
        }
        self.out.push_str(text);
        Ok(())
    }

    fn deeper<T>(
        &mut self,
        frame: &mut Frame<'p>,
        pos: Pos,
        inner: impl FnOnce(&mut Self, &mut Frame<'p>) -> Result2<T>,
    ) -> Result2<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail(frame, pos, &"", &format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        self.depth += 1;
        let result = inner(self, frame);
        self.depth -= 1;
        result
    }

    fn body(&mut self, frame: &mut Frame<'p>, dot: &Value, body: &'p [Node]) -> Result2<Flow> {
        for node in body {
            match self.node(frame, dot, node)? {
                Flow::Done => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Done)
    }

    fn node(&mut self, frame: &mut Frame<'p>, dot: &Value, node: &'p Node) -> Result2<Flow> {
        match node {
            Node::Text(text) => {
                self.step(frame, 0)?;
                self.write(frame, 0, text)?;
            }
            Node::Action { pos, pipe } => {
                self.step(frame, *pos)?;
                let value = self.pipeline(frame, dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.write(frame, *pos, &crate::fmt::print_action(&value))?;
                }
            }
            Node::If { pos, pipe, then, otherwise } | Node::With { pos, pipe, then, otherwise } => {
                self.step(frame, *pos)?;
                let mark = frame.variables.len();
                let value = self.pipeline(frame, dot, pipe)?;
                let inner = if matches!(node, Node::With { .. }) { &value } else { dot };
                let flow = self.deeper(frame, *pos, |run, frame| match otherwise {
                    _ if value.truth() => run.body(frame, inner, then),
                    Some(otherwise) => run.body(frame, dot, otherwise),
                    None => Ok(Flow::Done),
                })?;
                frame.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Range { pos, pipe, body, otherwise } => {
                self.step(frame, *pos)?;
                let mark = frame.variables.len();
                let flow = self.deeper(frame, *pos, |run, frame| {
                    let value = run.pipeline(frame, dot, pipe)?;
                    if run.range(frame, *pos, pipe, &value, body)? {
                        return Ok(Flow::Done);
                    }
                    match otherwise {
                        Some(otherwise) => run.body(frame, dot, otherwise),
                        None => Ok(Flow::Done),
                    }
                })?;
                frame.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Template { pos, name, pipe } => {
                self.step(frame, *pos)?;
                self.call_template(frame, dot, *pos, name, pipe.as_ref())?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Done)
    }

    fn call_template(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        pos: Pos,
        name: &str,
        pipe: Option<&'p Pipe>,
    ) -> Result2<()> {
        let quoted = novaobs_model::labels::go_quote(name);
        let context = match pipe {
            Some(pipe) => format!("{{{{template {quoted} {pipe}}}}}"),
            None => format!("{{{{template {quoted}}}}}"),
        };
        let Some(tree) = self.program.tree(name) else {
            return self.fail(frame, pos, &context, &format!("template {quoted} not defined"));
        };
        if self.depth >= MAX_DEPTH {
            return self.fail(
                frame,
                pos,
                &context,
                &format!("exceeded maximum template depth ({MAX_DEPTH})"),
            );
        }
        let inner_dot = match pipe {
            Some(pipe) => self.pipeline(frame, dot, pipe)?,
            None => Value::Nil,
        };
        let mut inner = Frame { tree, variables: vec![("$", inner_dot.clone())] };
        self.depth += 1;
        self.body(&mut inner, &inner_dot, &tree.root)?;
        self.depth -= 1;
        Ok(())
    }

    /// Runs the body for each element; `false` when there was none.
    fn range(
        &mut self,
        frame: &mut Frame<'p>,
        pos: Pos,
        pipe: &'p Pipe,
        value: &Value,
        body: &'p [Node],
    ) -> Result2<bool> {
        let two = pipe.variables.len() > 1;
        let context = LastOperand(pipe);
        match value.plain() {
            Value::Nil => Ok(false),
            Value::Int(_) | Value::Duration(_) if two => {
                let message = format!(
                    "can't use {} to iterate over more than one variable",
                    crate::fmt::display(value)
                );
                self.fail(frame, context.pos(), &context, &message)
            }
            Value::Int(n) | Value::Duration(n) => {
                for i in 0..n {
                    if !self.iteration(frame, pos, pipe, Value::Nil, Value::Int(i), body)? {
                        break;
                    }
                }
                Ok(n > 0)
            }
            Value::List(list) => {
                for (i, item) in list.items.iter().enumerate() {
                    if !self.iteration(frame, pos, pipe, Value::Int(i as i64), item.clone(), body)? {
                        break;
                    }
                }
                Ok(!list.items.is_empty())
            }
            Value::Map(map) => {
                for (key, item) in map.entries.iter() {
                    if !self.iteration(frame, pos, pipe, Value::from(key.as_str()), item.clone(), body)? {
                        break;
                    }
                }
                Ok(!map.entries.is_empty())
            }
            other => {
                let message = format!("range can't iterate over {}", crate::fmt::display(&other));
                self.fail(frame, context.pos(), &context, &message)
            }
        }
    }

    /// One turn of a range; `false` after a `break`.
    fn iteration(
        &mut self,
        frame: &mut Frame<'p>,
        pos: Pos,
        pipe: &'p Pipe,
        index: Value,
        element: Value,
        body: &'p [Node],
    ) -> Result2<bool> {
        self.step(frame, pos)?;
        let mark = frame.variables.len();
        if let Some(last) = pipe.variables.last() {
            assign(frame, last, &element);
            if let [first, _] = pipe.variables.as_slice() {
                assign(frame, first, &index);
            }
        }
        let flow = self.body(frame, &element, body)?;
        frame.variables.truncate(mark);
        Ok(!matches!(flow, Flow::Break))
    }

    fn pipeline(&mut self, frame: &mut Frame<'p>, dot: &Value, pipe: &'p Pipe) -> Result2<Value> {
        let mut value: Option<Value> = None;
        for command in &pipe.commands {
            self.step(frame, command.pos)?;
            value = Some(self.command(frame, dot, command, value.take())?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                if !assign(frame, name, &value) {
                    let context = LastOperand(pipe);
                    return self.fail(frame, context.pos(), &context, &format!("undefined variable: {name}"));
                }
            } else {
                frame.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        command: &'p Command,
        last: Option<Value>,
    ) -> Result2<Value> {
        let Some((first, args)) = command.args.split_first() else { return Ok(Value::Nil) };
        match &first.kind {
            OperandKind::Field(names) => {
                let site = Site { pos: first.pos, context: first, callee: first };
                self.chain(frame, dot, dot.clone(), names, &site, args, last)
            }
            OperandKind::Variable(name, names) => {
                let value = variable(frame, name);
                if names.is_empty() {
                    self.not_a_function(frame, first, args, last.as_ref())?;
                    return Ok(value);
                }
                let site = Site { pos: first.pos, context: first, callee: first };
                self.chain(frame, dot, value, names, &site, args, last)
            }
            OperandKind::Chain(base, names) => {
                let value = self.chain_base(frame, dot, first, base)?;
                let site = Site { pos: first.pos, context: first, callee: first };
                self.chain(frame, dot, value, names, &site, args, last)
            }
            OperandKind::Identifier(name) => {
                let site = Site { pos: command.pos, context: command, callee: first };
                self.call_named(frame, dot, name, &site, args, last)
            }
            _ => {
                self.not_a_function(frame, first, args, last.as_ref())?;
                match &first.kind {
                    OperandKind::Pipe(pipe) => {
                        self.deeper(frame, first.pos, |run, frame| run.pipeline(frame, dot, pipe))
                    }
                    OperandKind::Nil => self.fail(frame, first.pos, first, "nil is not a command"),
                    OperandKind::Dot => Ok(dot.clone()),
                    _ => Ok(constant(first).unwrap_or_default()),
                }
            }
        }
    }

    fn not_a_function(
        &self,
        frame: &Frame<'_>,
        first: &Operand,
        args: &[Operand],
        last: Option<&Value>,
    ) -> Result2<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(frame, first.pos, first, &format!("can't give argument to non-function {first}"))
    }

    fn chain_base(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        chain: &'p Operand,
        base: &'p Operand,
    ) -> Result2<Value> {
        if matches!(base.kind, OperandKind::Nil) {
            return self.fail(
                frame,
                chain.pos,
                chain,
                &format!("indirection through explicit nil in {chain}"),
            );
        }
        self.argument(frame, dot, Param::Any, base)
    }

    /// `.A.B.C` on `receiver`; arguments go to the last one, which must be a method then.
    #[expect(clippy::too_many_arguments, reason = "the parts of one expression")]
    fn chain(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        receiver: Value,
        names: &'p [String],
        site: &Site<'_>,
        args: &'p [Operand],
        mut last: Option<Value>,
    ) -> Result2<Value> {
        let mut value = receiver;
        // A missing entry of a map of anything is an interface without value: to go on from it is an error.
        let mut empty_interface = false;
        for (i, name) in names.iter().enumerate() {
            let is_last = i + 1 == names.len();
            if empty_interface {
                return self.fail(
                    frame,
                    site.pos,
                    site.context,
                    &format!("nil pointer evaluating interface {{}}.{name}"),
                );
            }
            let (these, last) = if is_last { (args, last.take()) } else { (&[][..], None) };
            empty_interface = self.program.missing_key == MissingKey::Zero
                && matches!(value.plain(), Value::Map(map) if !map.of_strings && !map.entries.contains_key(name));
            value = self.field(frame, dot, value, name, site, these, last)?;
        }
        Ok(value)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one expression")]
    fn field(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        receiver: Value,
        name: &str,
        site: &Site<'_>,
        args: &'p [Operand],
        last: Option<Value>,
    ) -> Result2<Value> {
        let quoted = || novaobs_model::labels::go_quote(name);
        if let Value::Nil = receiver {
            if self.program.missing_key == MissingKey::Error {
                return self.fail(
                    frame,
                    site.pos,
                    site.context,
                    &format!("nil data; no entry for key {}", quoted()),
                );
            }
            return Ok(Value::Nil);
        }
        let method = match &receiver {
            Value::Object(object) => object.method(name),
            Value::Time(time) => crate::time::time_method(time, name),
            Value::Duration(nanos) => crate::time::duration_method(*nanos, name),
            _ => None,
        };
        if let Some(method) = method {
            return self.call(frame, dot, &method, name, site, args, last);
        }
        let has_args = !args.is_empty() || last.is_some();
        if let Value::Object(object) = &receiver
            && let Some(value) = object.field(name)
        {
            if has_args {
                let message = format!("{name} has arguments but cannot be invoked as function");
                return self.fail(frame, site.pos, site.context, &message);
            }
            return Ok(value);
        }
        let Value::Map(map) = receiver.plain() else {
            let message = format!("can't evaluate field {name} in type {}", receiver.type_name());
            return self.fail(frame, site.pos, site.context, &message);
        };
        if has_args {
            return self.fail(
                frame,
                site.pos,
                site.context,
                &format!("{name} is not a method but has arguments"),
            );
        }
        match (map.entries.get(name), self.program.missing_key) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::Zero) if map.of_strings => Ok(Value::from("")),
            (None, MissingKey::Error) => {
                self.fail(frame, site.pos, site.context, &format!("map has no entry for key {}", quoted()))
            }
            (None, _) => Ok(Value::Nil),
        }
    }

    fn call_named(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        name: &str,
        site: &Site<'_>,
        args: &'p [Operand],
        last: Option<Value>,
    ) -> Result2<Value> {
        if let Some(function) = self.program.functions.get(name) {
            return self.call(frame, dot, function, name, site, args, last);
        }
        match builtins::get(name) {
            Some(Builtin::Function(function)) => self.call(frame, dot, &function, name, site, args, last),
            Some(Builtin::And | Builtin::Or) => {
                if args.is_empty() && last.is_none() {
                    let message = format!("wrong number of args for {name}: want at least 1 got 0");
                    return self.fail(frame, site.pos, site.context, &message);
                }
                let stop_at = name == "or";
                let mut value = Value::Nil;
                for arg in args {
                    value = self.argument(frame, dot, Param::Any, arg)?;
                    if value.truth() == stop_at {
                        return Ok(value);
                    }
                }
                Ok(last.unwrap_or(value))
            }
            None => {
                let message = format!("{} is not a defined function", novaobs_model::labels::go_quote(name));
                self.fail(frame, site.pos, site.context, &message)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one call")]
    fn call(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        function: &Function,
        name: &str,
        site: &Site<'_>,
        args: &'p [Operand],
        last: Option<Value>,
    ) -> Result2<Value> {
        let count = args.len() + usize::from(last.is_some());
        let params = &function.params;
        let fixed = params.len() - usize::from(function.variadic);
        if function.variadic && count < fixed {
            let message =
                format!("wrong number of args for {name}: want at least {fixed} got {}", args.len());
            return self.fail(frame, site.pos, site.callee, &message);
        }
        if !function.variadic && count != fixed {
            let message = format!("wrong number of args for {name}: want {fixed} got {count}");
            return self.fail(frame, site.pos, site.callee, &message);
        }
        let param_at = |i: usize| params.get(i).or(params.last()).copied().unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(count);
        for (i, arg) in args.iter().enumerate() {
            values.push(self.argument(frame, dot, param_at(i), arg)?);
        }
        if let Some(last) = last {
            let param = param_at(args.len());
            let place = match args.last() {
                Some(arg) => Site { pos: arg.pos, context: arg, callee: arg },
                None => Site { pos: site.pos, context: site.callee, callee: site.callee },
            };
            values.push(self.checked(frame, &place, param, last)?);
        }
        let value = match (function.call)(&values) {
            Ok(value) => value,
            Err(message) => {
                return self.fail(frame, site.pos, site.context, &format!("error calling {name}: {message}"));
            }
        };
        if let Value::String(text) = &value {
            self.bytes = self.bytes.saturating_add(text.len());
            if self.bytes > self.program.limits.work_bytes {
                return self.fail(frame, site.pos, site.context, "template makes too much text");
            }
        }
        Ok(value)
    }

    /// A value as an argument of type `param`.
    fn checked(&self, frame: &Frame<'_>, site: &Site<'_>, param: Param, value: Value) -> Result2<Value> {
        if param.accepts(&value) {
            return Ok(value);
        }
        let expected = param.type_name();
        match value {
            Value::Nil if param.takes_nil() => Ok(Value::Nil),
            Value::Nil => {
                self.fail(frame, site.pos, site.context, &format!("invalid value; expected {expected}"))
            }
            value => {
                let message = format!("wrong type for value; expected {expected}; got {}", value.type_name());
                self.fail(frame, site.pos, site.context, &message)
            }
        }
    }

    /// An operand as an argument of type `param`.
    fn argument(
        &mut self,
        frame: &mut Frame<'p>,
        dot: &Value,
        param: Param,
        operand: &'p Operand,
    ) -> Result2<Value> {
        self.step(frame, operand.pos)?;
        let site = Site { pos: operand.pos, context: operand, callee: operand };
        let value = match &operand.kind {
            OperandKind::Nil if param.takes_nil() => return Ok(Value::Nil),
            OperandKind::Nil => {
                let message = format!("cannot assign nil to {}", param.type_name());
                return self.fail(frame, operand.pos, operand, &message);
            }
            OperandKind::Dot => dot.clone(),
            OperandKind::Field(names) => self.chain(frame, dot, dot.clone(), names, &site, &[], None)?,
            OperandKind::Variable(name, names) => {
                let value = variable(frame, name);
                self.chain(frame, dot, value, names, &site, &[], None)?
            }
            OperandKind::Pipe(pipe) => {
                self.deeper(frame, operand.pos, |run, frame| run.pipeline(frame, dot, pipe))?
            }
            OperandKind::Identifier(name) => self.call_named(frame, dot, name, &site, &[], None)?,
            OperandKind::Chain(base, names) => {
                let value = self.chain_base(frame, dot, operand, base)?;
                self.chain(frame, dot, value, names, &site, &[], None)?
            }
            _ => return self.constant_argument(frame, param, operand),
        };
        self.checked(frame, &site, param, value)
    }

    fn constant_argument(&self, frame: &Frame<'_>, param: Param, operand: &Operand) -> Result2<Value> {
        let (value, wanted) = match (param, &operand.kind) {
            (Param::Any, _) => (constant(operand), "constant"),
            (Param::String, OperandKind::String { text, .. }) => {
                (Some(Value::String(text.clone())), "string")
            }
            (Param::String, _) => (None, "string"),
            (Param::Int, OperandKind::Number { number, .. }) => (number.int.map(Value::Int), "integer"),
            (Param::Duration, OperandKind::Number { number, .. }) => {
                (number.int.map(Value::Duration), "integer")
            }
            (Param::Int | Param::Duration, _) => (None, "integer"),
            (Param::Float, OperandKind::Number { number, .. }) => (number.float.map(Value::Float), "float"),
            (Param::Float, _) => (None, "float"),
            (Param::Time | Param::Strings | Param::List | Param::Named(_), _) => {
                let message = format!("can't handle {operand} for arg of type {}", param.type_name());
                return self.fail(frame, operand.pos, operand, &message);
            }
        };
        match value {
            Some(value) => Ok(value),
            None => self.fail(frame, operand.pos, operand, &format!("expected {wanted}; found {operand}")),
        }
    }
}

/// A constant under the type its form gives it.
fn constant(operand: &Operand) -> Option<Value> {
    Some(match &operand.kind {
        OperandKind::Bool(b) => Value::Bool(*b),
        OperandKind::String { text, .. } => Value::String(text.clone()),
        OperandKind::Number { number, .. } if number.is_float => Value::Float(number.float?),
        OperandKind::Number { number, .. } => Value::Int(number.int?),
        _ => return None,
    })
}

/// The innermost variable of that name; the parser has seen to it that there is one.
fn variable(frame: &Frame<'_>, name: &str) -> Value {
    frame.variables.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// Sets the innermost variable of that name; `false` when there is none.
fn assign(frame: &mut Frame<'_>, name: &str, value: &Value) -> bool {
    match frame.variables.iter_mut().rev().find(|(n, _)| *n == name) {
        Some(slot) => {
            slot.1 = value.clone();
            true
        }
        None => false,
    }
}

/// What an error about a pipeline's value is said to be at: the operand that was evaluated last.
struct LastOperand<'a>(&'a Pipe);

impl LastOperand<'_> {
    fn operand(&self) -> Option<&Operand> {
        self.0.commands.last().and_then(|command| command.args.last())
    }

    fn pos(&self) -> Pos {
        self.operand().map_or(self.0.pos, |operand| operand.pos)
    }
}

impl std::fmt::Display for LastOperand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.operand().map_or(Ok(()), |operand| write!(f, "{operand}"))
    }
}
