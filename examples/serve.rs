//! Plays a monitor for the entities of a keyring, and tells what arrives.
//!
//! ```text
//! $ ceph-authtool -C keyring -n client.admin --gen-key
//! $ cargo run --example serve -- --bind v1:127.0.0.1:6789 --keyring keyring
//! $ ceph -m v1:127.0.0.1:6789 -k keyring status
//! ```
//!
//! To that `ceph` it is a cluster without daemons: logins, tickets and maps are as they should be,
//! and every command has the output that `--command-reply` says. A line is one connection, login,
//! message or command; of a command it has the prefix and the names of the arguments, for the rest
//! may be secret.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use ceph_msgr::auth::keyring::Keyring;
use ceph_msgr::net::Deadline;
use ceph_msgr::testing::{Arrival, Arrived, CommandReply, Commands, Mon};
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
const DESCRIBED: [&str; 14] = [
    "status",
    "health name=detail,type=CephChoices,strings=detail,req=false",
    "df name=detail,type=CephChoices,strings=detail,req=false",
    "fsid",
    "versions",
    "features",
    "quorum_status",
    "mon stat",
    "mon dump",
    "osd stat",
    "osd tree",
    "osd ls",
    "osd dump",
    "osd pool ls name=detail,type=CephChoices,strings=detail,req=false",
];

fn address(s: &str) -> Result<SocketAddr, String> {
    if s.starts_with("v2:") {
        return Err("messenger v2 comes later; this listens with v1 only".to_owned());
    }
    let addr = s.strip_prefix("v1:").unwrap_or(s);
    let mut found = addr.to_socket_addrs().map_err(|e| format!("v1:HOST:PORT is expected: {e}"))?;
    found.next().ok_or_else(|| format!("{addr} has no address"))
}

fn main() -> anyhow::Result<()> {
    env_logger::init();
    let args = Args::parse();
    let keyring = Keyring::read(&args.keyring)
        .with_context(|| format!("keyring {}", args.keyring.display()))?;

    // Blocked before the first thread begins, so that none of them takes it.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("signals")?;

    let builder = Mon::builder().keyring(keyring).commands(commands(&args));
    let mon = builder.start_at(&args.bind)?;
    println!("listening at {}", mon.mon_host());
    thread::scope(|scope| {
        let printer = scope.spawn(|| print_arrivals(&mon));
        let signal = signals.wait().context("signals");
        let closed = mon.close(Deadline::after(Duration::from_secs(5)));
        // Nothing more arrives.
        printer.join().ok();
        signal?;
        Ok(closed?)
    })
}

fn commands(args: &Args) -> Commands {
    let reply = args.command_reply.clone();
    let signatures = DESCRIBED.into_iter().chain(args.commands.iter().map(String::as_str));
    let described = signatures.fold(Commands::new(), |commands, sig| {
        let reply = reply.clone();
        commands.on(sig, "", move |_| CommandReply::ok(reply.clone()))
    });
    described.otherwise(move |_| CommandReply::ok(reply.clone()))
}

/// Until the monitor is closed.
fn print_arrivals(mon: &Mon) {
    let mut last = 0;
    while let Ok(arrival) = mon.wait_for(|a| a.number > last, Deadline::NEVER) {
        println!("{}", line(&arrival));
        last = arrival.number;
    }
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
            let names: Vec<_> = names.map(String::as_str).collect();
            format!("{who}: command \"{}\" [{}]", request.prefix, names.join(" "))
        }
        Arrived::Reset(why) => format!("{who}: gone: {why}"),
    }
}
