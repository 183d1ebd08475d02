use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::descriptions;
use crate::auth::AuthPeer;

/// Of the flags in `src/mon/MonCommand.h` the one by which a client sends a command to the manager.
const FLAG_MGR: u32 = 1 << 3;

const EIO: i32 = 5;
const EINVAL: i32 = 22;

/// A command as it came to a monitor or a daemon.
#[derive(Clone, PartialEq)]
pub struct CommandRequest {
    /// What it is called: `osd pool ls`.
    pub prefix: String,
    /// Its JSON object: the prefix, under `prefix`, and the arguments.
    pub args: Map<String, Value>,
    /// Its input, what `ceph -i` reads from a file.
    pub inbl: Bytes,
    /// Who gives it. Whether its caps permit that is the handler's affair.
    pub peer: AuthPeer,
}

impl CommandRequest {
    /// The text of an argument; `None` if it is absent or not a text.
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.get(name)?.as_str()
    }

    /// What the peer sent: pieces of JSON that make up one object. Otherwise the reason, in the
    /// words of a 16.2.15 monitor.
    pub(super) fn parse(cmd: &[String], inbl: Bytes, peer: AuthPeer) -> Result<Self, String> {
        if cmd.is_empty() {
            return Err("no command specified".to_owned());
        }
        let json = cmd.concat();
        let Ok(Value::Object(args)) = serde_json::from_str(&json) else {
            return Err(format!("unparseable JSON {json}"));
        };
        match args.get("prefix") {
            Some(Value::String(prefix)) if prefix.is_empty() => {
                Err("command prefix must not be empty".to_owned())
            }
            Some(Value::String(prefix)) => Ok(Self { prefix: prefix.clone(), args, inbl, peer }),
            // With a prefix of another type that monitor aborts.
            _ => Err("command prefix not found".to_owned()),
        }
    }
}

impl fmt::Debug for CommandRequest {
    /// The prefix and who; arguments and input may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, peer) = (&self.prefix, &self.peer.name);
        f.debug_struct("CommandRequest")
            .field("prefix", prefix)
            .field("peer", peer)
            .finish_non_exhaustive()
    }
}

/// What a command comes to.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CommandReply {
    /// 0 or more for success, or a negative errno.
    pub r: i32,
    /// What a person should read: `ceph` prints it to stderr.
    pub outs: String,
    /// The output: `ceph` prints it to stdout.
    pub outbl: Bytes,
}

impl CommandReply {
    /// Success, with this output.
    pub fn ok(outbl: impl Into<Bytes>) -> Self {
        Self { outbl: outbl.into(), ..Self::default() }
    }

    /// A failure: a positive errno, and what a person should read.
    pub fn error(errno: i32, outs: &str) -> Self {
        Self { r: errno.saturating_neg(), outs: outs.to_owned(), ..Self::default() }
    }
}

impl fmt::Debug for CommandReply {
    /// Without the output, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandReply").field("r", &self.r).finish_non_exhaustive()
    }
}

type Handler = Arc<dyn Fn(&CommandRequest) -> CommandReply + Send + Sync>;

/// The commands of a monitor or a daemon. `get_command_descriptions` is always among them, so that
/// Ceph's own `ceph` finds the others. A handler that panics answers with EIO and what it said, so
/// that a failed assertion in it is seen at both ends.
///
/// ```
/// use ceph_msgr::testing::{CommandReply, Commands};
///
/// let commands = Commands::new()
///     .on("status", "show cluster status", |_| CommandReply::ok("all is well\n"))
///     .on("osd pool rm name=pool,type=CephPoolname", "remove pool", |cmd| {
///         match cmd.arg("pool") {
///             Some("scratch") => CommandReply::ok(""),
///             _ => CommandReply::error(2, "no such pool"),
///         }
///     });
/// # let _ = commands;
/// ```
#[derive(Clone, Default)]
pub struct Commands {
    table: Vec<Entry>,
    fallback: Option<Handler>,
}

#[derive(Clone)]
struct Entry {
    prefix: String,
    sig: String,
    help: String,
    flags: u32,
    /// `None` for a command of the manager.
    handler: Option<Handler>,
}

impl Commands {
    /// No commands but `get_command_descriptions`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a command, as `src/mon/MonCommands.h` describes them: literal words, which are its
    /// prefix, and parameters such as `name=pool,type=CephPoolname,req=false`. Of two with one
    /// prefix the later one is taken.
    #[must_use]
    pub fn on(
        mut self,
        sig: &str,
        help: &str,
        handler: impl Fn(&CommandRequest) -> CommandReply + Send + Sync + 'static,
    ) -> Self {
        self.add(sig, help, 0, Some(Arc::new(handler)));
        self
    }

    /// Who answers all other commands; without one they are "command not known". A monitor answers
    /// `osd getmap` and `mon getmap` by itself, unless they are in its table.
    #[must_use]
    pub fn otherwise(
        mut self,
        handler: impl Fn(&CommandRequest) -> CommandReply + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(Arc::new(handler));
        self
    }

    /// Describes the commands of a manager among those of a monitor, as monitors do: clients learn
    /// from it which ones to send to the manager.
    #[must_use]
    pub fn with_mgr(mut self, mgr: &Self) -> Self {
        for entry in &mgr.table {
            self.add(&entry.sig, &entry.help, FLAG_MGR, None);
        }
        self
    }

    fn add(&mut self, sig: &str, help: &str, flags: u32, handler: Option<Handler>) {
        let prefix = descriptions::prefix(sig);
        self.table.retain(|entry| entry.prefix != prefix);
        let (sig, help) = (sig.to_owned(), help.to_owned());
        self.table.push(Entry { prefix, sig, help, flags, handler });
    }

    pub(super) fn has(&self, prefix: &str) -> bool {
        self.table.iter().any(|entry| entry.prefix == prefix && entry.handler.is_some())
    }

    pub(super) fn run(&self, request: &CommandRequest) -> CommandReply {
        if request.prefix == "get_command_descriptions" {
            return CommandReply::ok(self.descriptions().to_string());
        }
        let entry = self.table.iter().find(|entry| entry.prefix == request.prefix);
        match entry.and_then(|entry| entry.handler.as_ref()).or(self.fallback.as_ref()) {
            Some(handler) => run_handler(handler, request),
            None => CommandReply::error(EINVAL, "command not known"),
        }
    }

    fn descriptions(&self) -> Value {
        let all = self.table.iter().enumerate().map(|(n, entry)| {
            let description = descriptions::describe(&entry.sig, &entry.help, entry.flags);
            (format!("cmd{n:03}"), description)
        });
        Value::Object(all.collect())
    }
}

fn run_handler(handler: &Handler, request: &CommandRequest) -> CommandReply {
    // What a panic leaves half done belongs to the handler, which nobody else looks at.
    catch_unwind(AssertUnwindSafe(|| handler(request))).unwrap_or_else(|panic| {
        let why = format!("the handler panicked: {}", panic_text(&*panic));
        log::error!("command {:?} of {}: {why}", request.prefix, request.peer.name);
        CommandReply::error(EIO, &why)
    })
}

/// What was said in a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().copied().unwrap_or("without a text"),
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.table.iter().map(|entry| &entry.sig)).finish()
    }
}
