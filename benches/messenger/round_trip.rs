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

use crate::ours::{Echo, MODES, Pair, PingPong, soon};
use crate::raw;
use crate::table::{Table, Target, take_turns};

pub(crate) const LEN: usize = 4096;
const N: u64 = 3000;

pub(crate) fn run(rounds: usize, table: &mut Table) -> Result<()> {
    let pairs = MODES.iter().map(|m| Pair::new(*m, Arc::new(Echo))).collect::<Result<Vec<_>>>()?;
    let games = MODES.iter().map(|m| PingPong::new(*m)).collect::<Result<Vec<_>>>()?;
    let mut sock = raw::Echo::new(LEN)?;
    let micros = |time: Result<Duration>| time.expect("a bench").as_secs_f64() * 1e6 / N as f64;
    let mut contenders: Vec<Box<dyn FnMut() -> f64>> = Vec::new();
    for pair in &pairs {
        contenders.push(Box::new(|| micros(ask(pair, N))));
    }
    for game in &games {
        contenders.push(Box::new(|| micros(game.run(question(), N))));
    }
    contenders.push(Box::new(|| micros(sock.run(N))));
    let all = take_turns(rounds, N, &mut contenders);
    drop(contenders);
    let Some((raw, ours)) = all.split_last() else { return Ok(()) };
    let (asked, played) = ours.split_at(pairs.len());
    for (i, mode) in MODES.iter().enumerate() {
        let target = if mode.is_default() { Target::RatioAtMost(1.3) } else { Target::None };
        let name = format!("{}: round trip of 4 KiB, us", mode.name);
        table.add_contender(&name, &asked[i], raw, target);
        let name = format!("{}: the same between dispatchers", mode.name);
        table.add_contender(&name, &played[i], raw, Target::None);
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
