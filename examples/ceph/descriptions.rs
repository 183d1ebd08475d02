//! Commands as a daemon describes them, and how words become one (`ceph_argparse.py`).
//!
//! A signature is a row of literal words and parameters. Each daemon has its own: what it answers to
//! `get_command_descriptions`.

use std::collections::VecDeque;
use std::fmt;

use serde_json::{Map, Value};

use super::params::{Kind, Param};

/// Of the flags in `src/mon/MonCommand.h` those that matter here.
const FLAG_OBSOLETE: u64 = 1 << 1;
const FLAG_DEPRECATED: u64 = 1 << 2;
const FLAG_MGR: u64 = 1 << 3;
const FLAG_HIDDEN: u64 = 1 << 5;

/// As many as are shown where nothing fits.
const MAX_HINTS: usize = 10;

/// A command whose words fit.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) args: Map<String, Value>,
    /// It is one of the manager's, not the monitors'.
    pub(crate) for_mgr: bool,
}

/// What a daemon can do.
#[derive(Debug)]
pub(crate) struct Descriptions(Vec<Description>);

#[derive(Debug)]
struct Description {
    sig: Vec<Param>,
    help: String,
    flags: u64,
}

/// How far the words went along a signature.
struct Attempt {
    /// Twice the number of literals and required parameters that fit, and one more unless the last
    /// of them was only the beginning of a literal.
    score: usize,
    result: Result<Map<String, Value>, Mismatch>,
}

enum Mismatch {
    /// Another command, or not all of this one.
    Literal,
    Missing(String),
    /// Also why an optional parameter did not take a word that no other took either.
    Unused(String, Option<String>),
    Invalid(String),
}

impl Descriptions {
    pub(crate) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let all: Map<String, Value> = serde_json::from_slice(json)?;
        let all = all.values().map(|description| Description {
            sig: description["sig"].as_array().into_iter().flatten().map(Param::parse).collect(),
            help: description["help"].as_str().unwrap_or_default().to_owned(),
            flags: description["flags"].as_u64().unwrap_or(0),
        });
        Ok(Self(all.filter(|description| description.flags & FLAG_OBSOLETE == 0).collect()))
    }

    /// The command that the words are; otherwise a text that says what they should have been.
    pub(crate) fn match_words(&self, words: &[String]) -> Result<Matched, String> {
        let mut best = Vec::new();
        let mut best_score = 0;
        for description in &self.0 {
            let attempt = description.attempt(words);
            if attempt.score > best_score {
                best_score = attempt.score;
                best.clear();
            }
            if attempt.score == best_score {
                best.push((description, attempt.result));
            }
        }
        let alone = best.len() == 1;
        let hints: Vec<_> = best
            .iter()
            .filter(|(description, _)| description.flags & (FLAG_DEPRECATED | FLAG_HIDDEN) == 0)
            .map(|(description, _)| description.to_string())
            .take(MAX_HINTS)
            .collect();
        best.sort_by_key(|(description, _)| description.sig.iter().filter(|p| p.required).count());
        for (description, result) in best {
            match result {
                Ok(args) => {
                    return Ok(Matched { args, for_mgr: description.flags & FLAG_MGR != 0 });
                }
                Err(Mismatch::Literal) => {}
                Err(Mismatch::Missing(_)) if !alone => break,
                Err(Mismatch::Unused(why, note)) => {
                    return Err(description.usage(&why, note.as_deref()));
                }
                Err(Mismatch::Missing(why) | Mismatch::Invalid(why)) => {
                    return Err(description.usage(&why, None));
                }
            }
        }
        let mut text = format!("no valid command found; {} closest matches:", hints.len());
        hints.iter().for_each(|hint| text.extend(["\n", hint]));
        Err(text)
    }
}

impl Description {
    fn usage(&self, why: &str, note: Option<&str>) -> String {
        let note = note.map(|note| format!("{note}\n")).unwrap_or_default();
        format!("{note}Invalid command: {why}\n{self} :  {}", self.help)
    }

