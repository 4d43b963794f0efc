//! Foreign text without anything that a terminal would obey or that hides or reorders text.

/// The text with escapes in place of control characters, line ends and invisible characters.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}');
        if hidden {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_inert() {
        let hostile = "a\u{1b}[31mred\u{7}\u{202e}txt\u{200b}\u{e0041}\nü";
        assert_eq!(plain(hostile), "a\\u{1b}[31mred\\u{7}\\u{202e}txt\\u{200b}\\u{e0041}\\u{a}ü");
    }
}
