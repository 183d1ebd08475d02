//! The syntax of ceph.conf and of keyrings (`src/common/ConfUtils.cc`).
//!
//! Written by hand, for no ini crate reads it as Ceph does: a backslash joins lines and escapes,
//! `#` and `;` begin a comment anywhere outside an escape (and end the file as an error inside
//! quotes), and what Ceph refuses (text before the first section, a last line without its end)
//! must be refused, not read as something else.
//!
//! The functions below are named as the rules of Ceph's grammar and skip where its skipper does,
//! so that they can be compared line by line.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use zeroize::Zeroizing;

pub use file::FileError;
pub(crate) use file::{open, read_ini, read_text};

/// Why a text is not a ceph.conf or keyring, and on which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct IniError {
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong there.
    pub kind: IniErrorKind,
}

/// The ways in which a text can break the syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IniErrorKind {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A byte order mark, as Windows editors put it in front.
    #[error("a byte order mark stands in front: save the file without it")]
    ByteOrderMark,
    /// `[section` without its `]`.
    #[error("']' is missing")]
    UnclosedHeading,
    /// `[]`.
    #[error("a section needs a name")]
    EmptyHeading,
    /// A quoted value without its second quote, or with an unescaped `#`, `;` or end of line in it.
    #[error("the closing {0} is missing ('#' and ';' need a backslash, in quotes as well)")]
    UnclosedQuote(char),
    /// Text behind a closing quote or behind `]`.
    #[error("text follows where only a comment may")]
    TextAfterEnd,
    /// The last line has no line end, which Ceph does not accept.
    #[error("the last line must end in a newline")]
    NoNewlineAtEnd,
    /// A line that is neither a section, nor a setting, nor a comment; or a setting in front of
    /// the first section.
    #[error("neither `[section]` nor `key = value` below one")]
    NotASetting,
}

/// A value, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct IniValue {
    /// Unquoted, unescaped, without blanks at either end. May be a secret, hence wiped on drop.
    pub text: Zeroizing<String>,
    /// Its line, counted from 1.
    pub line: u32,
}

impl fmt::Debug for IniValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in line {}", self.text.len(), self.line)
    }
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The line of its first heading, counted from 1.
    pub line: u32,
    /// Its settings, by [normalized](normalize_key) key.
    pub settings: BTreeMap<String, IniValue>,
}

/// The sections of a file. Of two settings with the same key the later one holds, also when the
/// section was opened twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    sections: BTreeMap<String, Section>,
}

impl Ini {
    /// Reads a whole file's text.
    pub fn parse(text: &str) -> Result<Self, IniError> {
        Parser::new(text).conf_file()
    }

    /// Reads a file of at most [`MAX_CONFIG_LEN`](crate::limits::MAX_CONFIG_LEN) bytes.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let read_error = |source| FileError::Read { path: path.to_owned(), source };
        read_ini(open(path).map_err(read_error)?, path)
    }

    /// The value of `key` in that very section.
    pub fn get(&self, section: &str, key: &str) -> Option<&IniValue> {
        self.sections.get(section)?.settings.get(&*normalize_key(key))
    }

    /// All sections in the order of their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.sections.iter().map(|(name, section)| (name.as_str(), section))
    }

    fn section(&mut self, name: String, line: u32) -> &mut Section {
        let new = || Section { line, settings: BTreeMap::new() };
        self.sections.entry(name).or_insert_with(new)
    }
}

