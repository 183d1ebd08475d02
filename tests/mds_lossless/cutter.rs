//! Cuts a connection at the steps that its log tells of.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

use ceph_msgr::net::Connection;
use log::{LevelFilter, Log, Metadata, Record};

/// A connection, and where it is to be cut.
pub(crate) struct Cutter {
    con: Connection,
    watch: Arc<Watch>,
    /// The steps that were reached, one after the other.
    reached: Receiver<()>,
}

/// What is looked for in the lines about one connection.
struct Watch {
    /// With which these begin.
    peer: String,
    on_step: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    /// The steps to come.
    plan: VecDeque<&'static str>,
    /// The last socket that was to be cut is gone, and the next step is that of another.
    armed: bool,
    reached: Sender<()>,
    /// All but the messages.
    lines: Vec<String>,
}

/// All that log here, in whichever thread.
static WATCHES: Watches = Watches(Mutex::new(Vec::new()));

struct Watches(Mutex<Vec<Arc<Watch>>>);

impl Cutter {
    /// For a connection that is open. `plan` has the lines at which to cut, each on a socket of its own;
    /// `on_step` is called as a handshake goes on. There is one for each peer.
    pub(crate) fn new(
        con: &Connection,
        plan: &[&'static str],
        on_step: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&WATCHES).expect("the only logger of this test");
            log::set_max_level(LevelFilter::Trace);
        });
        let (sender, reached) = channel();
        let plan = plan.iter().copied().collect();
        let state = State { plan, armed: false, reached: sender, lines: Vec::new() };
        let state = Mutex::new(state);
        let peer = format!("{}: ", con.peer());
        let watch = Arc::new(Watch { peer, on_step: Box::new(on_step), state });
        WATCHES.lock().push(watch.clone());
        Self { con: con.clone(), watch, reached }
    }

    /// Cuts once, to begin, and then as planned; waits for the last one's socket to be gone.
    pub(crate) fn run(&self, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let cuts = self.watch.lock().plan.len();
        self.con.inject_socket_failure();
        for n in 0..cuts {
            let late = |_| {
                let (con, counters) = (self.con.describe(), self.con.counters());
                format!("{n} of {cuts} steps were reached: {con}, {counters:?}")
            };
            self.reached.recv_timeout(left()).map_err(late)?;
            self.con.inject_socket_failure();
        }
        while !self.watch.lock().armed {
            if left().is_zero() {
                return Err(format!("it is not cut: {}", self.con.describe()));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// How many lines have that text in them, but for those of messages.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.watch.lock().lines.iter().filter(|line| line.contains(text)).count()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        WATCHES.lock().retain(|watch| !Arc::ptr_eq(watch, &self.watch));
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn see(&self, line: &str) {
        if line.contains("-> V2_") {
            (self.on_step)();
        }
        let mut state = self.lock();
        if state.armed && state.plan.front().is_some_and(|text| line.contains(text)) {
            state.armed = false;
            state.plan.pop_front();
            let _ = state.reached.send(());
        }
        // What follows is of the next socket.
        state.armed |= ["-> PREOPEN", "-> STANDBY"].iter().any(|state| line.ends_with(state));
        if !line.contains("client_session") {
            state.lines.push(line.to_owned());
        }
    }
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Watch>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Log for Watches {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ceph_msgr")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        let watches = self.lock().clone();
        for watch in watches.iter().filter(|watch| line.starts_with(&watch.peer)) {
            watch.see(&line);
        }
    }

    fn flush(&self) {}
}
