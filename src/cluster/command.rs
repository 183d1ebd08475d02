use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// A command for the monitors, a manager or a daemon: a prefix such as `osd tree`, its
/// arguments, and the bytes of its input. On the wire it is one JSON object, with the prefix
/// under `prefix`.
///
/// ```
/// use ceph_msgr::Command;
/// let cmd = Command::new("osd tree").arg("format", "json");
/// assert_eq!(cmd.to_json(), r#"{"format":"json","prefix":"osd tree"}"#);
/// ```
#[derive(Clone, PartialEq)]
pub struct Command {
    args: Map<String, Value>,
    input: Bytes,
}

impl Command {
    /// The command with that prefix and no argument.
    pub fn new(prefix: &str) -> Self {
        Self { args: Map::new(), input: Bytes::new() }.arg("prefix", prefix)
    }

    /// A command from its JSON, an object whose `prefix` is a string.
    pub fn from_json(json: &str) -> Result<Self> {
        let args: Map<String, Value> = serde_json::from_str(json).map_err(|e| {
            Error::new(ErrorKind::InvalidInput, format!("a command is a JSON object: {e}"))
        })?;
        // Monitors up to 16.2.15 at least abort on any other prefix, one after the other.
        if args.get("prefix").is_some_and(|prefix| !prefix.is_string()) {
            let text = "the prefix of a command is a string";
            return Err(Error::new(ErrorKind::InvalidInput, text));
        }
        Ok(Self { args, input: Bytes::new() })
    }

    /// Sets an argument. Ceph looks at the type: a number and its text are not the same.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.args.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the input, what `ceph -i` reads from a file.
    #[must_use]
    pub fn input(mut self, input: impl Into<Bytes>) -> Self {
        self.input = input.into();
        self
    }

    /// The prefix; empty where the JSON had none.
    pub fn prefix(&self) -> &str {
        self.args.get("prefix").and_then(Value::as_str).unwrap_or_default()
    }

    /// The JSON object that goes to the cluster.
    pub fn to_json(&self) -> String {
        Value::Object(self.args.clone()).to_string()
    }

    pub(super) fn input_bytes(&self) -> Bytes {
        self.input.clone()
    }
}

impl fmt::Debug for Command {
    /// The prefix, the names of the arguments and the length of the input: the rest may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.args.keys().filter(|name| *name != "prefix");
        f.debug_struct("Command")
            .field("prefix", &self.prefix())
            .field("args", &names.collect::<Vec<_>>())
            .field("input_len", &self.input.len())
            .finish()
    }
}

impl From<&str> for Command {
    /// The command with that prefix and no argument.
    fn from(prefix: &str) -> Self {
        Self::new(prefix)
    }
}
