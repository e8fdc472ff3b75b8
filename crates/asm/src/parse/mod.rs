// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens to [`File`]: a recursive descent over statements, one statement a line.
//!
//! Guarantees: an error ends its statement and nothing else, so every statement is looked at and all errors are
//! found at once; work is linear in the source; nesting is bounded (see [`expr`]).

mod call;
pub(crate) use call::helper;
mod data;
mod directive;
mod expr;
mod gnu;
mod imm64;
mod listing;
mod map;
mod mnemonic;
mod operand;
mod pseudo_c;

use std::collections::{BTreeMap, HashMap};

use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::file::{Draft, File, Placed, ProgramSpec, Spanned, Symbol, Unit, UnitKind};
use crate::lexer::{self, Token};
use crate::{Dialect, Options};

/// A statement that could be read, or why not.
type Parsed<T> = Result<T, Box<Diagnostic>>;

/// Where statements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing said yet: code makes the program of [`Options`].
    Start,
    /// Into the last unit.
    Code,
    /// Into the data section that is the map with this index.
    Data(usize),
    /// Into the `license` section of a compiler.
    License,
    /// Nowhere: a section that no load needs.
    Skipped,
}

/// Reads a source.
pub(crate) fn parse(source: &str, options: &Options) -> (File, Diagnostics) {
    let mut parser = Parser {
        source,
        tokens: lexer::tokens(source),
        pos: 0,
        options,
        file: File::default(),
        diagnostics: Diagnostics::default(),
        constants: HashMap::new(),
        place: Place::Start,
        last_map: None,
        slots: 0,
        declared: gnu::Declared::default(),
        in_log: false,
        waiting: BTreeMap::new(),
        listed_wide: false,
    };
    parser.in_log = parser.is_log();
    while parser.peek() != Token::End && !parser.diagnostics.is_full() {
        parser.line();
    }
    parser.end_listing();
    (parser.file, parser.diagnostics)
}

struct Parser<'s> {
    source: &'s str,
    tokens: Vec<(Token, Span)>,
    pos: usize,
    options: &'s Options,
    file: File,
    diagnostics: Diagnostics,
    constants: HashMap<&'s str, Spanned<i128>>,
    place: Place,
    /// The map that `.entry` and `.slot` add to.
    last_map: Option<usize>,
    /// Slots of all units.
    slots: usize,
    declared: gnu::Declared<'s>,
    /// The source is a verifier log.
    in_log: bool,
    /// Instructions of a listing that others must come before.
    waiting: BTreeMap<usize, Placed>,
    /// The listing says that the statement is an `ld_imm64`, which the kernel writes without `ll`.
    listed_wide: bool,
}

/// Looking at and taking tokens.
impl<'s> Parser<'s> {
    fn peek(&self) -> Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Token {
        self.tokens.get(self.pos + ahead).map_or(Token::End, |(token, _)| *token)
    }

    fn span_at(&self, ahead: usize) -> Span {
        let last = self.tokens.len() - 1;
        self.tokens[(self.pos + ahead).min(last)].1.clone()
    }

    fn span(&self) -> Span {
        self.span_at(0)
    }

