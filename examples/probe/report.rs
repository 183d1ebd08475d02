//! What was found: printed line by line as it happens, or kept for one JSON object.

use std::io::Write as _;
use std::time::Duration;

use ceph_msgr::types::Features;
use serde_json::{Map, Value, json};

/// Columns of a line of names.
const WIDTH: usize = 100;
/// Columns before the text of a step: its time and its name.
const INDENT: usize = 26;

/// The facts of the JSON object; those that a failed step left unknown are null.
const FACTS: [&str; 12] = [
    "target",
    "tcp",
    "msgr",
    "banner",
    "msgr2",
    "addresses",
    "type",
    "protocol_version",
    "features",
    "session",
    "auth",
    "round_trips",
];

/// Everything that the probe has to say.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    facts: Map<String, Value>,
    steps: Vec<Value>,
    hints: Vec<String>,
    failed: Vec<&'static str>,
}

impl Report {
    pub(crate) fn new(json: bool, target: &str) -> Self {
        let facts = FACTS.map(|fact| (fact.to_owned(), Value::Null)).into_iter().collect();
        let mut report =
            Self { json, facts, steps: Vec::new(), hints: Vec::new(), failed: Vec::new() };
        report.say(&format!("probe {target}"));
        report.fact("target", json!(target));
        report
    }

    /// Records a fact for the JSON object.
    pub(crate) fn fact(&mut self, name: &str, value: Value) {
        self.facts.insert(name.to_owned(), value);
    }

    /// Records one more part of a fact.
    pub(crate) fn add(&mut self, fact: &str, name: &str, value: Value) {
        if let Some(Value::Object(parts)) = self.facts.get_mut(fact) {
            parts.insert(name.to_owned(), value);
        }
    }

    /// A step is done.
    pub(crate) fn passed(&mut self, step: &'static str, took: Duration, text: &str) {
        self.step(step, took, text, true);
    }

    /// A step is not, and this is why.
    pub(crate) fn failed(&mut self, step: &'static str, took: Duration, why: &str) {
        self.failed.push(step);
        self.step(step, took, why, false);
    }

    fn step(&mut self, step: &'static str, took: Duration, text: &str, ok: bool) {
        let mark = if ok { "" } else { "FAILED: " };
        self.say(&format!("{:9.2} ms  {step:<12}{mark}{text}", ms(took)));
        self.steps.push(json!({ "step": step, "ok": ok, "ms": ms(took), "text": text }));
    }

    /// What the reader may want to know about the step before.
    pub(crate) fn hint(&mut self, text: &str) {
        self.say(&format!("{:INDENT$}hint: {text}", ""));
        self.hints.push(text.to_owned());
    }

    /// A set of features by name, below a step; nothing where it is empty.
    pub(crate) fn features(&self, what: &str, features: Features) {
        if features.is_empty() {
            return;
        }
        let mut line = format!("{:INDENT$}{what:<12}{features}", "");
        for name in features.names() {
            if line.len() + 1 + name.len() > WIDTH {
                self.say(&line);
                line = " ".repeat(INDENT + 11);
            }
            line += " ";
            line += &name;
        }
        self.say(&line);
    }

    /// Says how it ended; true if every step passed.
    pub(crate) fn finish(mut self) -> bool {
        let ok = self.failed.is_empty();
        if self.json {
            let rest = [
                ("ok", json!(ok)),
                ("failed", json!(self.failed)),
                ("hints", json!(self.hints)),
                ("steps", json!(self.steps)),
            ];
            self.facts.extend(rest.map(|(name, value)| (name.to_owned(), value)));
            print(&format!("{:#}", Value::Object(self.facts)));
        } else if ok {
            self.say("every step passed");
        } else {
            self.say(&format!("failed: {}", self.failed.join(", ")));
        }
        ok
    }

    fn say(&self, line: &str) {
        if !self.json {
            print(line);
        }
    }
}

/// A set of features for the JSON object; its bits do not fit into every reader's numbers.
pub(crate) fn features(features: Features) -> Value {
    json!({ "bits": features.to_string(), "names": features.names().collect::<Vec<_>>() })
}

/// Milliseconds, to the microsecond.
pub(crate) fn ms(d: Duration) -> f64 {
    d.as_micros() as f64 / 1000.0
}

/// Prints a line. Where nobody reads any more, the exit code still tells.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
