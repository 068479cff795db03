//! Words of packetdrill's language, and the comments that carry what only this interpreter reads.

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

/// One word of a script.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    Word(String),
    Integer(i64),
    /// A decimal fraction as it stands: times are parsed from its digits, so that nothing is rounded.
    Fraction(String),
    Text(String),
    Shell(String),
    Code(String),
    Ellipsis,
    Sign(char),
}

/// A word, and the line it begins on.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Lexeme {
    pub(super) line: usize,
    pub(super) token: Token,
}

/// A comment `// ostia: ...` or `// only: ...`: to packetdrill it is a comment, to this interpreter a setting.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Note {
    pub(super) line: usize,
    pub(super) words: Vec<String>,
}

/// The words and notes of a script, or the line that can't be read and why.
pub(super) fn lex(text: &str) -> Result<(Vec<Lexeme>, Vec<Note>), (usize, String)> {
    let mut lexer = Lexer { rest: text, line: 1, lexemes: vec![], notes: vec![] };
    while lexer.step()? {}
    Ok((lexer.lexemes, lexer.notes))
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    lexemes: Vec<Lexeme>,
    notes: Vec<Note>,
}

impl<'a> Lexer<'a> {
    /// Takes `length` bytes, counting lines.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes what stands between two marks; `None` if the second is missing.
    fn between(&mut self, open: &str, close: &str) -> Result<&'a str, (usize, String)> {
        let end = self.rest.get(open.len()..).and_then(|rest| rest.find(close));
        let Some(end) = end else {
            return Err((self.line, format!("{open} without {close}")));
        };
        let whole = self.take(open.len() + end + close.len());
        Ok(&whole[open.len()..open.len() + end])
    }

    fn step(&mut self) -> Result<bool, (usize, String)> {
        let spaces = self.rest.len() - self.rest.trim_start().len();
        self.take(spaces);
        let Some(first) = self.rest.chars().next() else {
            return Ok(false);
        };
        let line = self.line;
        if self.rest.starts_with("//") {
            let comment = self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            let comment = comment.trim_start_matches('/').trim();
            for name in ["ostia:", "only:"] {
                if let Some(words) = comment.strip_prefix(name) {
                    let mut words: Vec<String> = words.split_whitespace().map(String::from).collect();
                    if name == "only:" {
                        words.insert(0, "only".into());
                    }
                    self.notes.push(Note { line, words });
                }
            }
            return Ok(true);
        }
        if self.rest.starts_with("/*") {
            self.between("/*", "*/")?;
            return Ok(true);
        }
        let token = if self.rest.starts_with("%{") {
            Token::Code(self.between("%{", "}%")?.trim().into())
        } else if first == '`' {
            Token::Shell(self.between("`", "`")?.trim().into())
        } else if first == '"' {
            Token::Text(self.between("\"", "\"")?.into())
        } else if self.rest.starts_with("...") {
            self.take(3);
            Token::Ellipsis
        } else if let Some(token) = self.number()? {
            token
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            Token::Word(self.take(end).into())
        } else {
            self.take(first.len_utf8());
            Token::Sign(first)
        };
        self.lexemes.push(Lexeme { line, token });
        Ok(true)
    }

    /// A number, if the rest begins with one and no longer word does (`0x10`, `4a1`).
    fn number(&mut self) -> Result<Option<Token>, (usize, String)> {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let sign = usize::from(self.rest.starts_with('-'));
        let whole = sign + digits(&self.rest[sign..]);
        let after = &self.rest[whole..];
        let fraction = after.strip_prefix('.').map_or(0, digits);
        if fraction > 0 {
            return Ok(Some(Token::Fraction(self.take(whole + 1 + fraction).into())));
        }
        if whole == sign {
            return Ok(None);
        }
        if let Some(hex) = self.rest.strip_prefix("0x") {
            let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            let number = i64::from_str_radix(&hex[..length], 16);
            let number = number.map_err(|error| (self.line, format!("0x{}: {error}", &hex[..length])))?;
            self.take(2 + length);
            return Ok(Some(Token::Integer(number)));
        }
        if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Ok(None);
        }
        let text = self.take(whole);
        let number = text.parse().map_err(|error| (self.line, format!("{text}: {error}")))?;
        Ok(Some(Token::Integer(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text).expect("it can be read").0.into_iter().map(|lexeme| lexeme.token).collect()
    }

    #[test]
    fn fractions_and_ellipses_that_touch_are_told_apart() {
        let expected = [Token::Sign('+'), Token::Fraction(".1".into()), Token::Ellipsis, Token::Fraction("0.200".into())];
        assert_eq!(tokens("+.1...0.200"), expected);
        assert_eq!(tokens("0...0.1"), [Token::Integer(0), Token::Ellipsis, Token::Fraction("0.1".into())]);
    }

    #[test]
    fn numbers_are_decimal_hexadecimal_negative_or_part_of_a_word() {
        let expected = [Token::Integer(-1), Token::Integer(255), Token::Word("4aff".into()), Token::Word("type_3".into())];
        assert_eq!(tokens("-1 0xff 4aff type_3"), expected);
        assert_eq!(tokens("-"), [Token::Sign('-')]);
    }

    #[test]
    fn comments_vanish_but_for_notes() {
        let (lexemes, notes) = lex("// prose\n// only: ipv4\n/* two\nlines */ a // ostia: corrupt checksum\n").expect("fine");
        assert_eq!(lexemes, [Lexeme { line: 4, token: Token::Word("a".into()) }]);
        let words: Vec<(usize, String)> = notes.iter().map(|note| (note.line, note.words.join(" "))).collect();
        assert_eq!(words, [(2, "only ipv4".into()), (4, "corrupt checksum".into())]);
    }

    #[test]
    fn what_is_not_closed_is_an_error_with_its_line() {
        assert_eq!(lex("a\n`b").expect_err("not closed").0, 2);
        assert_eq!(lex("%{ assert").expect_err("not closed").0, 1);
    }
}
