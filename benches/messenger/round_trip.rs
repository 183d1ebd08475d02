//! A question of 4 KiB of data and an answer as long, on a lossy session. The peer answers in its
//! dispatcher. Who asks calls `send` and then `Inbox::recv`, which is another thread that wakes; or
//! asks the next question in the dispatcher that hears the answer. Raw TCP has a blocking thread at
//! either end. Microseconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use ceph_msgr::msgr::Message;
use ceph_msgr::net::Delivery;

use crate::cpus::Cpus;
use crate::ours::{Echo, MODES, Mode, Pair, PingPong, soon};
use crate::raw;
use crate::table::{Table, Target, take_turns};

pub(crate) const LEN: usize = 4096;
const N: u64 = 3000;

/// Where the two ends run.
#[derive(Clone, Copy)]
enum Place {
    /// Each on a CPU of its own, as on two machines. What wakes the other end is an interrupt.
    Apart,
    /// Where the scheduler puts them, which on an idle machine is often the same CPU for both: no
    /// CPU has to be woken then, and each further thread shows.
    Anywhere,
}

impl Place {
    fn end(self, end: usize) -> Option<usize> {
        matches!(self, Self::Apart).then_some(end)
    }
}

pub(crate) fn run(rounds: usize, table: &mut Table) -> Result<()> {
    let cpus = Cpus::new()?;
    if cpus.are_many() {
        run_at(Place::Apart, &cpus, rounds, table)?;
    } else {
        eprintln!("round-trip: there is only one CPU, and no target without two");
    }
    run_at(Place::Anywhere, &cpus, rounds, table)
}

fn run_at(place: Place, cpus: &Cpus, rounds: usize, table: &mut Table) -> Result<()> {
    let (near, far) = (place.end(0), place.end(1));
    let (mut pairs, mut games) = (Vec::new(), Vec::new());
    for mode in MODES {
        let listener = cpus.at(far, || mode.server(Arc::new(Echo)))??;
        pairs.push(cpus.at(near, || Pair::dial(mode, listener))??);
        let listener = cpus.at(far, || mode.server(Arc::new(Echo)))??;
        games.push(cpus.at(near, || PingPong::dial(mode, listener))??);
    }
    let mut sock = cpus.at(far, || raw::Echo::new(LEN))??;
    let micros = |time: Result<Duration>| time.expect("a bench").as_secs_f64() * 1e6 / N as f64;
    let mut contenders: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for pair in &pairs {
        contenders.push(Box::new(|| micros(ask(pair, N))));
    }
    for game in &games {
        contenders.push(Box::new(|| micros(game.run(question(), N))));
    }
    contenders.push(Box::new(|| micros(sock.run(N))));
    let all = cpus.at(near, || take_turns(rounds, N, &mut contenders))?;
    drop(contenders);
    let Some((raw, ours)) = all.split_last() else { return Ok(()) };
    let (asked, played) = ours.split_at(pairs.len());
    for (i, mode) in MODES.iter().enumerate() {
        let (name, target) = match place {
            Place::Apart if mode.is_default() => ("two CPUs", Target::RatioAtMost(1.3)),
            Place::Apart => ("two CPUs", Target::None),
            Place::Anywhere => ("anywhere", Target::None),
        };
        let what = format!("{}: round trip of 4 KiB, {name}, us", mode.name);
        table.add_contender(&what, &asked[i], raw, target);
        let what = format!("{}: the same between dispatchers", mode.name);
        table.add_contender(&what, &played[i], raw, Target::None);
    }
    if let Place::Apart = place {
        Mode::compare(table, "round trip", asked, false);
        Mode::compare(table, "round trip between dispatchers", played, false);
    }
    sock.close();
    games.into_iter().try_for_each(PingPong::close)?;
    pairs.into_iter().try_for_each(Pair::close)
}

fn question() -> Message {
    Message::new(1, &b""[..]).with_data(vec![7; LEN])
}

/// So many questions, each when the last is answered.
pub(crate) fn ask(pair: &Pair, n: u64) -> Result<Duration> {
    let data = Bytes::from(vec![7; LEN]);
    let begin = Instant::now();
    for _ in 0..n {
        pair.con.send(Message::new(1, &b""[..]).with_data(data.clone()))?;
        let answer = pair.inbox.recv(soon())?;
        assert!(matches!(&answer, Delivery::Message(_, msg) if msg.data.len() == LEN));
    }
    Ok(begin.elapsed())
}
