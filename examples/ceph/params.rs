//! One word or parameter of a command's signature: its type, and the JSON that a text becomes.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// A literal word of a signature, or a parameter.
#[derive(Debug)]
pub(crate) struct Param {
    /// `prefix` for literals.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// It takes a list.
    pub(crate) many: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Literal(String),
    Int(Range<i128>),
    Float(Range<f64>),
    Bool,
    Choices(Vec<String>),
    /// The characters that may be in it, as `[a-z0-9-_.]`; all if empty.
    Text(String),
    OsdName,
    Name,
    Pgid,
    Uuid,
    /// A text that the daemon alone can judge, and what usage calls it.
    Other(String),
}

/// Lowest and highest value, as far as there are such.
#[derive(Debug)]
pub(crate) struct Range<T>(Vec<T>);

impl Param {
    pub(crate) fn parse(desc: &Value) -> Self {
        if let Some(word) = desc.as_str() {
            let kind = Kind::Literal(word.to_owned());
            return Self { name: "prefix".to_owned(), kind, required: true, many: false };
        }
        let text = |key: &str| desc[key].as_str().unwrap_or_default();
        let kind = match text("type") {
            "CephInt" => Kind::Int(Range::parse(text("range"))),
            "CephFloat" => Kind::Float(Range::parse(text("range"))),
            "CephBool" => Kind::Bool,
            "CephChoices" => Kind::Choices(text("strings").split('|').map(str::to_owned).collect()),
            "CephString" => Kind::Text(text("goodchars").to_owned()),
            "CephOsdName" => Kind::OsdName,
            "CephName" => Kind::Name,
            "CephPgid" => Kind::Pgid,
            "CephUUID" => Kind::Uuid,
            "CephIPAddr" => Kind::Other("IPaddr[:port]".to_owned()),
            "CephFilepath" => Kind::Other("outfilename".to_owned()),
            other => {
                let name = other.strip_prefix("Ceph").unwrap_or(other);
                let small = name != "EntityAddr";
                Kind::Other(if small { name.to_lowercase() } else { name.to_owned() })
            }
        };
        Self {
            name: text("name").to_owned(),
            kind,
            // In 16.2.15 one is "fasle".
            required: matches!(&desc["req"], Value::Null | Value::Bool(true))
                || desc["req"].as_str().is_some_and(|req| req.eq_ignore_ascii_case("true")),
            many: desc["n"].as_str() == Some("N"),
        }
    }

    pub(crate) fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Literal(_))
    }

    /// Whether the word is the beginning of what would fit.
    pub(crate) fn begins_with(&self, word: &str) -> bool {
        match &self.kind {
            Kind::Literal(literal) => literal.starts_with(word),
            Kind::Choices(choices) => choices.iter().any(|choice| choice.starts_with(word)),
            _ => false,
        }
    }

    /// What the word stands for: one value, or more with commas between them where a list is taken.
    /// In a text that was not named a comma is one of its characters.
    pub(crate) fn values(&self, word: &str, named: bool) -> Result<Vec<Value>, String> {
        if self.many && (named || !matches!(self.kind, Kind::Text(_))) {
            word.split(',').map(|word| self.kind.value(word)).collect()
        } else {
            Ok(vec![self.kind.value(word)?])
        }
    }

    /// Adds the values to the arguments: literals make the prefix, a list grows.
    pub(crate) fn store(&self, mut values: Vec<Value>, args: &mut Map<String, Value>) {
        match (args.get_mut(&self.name), &self.kind) {
            (Some(Value::String(prefix)), Kind::Literal(word)) => prefix.extend([" ", word]),
            (Some(Value::Array(list)), _) if self.many => list.append(&mut values),
            _ if self.many => drop(args.insert(self.name.clone(), Value::Array(values))),
            _ => args.extend(values.pop().map(|value| (self.name.clone(), value))),
        }
    }

    /// As it is written in the usage of a command.
    pub(crate) fn usage(&self) -> String {
        let name = &self.name;
        let text = match &self.kind {
            Kind::Literal(word) => word.clone(),
            Kind::Bool => format!("--{}", name.replace('_', "-")),
            Kind::Choices(choices) if name == "format" => {
                format!("--{name} {{{}}}", choices.join("|"))
            }
            Kind::Choices(choices) => choices.join("|"),
            Kind::OsdName => "<id|osd.id>".to_owned(),
            Kind::Name => "<type.id>".to_owned(),
            Kind::Int(_) => format!("<{name}:int>"),
            Kind::Float(_) => format!("<{name}:float>"),
            _ => format!("<{name}>"),
        };
        let text = if self.many { text + "..." } else { text };
        if self.required { text } else { format!("[{text}]") }
    }
}

impl fmt::Display for Param {
    /// With its name and its type, for messages about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Choices(choices) if choices.len() == 1 => write!(f, "{}", choices[0]),
            kind => write!(f, "{}({kind}){}", self.name, if self.many { "..." } else { "" }),
        }
    }
}

