//! Tokens to syntax trees, with Go's error texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Command, Node, Number, Operand, OperandKind, Pipe, Tree, is_blank};
use crate::error::ParseError;
use crate::lex::{Kind, Lexer, Token};

/// Deeper nesting of actions or parentheses is refused: it would use up the stack of the thread.
const MAX_NESTING: usize = 100;

/// Parses `text`, the template `name`, into its tree and those it defines.
pub(crate) fn parse(
    name: &str,
    text: &str,
    is_function: &dyn Fn(&str) -> bool,
) -> std::result::Result<BTreeMap<String, Arc<Tree>>, ParseError> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        pushed_back: Vec::new(),
        last_line: 1,
        file: Arc::from(name),
        source: Arc::from(text),
        is_function,
        trees: BTreeMap::new(),
        scope: Scope::default(),
        nesting: 0,
    };
    parser.file_body(name)?;
    Ok(parser.trees)
}

/// What is known while parsing one template; a nested definition starts afresh.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
    /// Line of the `{{` of the current action.
    action_line: Option<usize>,
}

impl Default for Scope {
    fn default() -> Self {
        Scope { variables: vec!["$".to_owned()], ranges: 0, action_line: None }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Tokens given back, the next one last.
    pushed_back: Vec<Token>,
    /// Line of the token read last from the text: the line of errors.
    last_line: usize,
    file: Arc<str>,
    source: Arc<str>,
    is_function: &'a dyn Fn(&str) -> bool,
    trees: BTreeMap<String, Arc<Tree>>,
    scope: Scope,
    nesting: usize,
}

/// What ended a list of nodes.
enum End {
    End,
    /// An `else`; an `if` or `with` right after it waits to be read.
    Else,
}

impl End {
    fn describe(&self) -> &'static str {
        match self {
            End::End => "{{end}}",
            End::Else => "{{else}}",
        }
    }
}

/// One piece of a list.
enum Item {
    Node(Node),
    End(End),
}

type Result<T> = std::result::Result<T, ParseError>;