    fn text_at(&self, ahead: usize) -> &'s str {
        &self.source[self.span_at(ahead)]
    }

    fn text(&self) -> &'s str {
        self.text_at(0)
    }

    /// Whether the token after the current one touches it.
    fn touches_next(&self) -> bool {
        self.span().end == self.span_at(1).start
    }

    fn bump(&mut self) -> Span {
        let span = self.span();
        if self.pos + 1 < self.tokens.len() {
            self.pos += 1;
        }
        span
    }

    /// End of the last token taken.
    fn last_end(&self) -> usize {
        self.pos.checked_sub(1).map_or(0, |i| self.tokens[i].1.end)
    }

    fn eat(&mut self, token: Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.bump();
        }
        found
    }

    /// Takes an identifier with this text.
    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Token::Ident && self.text() == word;
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, token: Token, what: &str) -> Parsed<Span> {
        if self.peek() == token { Ok(self.bump()) } else { Err(self.unexpected(what)) }
    }

    fn ident(&mut self, what: &str) -> Parsed<Spanned<&'s str>> {
        let value = self.text();
        let span = self.expect(Token::Ident, what)?;
        Ok(Spanned { value, span })
    }

    /// The error for a token that does not fit here.
    fn unexpected(&self, expected: &str) -> Box<Diagnostic> {
        let token = self.peek();
        let message = match token {
            Token::Newline => "the line ends too early".to_owned(),
            Token::End => "the source ends too early".to_owned(),
            Token::OpenQuote => "the quote is never closed".to_owned(),
            Token::OpenComment => "the comment is never closed".to_owned(),
            Token::Unknown => format!("unexpected characters `{}`", clip(self.text())),
            _ => format!("unexpected `{}`", clip(self.text())),
        };
        let mut span = self.span();
        if token == Token::Newline {
            span.end = span.start;
        }
        let error = Diagnostic::new(span, message);
        Box::new(match token {
            Token::OpenQuote => {
                error.label("opened here").help("a string ends on the line that it starts on")
            }
            Token::OpenComment => error.label("opened here").help("close it with `*/`"),
            _ => error.label(format!("expected {expected}")),
        })
    }
}

/// Text of the source for a message: cut where it is long, and nothing in it that a terminal would obey.
fn clip(text: &str) -> String {
    const LONGEST: usize = 40;
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut clipped: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        clipped.push('…');
    }
    clipped
}

fn error<T>(diagnostic: Diagnostic) -> Parsed<T> {
    Err(Box::new(diagnostic))
}

/// Statements.
impl<'s> Parser<'s> {
    /// One line: labels, then at most one statement.
    fn line(&mut self) {
        if let Err(diagnostic) = self.statement() {
            self.diagnostics.push(*diagnostic);
        } else if !self.peek().ends_statement() {
            let diagnostic = self.unexpected("the end of the line");
            self.diagnostics.push(*diagnostic);
        }
        self.skip_line();
        self.eat(Token::Newline);
    }

    fn statement(&mut self) -> Parsed<()> {
        if self.skip_commentary() {
            return Ok(());
        }
        let listed = self.listing_prefix()?;
        if listed.is_none() {
            while self.peek_at(1) == Token::Colon && matches!(self.peek(), Token::Ident | Token::Number) {
                self.label()?;
            }
        }
        match self.peek() {
            Token::Newline | Token::End => Ok(()),
            Token::Define => self.define(),
            Token::Ident if self.text().starts_with('.') && self.text().len() > 1 => self.directive(),
            _ => {
                if let Some(listed) = listed {
                    return self.listed_instruction(&listed);
                }
                let start = self.span().start;
                let draft = self.instruction()?;
                self.place(start..self.last_end(), draft)
            }
        }
    }

    fn label(&mut self) -> Parsed<()> {
        let span = self.span();
        let name = self.text();
        if self.peek() == Token::Number {
            let Ok(number) = name.parse() else {
                return error(
                    Diagnostic::new(span, format!("`{}` is no label", clip(name)))
                        .label("expected a name or a decimal number"),
                );
            };
            let unit = self.unit(&span)?;
            let slot = unit.slots;
            unit.local_labels.entry(number).or_default().push(slot);
        } else if operand::register(name).is_some() {
            return error(
                Diagnostic::new(span, format!("`{name}` is a register"))
                    .label("expected the name of a label"),
            );
        } else if matches!(self.place, Place::License | Place::Skipped)
            || self.compiler_function(name, &span)?
        {
            // Nothing to define, or defined as a function.
        } else if let Place::Data(map) = self.place {
            let offset = self.data_len(map);
            self.define_symbol(name, span, Symbol::Data { map, offset })?;
        } else {
            let unit = self.unit(&span)?;
            let slot = unit.slots;
            if let Some(first) = unit.labels.get(name) {
                let first = first.span.clone();
                return error(
                    Diagnostic::new(span, format!("label `{name}` is defined twice"))
                        .related(first, "first defined here"),
                );
            }
            unit.labels.insert(name.to_owned(), Spanned { value: slot, span });
        }
        self.bump();
        self.bump();
        Ok(())
    }

