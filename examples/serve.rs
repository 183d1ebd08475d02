//! Plays a monitor for the entities of a keyring, and tells what arrives.
//!
//! ```text
//! $ ceph-authtool -C keyring -n client.admin --gen-key
//! $ cargo run --example serve -- --bind v1:127.0.0.1:6789 --keyring keyring
//! $ ceph -m v1:127.0.0.1:6789 -k keyring status
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

use anyhow::{Context as _, anyhow, ensure};
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::net::Deadline;
use ceph_msgr::testing::{Arrival, Arrived, CommandReply, Commands, Mon};
use ceph_msgr::types::EntityAddr;
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};

/// Plays a Ceph monitor for the entities of a keyring, and tells what arrives.
///
/// It ends with Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "serve",
    after_help = "Example: serve --bind v1:127.0.0.1:6789 --keyring /etc/ceph/keyring"
)]
struct Args {
    /// Where to listen: v1:HOST:PORT, with port 0 for a free one.
    #[arg(long, required = true, num_args = 1.., value_name = "ADDR", value_parser = address)]
    bind: Vec<SocketAddr>,

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

fn address(s: &str) -> Result<SocketAddr, String> {
    if s.starts_with("v2:") {
        return Err("messenger v2 comes later; this listens with v1 only".to_owned());
    }
    let addr = s.strip_prefix("v1:").unwrap_or(s);
    let mut found = addr.to_socket_addrs().map_err(|e| format!("v1:HOST:PORT is expected: {e}"))?;
    let found = found.next().ok_or_else(|| format!("{addr} has no address"))?;
    if found.ip().is_unspecified() {
        let why = "clients dial what the monmap says, which would be this: name one address";
        return Err(format!("{} is every address of this host; {why}", found.ip()));
    }
    Ok(found)
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

    let mon = Mon::builder()
        .keyring(keyring)
        .commands(commands(&args))
        .start_at(&args.bind.iter().map(|at| EntityAddr::legacy(*at, 0)).collect::<Vec<_>>())?;
    let mon = Arc::new(mon);
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
        Arrived::Connection => format!("{who}: open, from {}", arrival.addr),
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