/// Blanks at the ends dropped, every run of blanks inside one underscore: `mon  host` is
/// `mon_host`. Case counts, and a dash stays a dash.
pub fn normalize_key(key: &str) -> String {
    key.split_ascii_whitespace().collect::<Vec<_>>().join("_")
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    /// Blanks with no comment behind them; without it a long run of blanks would be looked
    /// through again for each of them.
    plain_blanks: Range<usize>,
    /// A place and its line, from which the next line is counted.
    line_mark: (usize, u32),
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, pos: 0, plain_blanks: 0..0, line_mark: (0, 1) }
    }

    fn conf_file(mut self) -> Result<Ini, IniError> {
        if self.text.starts_with('\u{feff}') {
            return Err(self.error(IniErrorKind::ByteOrderMark));
        }
        let mut ini = Ini::default();
        // One setting and no section at all is the global one. Nobody knows why.
        if let Some((key, value)) = self.key_val()? {
            ini.section("global".to_owned(), 1).settings.insert(key, value);
        } else {
            self.eols();
            loop {
                self.skip();
                let line = self.line();
                let Some(name) = self.heading()? else { break };
                let section = ini.section(name, line);
                while let Some((key, value)) = self.setting_not_heading()? {
                    section.settings.insert(key, value);
                }
                self.eols();
            }
        }
        self.skip();
        if self.pos < self.text.len() {
            let only_blanks = self.text[self.pos..].trim_ascii().is_empty();
            return Err(self.error(match only_blanks && self.pos > 0 {
                true => IniErrorKind::NoNewlineAtEnd,
                false => IniErrorKind::NotASetting,
            }));
        }
        Ok(ini)
    }

    fn setting_not_heading(&mut self) -> Result<Option<(String, IniValue)>, IniError> {
        let start = self.pos;
        if self.heading()?.is_some() {
            self.pos = start;
            return Ok(None);
        }
        self.key_val()
    }

    fn heading(&mut self) -> Result<Option<String>, IniError> {
        self.skip();
        if !self.eat('[') {
            return Ok(None);
        }
        let mut name = String::new();
        loop {
            self.skip();
            if self.peek() == Some(']') {
                break;
            }
            match self.text_char() {
                Some(c) => name.push(c),
                None => return Err(self.error(IniErrorKind::UnclosedHeading)),
            }
        }
        if name.is_empty() {
            return Err(self.error(IniErrorKind::EmptyHeading));
        }
        self.eat(']');
        self.empty_lines()?;
        Ok(Some(name))
    }

    fn key_val(&mut self) -> Result<Option<(String, IniValue)>, IniError> {
        let start = self.pos;
        self.blanks();
        let key = self.key();
        self.blanks();
        self.skip();
        let Some(key) = key.filter(|_| self.eat('=')) else {
            self.pos = start;
            return Ok(None);
        };
        self.blanks();
        self.skip();
        let line = self.line();
        let text = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted_value(quote)?,
            _ => self.unquoted_value(),
        };
        self.empty_lines()?;
        Ok(Some((key, IniValue { text, line })))
    }

    /// Words between blanks, taken as they stand, escapes and all.
    fn key(&mut self) -> Option<String> {
        self.skip();
        let start = self.pos;
        if !self.key_word() {
            return None;
        }
        let mut end = self.pos;
        while self.key_blanks() && self.key_word() {
            end = self.pos;
        }
        self.pos = end;
        Some(normalize_key(&self.text[start..end]))
    }

    fn key_word(&mut self) -> bool {
        let mut found = false;
        loop {
            let before = self.pos;
            self.skip();
            if matches!(self.peek(), Some('=' | '[' | ' ')) {
                self.pos = before;
                return found;
            }
            if self.text_char().is_none() {
                return found;
            }
            found = true;
        }
    }

    fn key_blanks(&mut self) -> bool {
        let mut found = false;
        loop {
            self.skip();
            if !self.peek().is_some_and(is_blank) {
                return found;
            }
            self.pos += 1;
            found = true;
        }
    }

    fn quoted_value(&mut self, quote: char) -> Result<Zeroizing<String>, IniError> {
        self.eat(quote);
        let mut value = self.new_value();
        while self.peek() != Some(quote) {
            match self.text_char() {
                Some(c) => value.push(c),
                None => return Err(self.error(IniErrorKind::UnclosedQuote(quote))),
            }
        }
        self.eat(quote);
        Ok(trimmed(value))
    }

    fn unquoted_value(&mut self) -> Zeroizing<String> {
        let mut value = self.new_value();
        loop {
            self.skip();
            match self.text_char() {
                Some(c) => value.push(c),
                None => return trimmed(value),
            }
        }
    }

    /// Room for the rest of the line, so that no copies of a secret are left behind by growth.
    fn new_value(&self) -> Zeroizing<String> {
        let rest = &self.text[self.pos..];
        let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
        Zeroizing::new(String::with_capacity(line))
    }

    /// The end of this line, which must be there, and all empty and comment lines behind it.
    fn empty_lines(&mut self) -> Result<(), IniError> {
        if !self.empty_line() {
            return Err(self.error(match self.peek() {
                None => IniErrorKind::NoNewlineAtEnd,
                Some(_) => IniErrorKind::TextAfterEnd,
            }));
        }
        while self.empty_line() {}
        Ok(())
    }

    fn empty_line(&mut self) -> bool {
        self.skip();
        let start = self.pos;
        self.eat_blanks();
        let found = self.eat_eol();
        if !found {
            self.pos = start;
        }
        found
    }

    fn eols(&mut self) {
        self.skip();
        while self.eat_eol() {
            self.skip();
        }
    }

    fn blanks(&mut self) {
        self.skip();
        self.eat_blanks();
    }

    /// A character of a name or value: one behind a backslash, or any but `#`, `;`, line end.
    fn text_char(&mut self) -> Option<char> {
        let mut rest = self.text[self.pos..].chars();
        let c = match (rest.next()?, rest.next()) {
            ('\\', Some(escaped)) if !is_eol(escaped) => {
                self.pos += 1;
                escaped
            }
            ('#' | ';' | '\n' | '\r', _) => return None,
            (c, _) => c,
        };
        self.pos += c.len_utf8();
        Some(c)
    }

    /// Steps over joined lines and over comments with the blanks in front of them.
    fn skip(&mut self) {
        while self.skip_joint() || self.skip_comment() {}
    }

    fn skip_joint(&mut self) -> bool {
        let start = self.pos;
        if self.eat('\\') && self.eat_eol() {
            return true;
        }
        self.pos = start;
        false
    }

    fn skip_comment(&mut self) -> bool {
        let start = self.pos;
        if self.plain_blanks.contains(&start) {
            return false;
        }
        self.eat_blanks();
        if !self.eat('#') && !self.eat(';') {
            self.plain_blanks = start..self.pos;
            self.pos = start;
            return false;
        }
        let rest = &self.text[self.pos..];
        self.pos += rest.find(is_eol).unwrap_or(rest.len());
        true
    }

    fn peek(&self) -> Option<char> {
        self.text[self.pos..].chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.pos += c.len_utf8();
        }
        found
    }

    fn eat_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.pos += 1;
        }
    }

    fn eat_eol(&mut self) -> bool {
        let cr = self.eat('\r');
        self.eat('\n') || cr
    }

    fn line(&mut self) -> u32 {
        let (from, line) = self.line_mark;
        // Only a heading that was tried is gone back over, and no line is asked for in it.
        let passed = self.text.get(from..self.pos).unwrap_or_default();
        self.line_mark = (self.pos, line + line_ends(passed.as_bytes()));
        self.line_mark.1
    }

    fn error(&mut self, kind: IniErrorKind) -> IniError {
        IniError { line: self.line(), kind }
    }
}

/// Line ends in these bytes: `\n`, `\r\n` or `\r`.
fn line_ends(bytes: &[u8]) -> u32 {
    let lf_behind = bytes.iter().skip(1).chain(Some(&0)).map(|&b| b == b'\n');
    let ends = bytes.iter().zip(lf_behind);
    ends.filter(|&(&b, lf)| b == b'\n' || (b == b'\r' && !lf)).count() as u32
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn is_eol(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// Without the blanks at its ends, which quotes do not keep either.
fn trimmed(value: Zeroizing<String>) -> Zeroizing<String> {
    let trimmed = value.trim_ascii();
    if trimmed.len() == value.len() { value } else { Zeroizing::new(trimmed.to_owned()) }
}

#[cfg(test)]
mod tests;
