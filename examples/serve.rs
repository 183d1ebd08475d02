//! Plays a monitor for the entities of a keyring, and tells what arrives.
//!
//! ```text
//! $ ceph-authtool -C keyring -n client.admin --gen-key
//! $ cargo run --example serve -- --bind v2:127.0.0.1:3300 v1:127.0.0.1:6789 --keyring keyring
//! $ ceph -m 127.0.0.1 -k keyring status
//! ```
//!
//! To that `ceph` it is a cluster without daemons: logins, tickets and maps are as they should be,
//! and every command has the output that `--command-reply` says. `ceph` sends only what the monitor
//! describes: serve/commands.txt has the commands of a cluster, and `--command` adds others. A line is one connection, login,
//! message or command; of a command it has the prefix and the names of the arguments, for the rest
//! may be secret.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use ceph_msgr::auth::ConMode;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::net::Deadline;
use ceph_msgr::testing::{Arrival, Arrived, CommandReply, Commands, Mon};
use ceph_msgr::types::{EntityAddr, Msgr, MsgrParseError};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};

/// Plays a Ceph monitor for the entities of a keyring, and tells what arrives.
///
/// It ends with Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "serve",
    after_help = "Example: serve --bind v2:127.0.0.1:3300 v1:127.0.0.1:6789 --keyring /etc/ceph/keyring"
)]
struct Args {
    /// Where to listen, and which messenger is spoken there: v2:HOST:PORT or v1:HOST:PORT, with port
    /// 0 for a free one. Without v2: or v1: it is what --msgr says.
    #[arg(long, required = true, num_args = 1.., value_name = "ADDR", value_parser = bind)]
    bind: Vec<Bind>,

    /// Which messenger to speak: v1, v2, or auto for either. With auto, an address that does not say
    /// is of v1 if its port is 6789, of both if it is 0, and else of v2.
    #[arg(long, value_name = "VERSION", default_value_t, value_parser = msgr)]
    msgr: Msgr,

    /// The one connection mode of messenger v2 that is allowed, crc or secure; otherwise either.
    #[arg(long, value_name = "MODE", value_parser = con_mode)]
    ms_mode: Option<ConMode>,

    /// The names and keys of those who may log in.
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,

    /// The output of every command.
    #[arg(long, value_name = "TEXT", default_value = "")]
    command_reply: String,

    /// One more command that `ceph` shall know: its words, then parameters as in MonCommands.h.
    #[arg(long = "command", value_name = "SIG")]
    commands: Vec<String>,
}

/// Commands that `ceph` sends only where the monitor describes them.
const DESCRIBED: &str = include_str!("serve/commands.txt");

/// One of `--bind`.
#[derive(Clone, Copy, Debug)]
struct Bind {
    at: SocketAddr,
    /// `None` where it does not say.
    msgr: Option<Msgr>,
}

fn bind(s: &str) -> Result<Bind, String> {
    let prefixes = [("v1:", Msgr::V1), ("v2:", Msgr::V2)];
    let prefixed = prefixes.iter().find_map(|(p, msgr)| Some((s.strip_prefix(p)?, Some(*msgr))));
    let (addr, msgr) = prefixed.unwrap_or((s, None));
    let mut found =
        addr.to_socket_addrs().map_err(|e| format!("v2:HOST:PORT or v1:HOST:PORT: {e}"))?;
    let at = found.next().ok_or_else(|| format!("{addr} has no address"))?;
    if at.ip().is_unspecified() {
        let why = "clients dial what the monmap says, which would be this: name one address";
        return Err(format!("{} is every address of this host; {why}", at.ip()));
    }
    Ok(Bind { at, msgr })
}

fn msgr(s: &str) -> Result<Msgr, MsgrParseError> {
    s.parse()
}

fn con_mode(s: &str) -> Result<ConMode, String> {
    ConMode::from_name(s).ok_or_else(|| "crc or secure is expected".to_owned())
}

impl Bind {
    fn addrs(self, msgr: Msgr) -> anyhow::Result<Vec<EntityAddr>> {
        let (v2, v1) = (EntityAddr::msgr2(self.at, 0), EntityAddr::legacy(self.at, 0));
        Ok(match (self.msgr.unwrap_or(msgr), msgr, self.at.port()) {
            (Msgr::V2, Msgr::V1, _) => bail!("--bind {v2} is not for --msgr v1"),
            (Msgr::V1, Msgr::V2, _) => bail!("--bind {v1} is not for --msgr v2"),
            (Msgr::Auto, _, 0) => vec![v2, v1],
            (Msgr::V1, ..) | (Msgr::Auto, _, 6789) => vec![v1],
            (Msgr::V2 | Msgr::Auto, ..) => vec![v2],
        })
    }
}

