// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text to tokens.
//!
//! Guarantees: every input becomes a row of tokens, whose spans do not overlap and lie on character boundaries;
//! what no token starts with becomes [`Token::Unknown`]. Line breaks are tokens, because they end statements;
//! comments (`;`, `#` and `//` to the end of the line, `/* */` across lines) are not.

use logos::{Filter, Lexer, Logos};

use crate::diagnostics::Span;

/// A token of the assembler's language.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
#[logos(skip(r"[ \t\r\x0b\x0c\u{feff}]+"))]
#[logos(skip(r"(?:;|//)[^\n]*", allow_greedy = true))]
pub(crate) enum Token {
    #[token("\n")]
    Newline,
    /// Name, register, mnemonic or, with a leading dot, directive.
    #[regex(r"[A-Za-z_.$][A-Za-z0-9_.$]*")]
    Ident,
    /// `name#number`, as the kernel's log writes a call.
    #[regex(r"[A-Za-z_][A-Za-z0-9_.$]*#-?[0-9]+")]
    Numbered,
    /// `%r1`, as GNU as writes a register.
    #[regex(r"%[A-Za-z][A-Za-z0-9]*")]
    Percented,
    /// A number in any base, or a reference to a local label (`1f`).
    #[regex(r"[0-9][A-Za-z0-9_]*")]
    Number,
    #[regex(r#""(?:[^"\\\n]|\\[^\n])*""#)]
    Str,
    #[regex(r"'(?:[^'\\\n]|\\[^\n])[^'\n]*'")]
    Char,
    /// A string or character without its end.
    #[regex(r#"["']"#)]
    OpenQuote,
    /// `#define` at the start of a constant; any other `#` starts a comment.
    #[token("#", define)]
    Define,
    /// `/*` without `*/`.
    #[token("/*", block_comment)]
    OpenComment,
    #[token(",")]
    Comma,
    #[token(":")]
    Colon,
    #[token("(")]
    LParen,
    #[token(")")]
    RParen,
    #[token("[")]
    LBracket,
    #[token("]")]
    RBracket,
    #[token("{")]
    LBrace,
    #[token("}")]
    RBrace,
    #[token("=")]
    Eq,
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("<<")]
    Shl,
    #[token(">>")]
    Shr,
    #[token("&")]
    Amp,
    #[token("|")]
    Pipe,
    #[token("^")]
    Caret,
    #[token("~")]
    Tilde,
    #[token("==")]
    EqEq,
    #[token("!=")]
    Ne,
    #[token("<")]
    Lt,
    #[token("<=")]
    Le,
    #[token(">")]
    Gt,
    #[token(">=")]
    Ge,
    #[token("+=")]
    PlusEq,
    #[token("-=")]
    MinusEq,
    #[token("*=")]
    StarEq,
    #[token("/=")]
    SlashEq,
    #[token("%=")]
    PercentEq,
    #[token("&=")]
    AmpEq,
    #[token("|=")]
    PipeEq,
    #[token("^=")]
    CaretEq,
    #[token("<<=")]
    ShlEq,
    #[token(">>=")]
    ShrEq,
    /// Anything else.
    Unknown,
    /// The end of the source, also given for every look beyond it.
    End,
}

/// Skips a `#` comment, or takes `#define`.
fn define(lexer: &mut Lexer<'_, Token>) -> Filter<()> {
    let rest = lexer.remainder();
    if let Some(after) = rest.strip_prefix("define")
        && after.starts_with([' ', '\t'])
    {
        lexer.bump("define".len());
        return Filter::Emit(());
    }
    lexer.bump(rest.find('\n').unwrap_or(rest.len()));
    Filter::Skip
}

fn block_comment(lexer: &mut Lexer<'_, Token>) -> Filter<()> {
    let rest = lexer.remainder();
    match rest.find("*/") {
        Some(end) => {
            lexer.bump(end + 2);
            Filter::Skip
        }
        None => {
            lexer.bump(rest.len());
            Filter::Emit(())
        }
    }
}

/// All tokens of a source with their places.
pub(crate) fn tokens(source: &str) -> Vec<(Token, Span)> {
    let mut list: Vec<(Token, Span)> = Vec::with_capacity(source.len() / 3);
    for (token, span) in Token::lexer(source).spanned() {
        let token = token.unwrap_or(Token::Unknown);
        match list.last_mut() {
            // One report for a run of strange characters.
            Some((Token::Unknown, last)) if token == Token::Unknown && last.end == span.start => {
                last.end = span.end;
            }
            _ => list.push((token, span)),
        }
    }
    list.push((Token::End, source.len()..source.len()));
    list
}

impl Token {
    /// Whether a statement ends here.
    pub(crate) fn ends_statement(self) -> bool {
        matches!(self, Token::Newline | Token::End)
    }
}