    /// The unit that code goes to; makes the program of a source without directives.
    fn unit(&mut self, at: &Span) -> Parsed<&mut Unit> {
        match self.place {
            Place::Data(map) => {
                return error(
                    Diagnostic::new(at.clone(), format!("code in `{}`", self.file.maps[map].spec.name))
                        .label("expected data")
                        .help("a `.program` or `.func` directive starts code"),
                );
            }
            Place::Start => {
                let spec = ProgramSpec {
                    section: self.options.section.clone(),
                    prog_type: self.options.prog_type,
                    attach_type: self.options.attach_type,
                    ..ProgramSpec::default()
                };
                self.begin_unit(Unit::new(self.options.name.clone(), at.clone(), UnitKind::Program(spec)))?;
            }
            Place::License | Place::Skipped => {
                return error(
                    Diagnostic::new(at.clone(), "code in a section that holds no code")
                        .label("expected another section"),
                );
            }
            Place::Code if self.file.units.is_empty() => {
                return error(
                    Diagnostic::new(at.clone(), "code before the first function")
                        .label("expected a label that `.type NAME, @function` declares"),
                );
            }
            Place::Code => {}
        }
        let last = self.file.units.len() - 1;
        Ok(&mut self.file.units[last])
    }

    fn begin_unit(&mut self, unit: Unit) -> Parsed<()> {
        self.end_listing();
        let symbol = Symbol::Unit(self.file.units.len());
        self.define_symbol(&unit.name.clone(), unit.span.clone(), symbol)?;
        self.file.units.push(unit);
        self.place = Place::Code;
        Ok(())
    }

    fn define_symbol(&mut self, name: &str, span: Span, symbol: Symbol) -> Parsed<()> {
        if let Some(first) = self.file.symbols.get(name) {
            return error(
                Diagnostic::new(span, format!("`{name}` is defined twice"))
                    .related(first.span.clone(), "first defined here"),
            );
        }
        self.file.symbols.insert(name.to_owned(), Spanned { value: symbol, span });
        Ok(())
    }

    fn place(&mut self, span: Span, draft: Draft) -> Parsed<()> {
        let slots = draft.slots();
        let unit = self.unit(&span)?;
        let slot = unit.slots;
        unit.slots += slots;
        unit.code.push(Placed { slot, span: span.clone(), draft });
        self.slots += slots;
        if self.slots > crate::MAX_INSNS {
            // The rest would only repeat the error.
            self.pos = self.tokens.len() - 1;
            return error(
                Diagnostic::new(span, format!("more than {} instructions", crate::MAX_INSNS))
                    .label("the limit is passed here")
                    .help("the kernel takes no larger program"),
            );
        }
        Ok(())
    }

    /// An instruction in either dialect: the first tokens tell which.
    fn instruction(&mut self) -> Parsed<Draft> {
        match (self.dialect_here(), self.options.dialect) {
            (None, _) => self.common_instruction(),
            (Some(Dialect::PseudoC), None | Some(Dialect::PseudoC)) => self.pseudo_c(),
            (Some(Dialect::Mnemonic), None | Some(Dialect::Mnemonic)) => self.mnemonic(),
            (Some(found), Some(_)) => {
                let (is, wanted) = match found {
                    Dialect::PseudoC => ("pseudo-C", "a mnemonic"),
                    Dialect::Mnemonic => ("a mnemonic", "pseudo-C"),
                };
                error(
                    Diagnostic::new(
                        self.span(),
                        format!("this is {is}, but the dialect was set to {wanted}"),
                    )
                    .label(format!("expected {wanted}")),
                )
            }
        }
    }

    /// The dialect that the statement is written in; `None` for what both share.
    fn dialect_here(&self) -> Option<Dialect> {
        match self.peek() {
            Token::Star | Token::Percented => Some(Dialect::PseudoC),
            Token::Ident => match self.text() {
                "call" | "exit" | "may_goto" => None,
                "if" | "goto" | "gotol" | "store_release" => Some(Dialect::PseudoC),
                "lock" if self.peek_at(1) == Token::Star => Some(Dialect::PseudoC),
                word if operand::register(word).is_some() => Some(Dialect::PseudoC),
                _ => Some(Dialect::Mnemonic),
            },
            _ => Some(Dialect::PseudoC),
        }
    }
}