fn main() -> anyhow::Result<()> {
    env_logger::init();
    let args = Args::parse();
    let keyring = Keyring::read(&args.keyring)
        .with_context(|| format!("keyring {}", args.keyring.display()))?;

    ensure!(
        keyring.names().next().is_some(),
        "keyring {} names nobody, so that nobody could log in",
        args.keyring.display()
    );

    // Blocked before the first thread begins, so that none of them takes it.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("signals")?;

    let addrs = args.bind.iter().map(|bind| bind.addrs(args.msgr));
    let addrs = addrs.collect::<anyhow::Result<Vec<_>>>()?.concat();
    let mut mon = Mon::builder().keyring(keyring).commands(commands(&args));
    if let Some(mode) = args.ms_mode {
        mon = mon.con_modes(&[mode]);
    }
    let mon = Arc::new(mon.start_at(&addrs)?);
    let stopper = thread::spawn({
        let mon = Arc::clone(&mon);
        move || -> anyhow::Result<()> {
            signals.wait().context("signals")?;
            mon.close(Deadline::after(Duration::from_secs(5))).context("close")
        }
    });
    match print_arrivals(&mon, &mut io::stdout()) {
        // Who read it has seen enough; no signal will come.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(e).context("stdout"),
        Ok(()) => stopper.join().map_err(|_| anyhow!("the thread for signals panicked"))?,
    }
}

fn commands(args: &Args) -> Commands {
    let reply = args.command_reply.clone();
    let described = DESCRIBED.lines().filter(|line| !line.starts_with('#')).map(signature);
    let signatures = described.chain(args.commands.iter().cloned());
    let described = signatures.fold(Commands::new(), |commands, sig| {
        let reply = reply.clone();
        commands.on(&sig, "", move |_| CommandReply::ok(reply.clone()))
    });
    described.otherwise(move |_| CommandReply::ok(reply.clone()))
}

/// A line of commands.txt as `MonCommands.h` would have it, less demanding: every argument is a text
/// that may be absent, and words that are left over are welcome.
fn signature(line: &str) -> String {
    let (words, names) = line.split_once(':').unwrap_or((line, ""));
    let mut sig = words.to_owned();
    for name in names.split_whitespace() {
        sig += &match (name.strip_suffix('*'), name.strip_suffix('?')) {
            (Some(name), _) => format!(" name={name},type=CephString,n=N,req=false"),
            (_, Some(name)) => format!(" name={name},type=CephBool,req=false"),
            _ => format!(" name={name},type=CephString,req=false"),
        };
    }
    if !names.contains('*') {
        sig += " name=words,type=CephString,n=N,req=false";
    }
    sig
}

/// Until the monitor is closed.
fn print_arrivals(mon: &Mon, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "listening at {}", mon.mon_host())?;
    let mut last = 0;
    while let Ok(arrival) = mon.wait_for(|a| a.number > last, Deadline::NEVER) {
        writeln!(out, "{}", line(&arrival))?;
        last = arrival.number;
    }
    Ok(())
}

fn line(arrival: &Arrival) -> String {
    let who = match &arrival.name {
        Some(name) => format!("connection {}, {name}", arrival.connection),
        None => format!("connection {}", arrival.connection),
    };
    match &arrival.what {
        Arrived::Connection => match arrival.con_mode {
            Some(mode) => format!("{who}: open in {mode} mode, from {}", arrival.addr),
            None => format!("{who}: open, from {}", arrival.addr),
        },
        Arrived::Login => format!("{who}: logged in"),
        Arrived::Message(msg) => format!("{who}: message {}", msg.header.type_name()),
        Arrived::Command(request) => {
            let names = request.args.keys().filter(|name| *name != "prefix");
            let names: Vec<_> = names.map(|name| name.escape_debug().to_string()).collect();
            format!("{who}: command {:?} [{}]", request.prefix, names.join(" "))
        }
        Arrived::Reset(why) => format!("{who}: gone: {}", why.escape_debug()),
    }
}