impl Parser<'_> {
    fn next(&mut self) -> Token {
        self.pushed_back.pop().unwrap_or_else(|| {
            let token = self.lexer.next_token();
            self.last_line = token.line;
            token
        })
    }

    fn back(&mut self, token: Token) {
        self.pushed_back.push(token);
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.back(token.clone());
        token
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.back(token.clone());
        token
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T> {
        Err(ParseError::new(&self.file, self.last_line, message))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        if token.kind != Kind::Error {
            return self.error(format_args!("unexpected {} in {context}", token.describe()));
        }
        let started = match self.scope.action_line {
            Some(line) if line != token.line => {
                let head = if token.text.ends_with(" action") { "" } else { " in action" };
                format!("{head} started at {}:{line}", self.file)
            }
            _ => String::new(),
        };
        self.error(format_args!("{}{started}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.nesting == MAX_NESTING {
            return self.error("max expression depth exceeded");
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn define(&mut self, name: String, root: Vec<Node>) -> Result<()> {
        if let Some(old) = self.trees.get(&name)
            && !is_blank(&old.root)
        {
            if is_blank(&root) {
                return Ok(());
            }
            let name = novaobs_model::labels::go_quote(&name);
            return self.error(format_args!("template: multiple definition of template {name}"));
        }
        let tree = Tree { name: name.clone(), file: self.file.clone(), source: self.source.clone(), root };
        self.trees.insert(name, Arc::new(tree));
        Ok(())
    }

    fn file_body(&mut self, name: &str) -> Result<()> {
        let mut root = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Eof => break,
                Kind::LeftDelim => {
                    let word = self.next_non_space();
                    if word.kind == Kind::Keyword && word.text == "define" {
                        self.definition()?;
                        continue;
                    }
                    self.back(word);
                    self.back(token);
                }
                _ => self.back(token),
            }
            match self.text_or_action()? {
                Item::Node(node) => root.push(node),
                Item::End(end) => return self.error(format_args!("unexpected {}", end.describe())),
            }
        }
        self.define(name.to_owned(), root)
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::take(&mut self.scope);
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.body_until_end(name, CONTEXT)?;
        self.scope = outer;
        Ok(())
    }

    fn body_until_end(&mut self, name: String, context: &str) -> Result<()> {
        let (root, end) = self.list()?;
        if let End::Else = end {
            return self.error(format_args!("unexpected {} in {context}", end.describe()));
        }
        self.define(name, root)
    }

    fn list(&mut self) -> Result<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::End(end) => return Ok((nodes, end)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(Arc::from(token.text)))),
            Kind::LeftDelim => {
                self.scope.action_line = Some(token.line);
                let item = self.nested(Self::action)?;
                self.scope.action_line = None;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let token = self.next_non_space();
        if token.kind == Kind::Keyword {
            let node = match token.text.as_str() {
                "block" => self.block()?,
                "break" | "continue" => self.loop_control(&token)?,
                "else" => {
                    let next = self.peek_non_space();
                    if !(next.kind == Kind::Keyword && matches!(next.text.as_str(), "if" | "with")) {
                        self.expect(Kind::RightDelim, "else")?;
                    }
                    return Ok(Item::End(End::Else));
                }
                "end" => {
                    self.expect(Kind::RightDelim, "end")?;
                    return Ok(Item::End(End::End));
                }
                "if" | "range" | "with" => self.control(&token.text)?,
                "template" => self.template_call()?,
                _ => {
                    self.back(token);
                    return self.command_action();
                }
            };
            return Ok(Item::Node(node));
        }
        self.back(token);
        self.command_action()
    }

    fn command_action(&mut self) -> Result<Item> {
        let pos = self.peek().pos;
        let pipe = self.pipeline("command", Kind::RightDelim)?;
        Ok(Item::Node(Node::Action { pos, pipe }))
    }

    fn loop_control(&mut self, token: &Token) -> Result<Node> {
        let end = self.next_non_space();
        if end.kind != Kind::RightDelim {
            return self.unexpected(&end, &format!("{{{{{}}}}}", token.text));
        }
        if self.scope.ranges == 0 {
            return self.error(format_args!("{{{{{}}}}} outside {{{{range}}}}", token.text));
        }
        Ok(if token.text == "break" { Node::Break } else { Node::Continue })
    }

    fn block(&mut self) -> Result<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::take(&mut self.scope);
        self.body_until_end(name.clone(), CONTEXT)?;
        self.scope = outer;
        Ok(Node::Template { pos: token.pos, name, pipe: Some(pipe) })
    }

    fn template_call(&mut self) -> Result<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let next = self.next_non_space();
        let pipe = if next.kind == Kind::RightDelim {
            None
        } else {
            self.back(next);
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template { pos: token.pos, name, pipe })
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<String> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(&token.text),
            _ => self.unexpected(token, context),
        }
    }

    fn unquote(&self, quoted: &str) -> Result<String> {
        match unquote(quoted) {
            Some(text) => Ok(text),
            None => self.error("invalid syntax"),
        }
    }

    /// `if`, `with` or `range`, its keyword already read.
    fn control(&mut self, keyword: &str) -> Result<Node> {
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(keyword, Kind::RightDelim)?;
        let is_range = keyword == "range";
        self.scope.ranges += usize::from(is_range);
        let (then, end) = self.list()?;
        self.scope.ranges -= usize::from(is_range);
        let otherwise = match end {
            End::End => None,
            End::Else => Some(self.else_branch(keyword)?),
        };
        self.scope.variables.truncate(variables);
        let pos = pipe.pos;
        Ok(match keyword {
            "if" => Node::If { pos, pipe, then, otherwise },
            "with" => Node::With { pos, pipe, then, otherwise },
            _ => Node::Range { pos, pipe, body: then, otherwise },
        })
    }

    fn else_branch(&mut self, keyword: &str) -> Result<Vec<Node>> {
        // `{{else if}}` is `{{else}}{{if}}` whose `{{end}}` is shared.
        let next = self.peek();
        if keyword != "range" && next.kind == Kind::Keyword && next.text == keyword {
            self.next();
            let node = self.nested(|parser| parser.control(keyword))?;
            return Ok(vec![node]);
        }
        let (nodes, end) = self.list()?;
        if let End::Else = end {
            return self.error(format_args!("expected end; found {}", end.describe()));
        }
        Ok(nodes)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let mut pipe = Pipe {
            pos: self.peek_non_space().pos,
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back(token);
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format_args!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            use OperandKind::{Bool, Dot, Nil, Number, String};
            if let Some(Operand { kind: Bool(_) | Dot | Nil | Number { .. } | String { .. }, .. }) =
                command.args.first()
            {
                return self.error(format_args!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =` or, in a range, `$i, $e :=` in front of a pipeline.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            let adjacent = self.next();
            let next = if adjacent.kind == Kind::Space { self.next_non_space() } else { adjacent.clone() };
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.variables.push(variable.text.clone());
                    self.scope.variables.push(variable.text);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    pipe.variables.push(variable.text.clone());
                    self.scope.variables.push(variable.text);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.error(format_args!("too many declarations in {context}"));
                    }
                    let after = self.peek_non_space();
                    if !matches!(after.kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.back(next);
                    if adjacent.kind == Kind::Space {
                        self.back(adjacent);
                    }
                    self.back(variable);
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command { pos: self.peek_non_space().pos, args: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.back(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if command.args.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text.trim_start_matches('.').to_owned());
        }
        match &mut operand.kind {
            OperandKind::Field(all) | OperandKind::Variable(_, all) => {
                all.extend(names);
                operand.pos = first.pos;
            }
            OperandKind::Identifier(_) | OperandKind::Pipe(_) | OperandKind::Chain(..) => {
                operand = Operand { pos: first.pos, kind: OperandKind::Chain(Box::new(operand), names) };
            }
            _ => {
                let term = novaobs_model::labels::go_quote(&operand.to_string());
                return self.error(format_args!("unexpected . after term {term}"));
            }
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.is_function)(&token.text) {
                    let name = novaobs_model::labels::go_quote(&token.text);
                    return self.error(format_args!("function {name} not defined"));
                }
                OperandKind::Identifier(token.text)
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.scope.variables.contains(&token.text) {
                    let name = novaobs_model::labels::go_quote(&token.text);
                    return self.error(format_args!("undefined variable {name}"));
                }
                OperandKind::Variable(token.text, Vec::new())
            }
            Kind::Field => OperandKind::Field(vec![token.text.trim_start_matches('.').to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::Number | Kind::CharConstant => match number(&token.text) {
                Ok(number) => OperandKind::Number { text: token.text, number },
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => {
                let pipe =
                    self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                return Ok(Some(Operand { pos: pipe.pos, kind: OperandKind::Pipe(Box::new(pipe)) }));
            }
            Kind::String | Kind::RawString => {
                let text = self.unquote(&token.text)?;
                OperandKind::String { quoted: token.text, text: Arc::from(text) }
            }
            _ => {
                self.back(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: token.pos, kind }))
    }
}

/// A numeric or character constant.
fn number(text: &str) -> std::result::Result<Number, String> {
    if text.starts_with('\'') {
        let inner = unquote(text).and_then(|inner| {
            let mut chars = inner.chars();
            chars.next().filter(|_| chars.next().is_none())
        });
        let Some(c) = inner else { return Err(format!("malformed character constant: {text}")) };
        let code = i64::from(c as u32);
        return Ok(Number { int: Some(code), float: Some(code as f64), is_float: false });
    }
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..).unwrap_or("")),
        Some("0o") => (8, lower.get(2..).unwrap_or("")),
        Some("0b") => (2, lower.get(2..).unwrap_or("")),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            (8, lower.as_str())
        }
        _ => (10, lower.as_str()),
    };
    let sign = if negative { -1 } else { 1 };
    let wide =
        i128::from_str_radix(body, radix).ok().filter(|_| !body.starts_with(['+', '-'])).map(|n| n * sign);
    if let Some(n) = wide {
        let Ok(int) = i64::try_from(n) else {
            return Err(format!("integer overflow: {}", novaobs_model::labels::go_quote(text)));
        };
        return Ok(Number { int: Some(int), float: Some(int as f64), is_float: false });
    }
    let float = if radix == 10 { lower.parse::<f64>().ok() } else { None };
    match float.filter(|f| f.is_finite() && lower.bytes().any(|b| b.is_ascii_digit())) {
        Some(magnitude) => {
            let float = if negative { -magnitude } else { magnitude };
            let whole = float.trunc() == float && float.abs() < 9.2e18;
            Ok(Number { int: whole.then_some(float as i64), float: Some(float), is_float: true })
        }
        None => Err(format!("illegal number syntax: {}", novaobs_model::labels::go_quote(text))),
    }
}

/// The text of a Go string or character literal.
fn unquote(quoted: &str) -> Option<String> {
    let quote = quoted.chars().next()?;
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let mut code = |n: usize, radix: u32, first: Option<char>| -> Option<u32> {
            let mut value = 0u32;
            let mut taken: Vec<char> = first.into_iter().collect();
            while taken.len() < n {
                taken.push(chars.next()?);
            }
            for c in taken {
                value = value.checked_mul(radix)?.checked_add(c.to_digit(radix)?)?;
            }
            Some(value)
        };
        let c = match escape {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            c if c == quote => c,
            'x' => {
                bytes.push(u8::try_from(code(2, 16, None)?).ok()?);
                continue;
            }
            '0'..='7' => {
                bytes.push(u8::try_from(code(3, 8, Some(escape))?).ok()?);
                continue;
            }
            'u' => char::from_u32(code(4, 16, None)?)?,
            'U' => char::from_u32(code(8, 16, None)?)?,
            _ => return None,
        };
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}
