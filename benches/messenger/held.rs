//! A thousand connections that are only held: the time to open them all, and what each costs on
//! both sides, which are processes of their own. For ours that is a thread and two descriptors on
//! either side; what the kernel keeps for a socket is in nobody's figures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ceph_msgr::net::{Connection, Dispatcher, Inbox};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ours::{LOCALHOST, MODES, dial, soon};
use crate::table::{Samples, Table, Target};

const N: usize = 1000;
/// Descriptors that one process needs: a socket and an eventfd for each connection, and some.
const FILES: u64 = 2 * N as u64 + 200;
/// Dialled and not open yet: fewer than a listener's cap on those.
const AT_ONCE: usize = 100;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    if files.maximum.is_some_and(|most| most < FILES) {
        println!("SKIPPED held: {FILES} descriptors are needed, and {:?} allowed", files.maximum);
        return Ok(());
    }
    let (ours, raw) = (hold("")?, hold("raw-")?);
    let mut row = |what: &str, of: fn(&Held) -> f64| {
        let name = format!("{}: {N} connections held: {what}", MODES[0].name);
        table.add(name, &Samples(vec![of(&ours)]), Some(&Samples(vec![of(&raw)])), Target::None);
    };
    row("ms to open all", |held| held.ms);
    row("threads of the dialling side", |held| held.dialling.threads);
    row("threads of the accepting side", |held| held.accepting.threads);
    row("KiB for each, dialling", |held| held.dialling.kib / N as f64);
    row("KiB for each, accepting", |held| held.accepting.kib / N as f64);
    Ok(())
}

/// What a process has more than before.
#[derive(Debug)]
struct Usage {
    threads: f64,
    kib: f64,
}

#[derive(Debug)]
struct Held {
    ms: f64,
    dialling: Usage,
    accepting: Usage,
}

fn hold(prefix: &str) -> Result<Held> {
    let mut server = Side::start(&[&format!("{prefix}accept")])?;
    let addr = server.line()?;
    let mut client = Side::start(&[&format!("{prefix}dial"), &addr])?;
    let ms = client.line()?.parse()?;
    let dialling = client.usage()?;
    server.go()?;
    Ok(Held { ms, dialling, accepting: server.usage()? })
}

/// A child, which says a line at a time, and ends with its input.
struct Side {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Side {
    fn start(args: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--child", "held"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Self { child, input, output })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn go(&mut self) -> Result<()> {
        Ok(self.input.as_mut().context("a pipe")?.write_all(b"\n")?)
    }

    fn usage(&mut self) -> Result<Usage> {
        let line = self.line()?;
        let (threads, kib) = line.split_once(' ').context("two numbers")?;
        Ok(Usage { threads: threads.parse()?, kib: kib.parse()? })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

pub(crate) fn child(side: &str, args: &[&str]) -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    if files.current.is_some_and(|now| now < FILES) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum: files.maximum })?;
    }
    match (side, args) {
        ("accept", []) => accept(),
        ("dial", [addr]) => dial_all(addr.parse()?),
        ("raw-accept", []) => raw_accept(),
        ("raw-dial", [addr]) => raw_dial(addr.parse()?),
        _ => bail!("no such side: {side} {args:?}"),
    }
}

fn accept() -> Result<()> {
    struct Ignore;
    impl Dispatcher for Ignore {
        fn dispatch(&self, _: &Connection, _: ceph_msgr::msgr::Message) {}
    }
    let listener = MODES[0].server(std::sync::Arc::new(Ignore))?;
    let before = status()?;
    println!("{}", listener.addrs()[0].sockaddr.context("an address")?);
    wait_for(1)?;
    let counts = listener.counts();
    ensure!(counts.connections == N, "{counts:?}");
    say_usage(before)?;
    wait_for(usize::MAX)
}

fn dial_all(addr: SocketAddr) -> Result<()> {
    let messenger = MODES[0].client()?;
    let inbox = Inbox::new(N)?;
    let addr = MODES[0].at(addr, 7);
    let before = status()?;
    let begin = Instant::now();
    let mut cons = Vec::with_capacity(N);
    for i in 0..N {
        cons.push(dial(MODES[0], &messenger, addr, inbox.dispatcher())?);
        if i >= AT_ONCE {
            cons[i - AT_ONCE].wait_open(soon())?;
        }
    }
    cons.iter().try_for_each(|con| con.wait_open(soon()))?;
    println!("{}", begin.elapsed().as_secs_f64() * 1e3);
    say_usage(before)?;
    wait_for(usize::MAX)
}

fn raw_accept() -> Result<()> {
    let listener = TcpListener::bind(LOCALHOST)?;
    let before = status()?;
    println!("{}", listener.local_addr()?);
    let socks = (0..N).map(|_| Ok(listener.accept()?.0)).collect::<Result<Vec<_>>>()?;
    wait_for(1)?;
    say_usage(before)?;
    wait_for(usize::MAX)?;
    drop(socks);
    Ok(())
}

fn raw_dial(addr: SocketAddr) -> Result<()> {
    let before = status()?;
    let begin = Instant::now();
    let timeout = Duration::from_secs(10);
    let socks = (0..N)
        .map(|_| Ok(TcpStream::connect_timeout(&addr, timeout)?))
        .collect::<Result<Vec<_>>>()?;
    println!("{}", begin.elapsed().as_secs_f64() * 1e3);
    say_usage(before)?;
    wait_for(usize::MAX)?;
    drop(socks);
    Ok(())
}

/// Waits for so many bytes of input, or its end.
fn wait_for(bytes: usize) -> Result<()> {
    std::io::stdin().lock().take(bytes as u64).read_to_end(&mut Vec::new())?;
    Ok(())
}

fn say_usage(before: (u64, u64)) -> Result<()> {
    let (threads, kib) = status()?;
    println!("{} {}", threads - before.0, kib.saturating_sub(before.1));
    Ok(())
}

/// Threads, and resident memory in KiB.
fn status() -> Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).with_context(|| format!("{name} in the status"))
    };
    Ok((field("Threads:")?, field("VmRSS:")?))
}
