//! Lines of text of at most 80 columns.

/// Columns of the text.
const WIDTH: usize = 80;

/// A count and what is counted.
pub(crate) fn some(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A line `name: text`, its colon in the column of all others.
pub(crate) fn field(out: &mut String, name: &str, text: &str) {
    wrapped(out, &format!("{name:>8}: "), 10, text);
}

/// Breaks `text` between words; further lines are indented.
pub(crate) fn wrapped(out: &mut String, first: &str, indent: usize, text: &str) {
    out.push_str(first);
    let mut column = first.chars().count();
    let mut fresh = true;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if !fresh && column + 1 + len > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            (column, fresh) = (indent, true);
        }
        if !fresh {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
        fresh = false;
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let mut out = String::new();
        field(&mut out, "status", &"word ".repeat(40));
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')));
        assert_eq!(out.lines().count(), 3);
        assert!(out.lines().skip(1).all(|line| line.starts_with("          word")));
    }
}