    fn attempt(&self, words: &[String]) -> Attempt {
        let mut binding = Binding {
            sig: &self.sig,
            words: words.iter().map(String::as_str).collect(),
            injectargs: words.first().is_some_and(|word| word == "injectargs"),
            args: Map::new(),
            matched: 0,
            in_part: false,
            unexpected: None,
        };
        let mut result = binding.bind();
        if let Some(word) = binding.unexpected {
            result = Err(Mismatch::Invalid(format!("Unexpected argument '{word}'")));
        }
        let matched = binding.matched;
        let score = if binding.in_part { 2 * (matched + 1) } else { 2 * matched + 1 };
        Attempt { score, result: result.map(|()| binding.args) }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, param) in self.sig.iter().enumerate() {
            let blank = if n > 0 { " " } else { "" };
            write!(f, "{blank}{}", param.usage())?;
        }
        Ok(())
    }
}

/// Words on their way into the parameters of a signature.
struct Binding<'a> {
    sig: &'a [Param],
    words: VecDeque<&'a str>,
    injectargs: bool,
    args: Map<String, Value>,
    matched: usize,
    in_part: bool,
    /// An option that the command does not have. The words behind it still tell which command it is.
    unexpected: Option<String>,
}

impl Binding<'_> {
    fn bind(&mut self) -> Result<(), Mismatch> {
        let mut not_taken = None;
        let mut too_few = false;
        for param in self.sig {
            let mut seen = 0;
            while param.many || seen == 0 {
                self.named_params()?;
                let Some(word) = self.words.front().copied() else {
                    if param.is_literal() {
                        too_few = true;
                    } else if param.required && seen == 0 && !self.args.contains_key(&param.name) {
                        return Err(if param.many {
                            Mismatch::Invalid(format!("saw 0 of {param}, expected at least 1"))
                        } else {
                            Mismatch::Missing(format!("missing required parameter {param}"))
                        });
                    }
                    break;
                };
                if !param.is_literal() && !param.many && self.args.contains_key(&param.name) {
                    break; // It was named.
                }
                if word.starts_with("--") && !self.may_be_value(param, word) {
                    self.unexpected.get_or_insert_with(|| word.to_owned());
                }
                match param.values(word, false) {
                    Ok(values) => {
                        self.words.pop_front();
                        param.store(values, &mut self.args);
                        seen += 1;
                        not_taken = None;
                    }
                    Err(why) if !param.required || seen > 0 => {
                        not_taken = Some(format!("{word} not valid:  {why}"));
                        break;
                    }
                    Err(why) => {
                        self.in_part = self.words.len() == 1 && param.begins_with(word);
                        return Err(if param.is_literal() {
                            Mismatch::Literal
                        } else {
                            Mismatch::Invalid(why)
                        });
                    }
                }
            }
            self.matched += usize::from(param.required && !too_few);
        }
        if too_few {
            return Err(Mismatch::Literal);
        }
        if self.words.is_empty() {
            return Ok(());
        }
        let words: Vec<_> = self.words.iter().map(|word| format!("'{word}'")).collect();
        Err(Mismatch::Unused(format!("unused arguments: [{}]", words.join(", ")), not_taken))
    }

    /// Takes `--name=value`, `--name value`, `--flag` and `name=value` off the front, where there
    /// is a parameter of that name; `-` may stand for `_`.
    fn named_params(&mut self) -> Result<(), Mismatch> {
        while let Some(&word) = self.words.front() {
            let (name, value) = match (word.strip_prefix("--"), word.split_once('=')) {
                (Some(long), _) => match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                },
                (None, Some((name, value))) => (name, Some(value)),
                (None, None) => return Ok(()),
            };
            let name = name.replace('-', "_");
            let Some(param) = self.sig.iter().find(|p| !p.is_literal() && p.name == name) else {
                return Ok(());
            };
            let value = match (value, &param.kind) {
                (Some(value), _) => value,
                (None, Kind::Bool) => "true",
                (None, _) if self.words.len() > 1 => {
                    self.words.pop_front();
                    self.words[0]
                }
                (None, _) => return Ok(()),
            };
            param.store(param.values(value, true).map_err(Mismatch::Invalid)?, &mut self.args);
            self.words.pop_front();
        }
        Ok(())
    }

    /// Words with dashes that are values: confirmations, which used to be choices or strings.
    fn may_be_value(&self, param: &Param, word: &str) -> bool {
        matches!(param.kind, Kind::Choices(_))
            || self.injectargs
            || word == "--force"
            || (word.starts_with("--yes-i-really-") && word.contains("mean-it"))
    }
}
