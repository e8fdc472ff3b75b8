// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text in HTML: between tags and in quoted attributes.

use std::borrow::Cow;

/// The text with the characters that mean something to HTML, and control characters, replaced.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let special =
        |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || (c.is_control() && c != '\n' && c != '\t');
    if !text.contains(special) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if special(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_html_is_left() {
        assert_eq!(
            escaped("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
        assert_eq!(escaped("a\u{0}b\u{1b}[1m\tc\n"), "a\u{fffd}b\u{fffd}[1m\tc\n");
        assert!(matches!(escaped("0: (b7) r0 = 0"), Cow::Borrowed(_)));
    }
}
