// SPDX-License-Identifier: MIT OR Apache-2.0
//! Located errors: collected while the whole source is read, shown together.
//!
//! Guarantees: at most [`Diagnostics::LIMIT`] errors are looked for, each span lies on character boundaries of the
//! source, and rendering shows at most one line of source for each label, cut to a window where the line is very long.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

/// Bytes of the source.
pub type Span = Range<usize>;

/// One error: where it is, what is wrong there, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Bytes of the source that the error is about.
    pub span: Span,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Shown at the caret: mostly what was expected there.
    pub label: String,
    /// A second place that explains the error, such as a first definition.
    pub related: Option<(Span, String)>,
    /// How to put it right, where that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a label.
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { span, message: message.into(), label: String::new(), related: None, help: None }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }

    /// Adds "did you mean" where a known name is near to the one found.
    pub(crate) fn suggest<'n>(self, found: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        match nearest(found, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// The known name that is nearest to `found`, if it is near enough for a slip of the pen. Bounded, because a
/// distance costs the product of both lengths, and a source may have a million names.
fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    const MOST: usize = 4096;
    if found.len() > LONGEST {
        return None;
    }
    skep_uapi::suggest(found, known.into_iter().take(MOST).filter(|name| name.len() <= LONGEST))
}

/// All errors of a source, in the order of their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Errors after which no more are looked for.
    pub const LIMIT: usize = 100;

    /// The errors, by place.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Whether the source may have more errors than those listed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.list.len() >= Self::LIMIT
    }

    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.list.push(diagnostic);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|d| (d.span.start, d.span.end));
    }

    /// All errors as text for a terminal, each with its source line and a caret. `source` is the text that was
    /// assembled; ANSI colours only with `color`.
    #[must_use]
    pub fn render(&self, source_name: &str, source: &str, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in &self.list {
            let mut group = Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
            let main = Excerpt::of(source, &diagnostic.span);
            let related = diagnostic.related.as_ref().map(|(span, label)| (Excerpt::of(source, span), label));
            let mut snippet = main
                .snippet(source_name)
                .annotation(main.annotate(AnnotationKind::Primary, &diagnostic.label));
            match &related {
                Some((other, label)) if other.line == main.line && other.start == main.start => {
                    snippet = snippet.annotation(other.annotate(AnnotationKind::Context, label));
                    group = group.element(snippet);
                }
                Some((other, label)) => {
                    let second = other.snippet(source_name);
                    group = group
                        .element(snippet)
                        .element(second.annotation(other.annotate(AnnotationKind::Context, label)));
                }
                None => group = group.element(snippet),
            }
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let s = if self.list.len() == 1 { "" } else { "s" };
        let more = if self.is_full() { "; there may be more" } else { "" };
        out.push_str(&format!("{} error{s}{more}\n", self.list.len()));
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.first() {
            Some(first) => write!(f, "{}", first.message)?,
            None => write!(f, "no error")?,
        }
        match self.list.len() {
            0 | 1 => Ok(()),
            n => write!(f, " (and {} more)", n - 1),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// The part of the source that a label is shown on: one line, or a window of a long one.
struct Excerpt<'s> {
    text: &'s str,
    /// Where `text` starts in the source.
    start: usize,
    /// Line number, from 1.
    line: usize,
    /// The span inside of `text`.
    span: Span,
}

impl<'s> Excerpt<'s> {
    /// Bytes shown on each side of the start of a span.
    const WINDOW: usize = 160;

    fn of(source: &'s str, span: &Span) -> Self {
        let at = floor_boundary(source, span.start.min(source.len()));
        let line_start = source[..at].rfind('\n').map_or(0, |i| i + 1);
        let line_end = at + source[at..].lines().next().map_or(0, str::len);
        let start = floor_boundary(source, line_start.max(at.saturating_sub(Self::WINDOW)));
        let end = floor_boundary(source, line_end.min(at + Self::WINDOW)).max(at);
        let to = floor_boundary(source, span.end.clamp(at, end));
        Excerpt {
            text: &source[start..end],
            start,
            line: source[..at].bytes().filter(|&b| b == b'\n').count() + 1,
            span: at - start..to - start,
        }
    }

    fn snippet<'a>(&'a self, name: &'a str) -> Snippet<'a, Annotation<'a>> {
        Snippet::source(self.text).line_start(self.line).path(name)
    }

    fn annotate<'a>(&'a self, kind: AnnotationKind, label: &'a str) -> Annotation<'a> {
        kind.span(self.span.clone()).label(if label.is_empty() { None } else { Some(label) })
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