impl Kind {
    fn value(&self, word: &str) -> Result<Value, String> {
        let text = || Value::from(word);
        match self {
            Self::Literal(literal) if word == literal => Ok(text()),
            Self::Literal(_) => Err(format!("no match for {word}")),
            Self::Int(range) => {
                let n =
                    parse_int(word).ok_or_else(|| format!("{word} doesn't represent an int"))?;
                range.check(n)?;
                // JSON has numbers of 64 bits here.
                let value = i64::try_from(n)
                    .map(Value::from)
                    .or_else(|_| u64::try_from(n).map(Value::from));
                value.map_err(|_| format!("{word} doesn't represent an int"))
            }
            Self::Float(range) => {
                let x: f64 =
                    word.parse().map_err(|_| format!("{word} doesn't represent a float"))?;
                range.check(x)?;
                Ok(x.into())
            }
            Self::Bool => match word.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(true.into()),
                "false" | "0" => Ok(false.into()),
                _ => Err(format!("{word} not one of 'true', 'false'")),
            },
            Self::Choices(choices) if choices.iter().any(|choice| choice == word) => Ok(text()),
            Self::Choices(_) => Err(format!("{word} not in {self}")),
            Self::Text(goodchars) => match bad_chars(word, goodchars) {
                bad if bad.is_empty() => Ok(text()),
                bad => Err(format!("invalid chars {bad} in {word}")),
            },
            Self::OsdName => osd_name(word),
            Self::Name => daemon_name(word).map(|()| text()),
            Self::Pgid => pgid(word).map(|()| text()),
            Self::Uuid => uuid(word).map(|()| text()),
            Self::Other(_) => Ok(text()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(word) => f.write_str(word),
            Self::Int(range) => write!(f, "<int{range}>"),
            Self::Float(range) => write!(f, "<float{range}>"),
            Self::Bool => f.write_str("<bool>"),
            Self::Choices(choices) => f.write_str(&choices.join("|")),
            Self::Text(goodchars) if goodchars.is_empty() => f.write_str("<string>"),
            Self::Text(goodchars) => write!(f, "<string(goodchars {goodchars})>"),
            Self::OsdName => f.write_str("<osdname (id|osd.id)>"),
            Self::Name => f.write_str("<name (type.id)>"),
            Self::Pgid => f.write_str("<pgid>"),
            Self::Uuid => f.write_str("<uuid>"),
            Self::Other(name) => write!(f, "<{name}>"),
        }
    }
}

// Debug, for that writes 1.0 where Display writes 1.
impl<T: FromStr + PartialOrd + fmt::Debug> Range<T> {
    fn parse(text: &str) -> Self {
        Self(text.split('|').filter_map(|bound| bound.parse().ok()).collect())
    }

    fn check(&self, value: T) -> Result<(), String> {
        let low = self.0.first().is_some_and(|min| value < *min);
        let high = self.0.get(1).is_some_and(|max| value > *max);
        if low || high {
            return Err(format!("{value:?} not in range {:?}", self.0));
        }
        Ok(())
    }
}

impl<T: fmt::Debug> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [min] => write!(f, "[{min:?}-]"),
            [min, max] => write!(f, "[{min:?}-{max:?}]"),
            _ => Ok(()),
        }
    }
}

/// Decimal without leading zeros, or with one of `0x`, `0o` and `0b` in front; Python's
/// `int(text, 0)`.
fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let radix = |c: &str| {
        [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(p, _)| *p == c.to_lowercase())
    };
    let n = match digits.get(..2).and_then(radix) {
        Some((_, radix)) => i128::from_str_radix(&digits[2..], radix).ok()?,
        None if digits.starts_with('0') && !digits.trim_matches('0').is_empty() => return None,
        None => digits.parse().ok()?,
    };
    Some(if negative { -n } else { n })
}

/// The characters of the word that are not of the class, each once.
fn bad_chars(word: &str, class: &str) -> String {
    let class: Vec<char> = class.trim_matches(['[', ']']).chars().collect();
    let is_good = |c: char| {
        let mut class = class.as_slice();
        loop {
            match class {
                [] => return false,
                [from, '-', to, ..] if (*from..=*to).contains(&c) => return true,
                [_, '-', _, rest @ ..] => class = rest,
                [one, ..] if *one == c => return true,
                [_, rest @ ..] => class = rest,
            }
        }
    };
    let mut bad = String::new();
    for c in word.chars() {
        if !class.is_empty() && !is_good(c) && !bad.contains(c) {
            bad.push(c);
        }
    }
    bad
}

/// `N` or `osd.N`, which become the number; or `*`.
fn osd_name(word: &str) -> Result<Value, String> {
    if word == "*" {
        return Ok(word.into());
    }
    let id = match word.split_once('.') {
        Some(("osd", id)) => id,
        Some((other, _)) => return Err(format!("unknown type {other}")),
        None => word,
    };
    match id.parse::<i64>() {
        Ok(n) if n < 0 => Err(format!("osd id {n} is less than 0")),
        Ok(n) => Ok(n.into()),
        Err(_) => Err(format!("osd id {id} not integer")),
    }
}

/// `TYPE.ID`, `mon`, `mgr` or `*`.
pub(crate) fn daemon_name(word: &str) -> Result<(), String> {
    if matches!(word, "*" | "mgr" | "mon") {
        return Ok(());
    }
    match word.split_once('.') {
        None => Err(format!("CephName: no . in {word}")),
        Some(("osd", id)) if id != "*" && id.parse::<i64>().is_err() => {
            Err(format!("osd id {id} not integer"))
        }
        Some(("osd" | "mon" | "client" | "mds" | "mgr", _)) => Ok(()),
        Some((other, _)) => Err(format!("unknown type {other}")),
    }
}

/// `POOL.N`, the second number in hexadecimal digits.
pub(crate) fn pgid(word: &str) -> Result<(), String> {
    let (pool, n) = word.split_once('.').ok_or("pgid has no .")?;
    match pool.parse::<i64>() {
        Ok(0..) if i64::from_str_radix(n, 16).is_ok() => Ok(()),
        Ok(0..) => Err(format!("pgnum {n} not hex integer")),
        Ok(_) => Err(format!("pool {pool} < 0")),
        Err(_) => Err(format!("pool {pool} not integer")),
    }
}

fn uuid(word: &str) -> Result<(), String> {
    let digits = word.replace('-', "");
    if digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!("invalid UUID {word}: badly formed hexadecimal UUID string"))
}
