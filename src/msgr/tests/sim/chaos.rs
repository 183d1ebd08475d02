//! What happens by itself: applications that send, and a network that fails them.

use super::net::{Link, MS, SEC, Time};
use super::node::Node;
use super::seeds::Protocol;
use super::world::{Event, World};
use crate::types::GlobalSeq;

impl World {
    /// Whom a node may send to.
    fn pair(&mut self) -> (usize, usize) {
        let n = self.nodes.len();
        let from = self.random.index(n);
        let to = match self.plan.kind.symmetric() {
            true => (from + 1 + self.random.index(n - 1)) % n,
            false if from > 0 => 0,
            false => 1 + self.random.index(n - 1),
        };
        (from, to)
    }

    /// The connection through which a node sends to another one; a server has none before the
    /// client has dialled.
    fn connection(&mut self, from: usize, to: usize) -> Option<usize> {
        if self.plan.kind.symmetric() || from > 0 {
            return Some(self.connect_to(from, to));
        }
        let cons = &self.cons;
        self.nodes[from].cons.iter().rev().find(|id| cons[**id].peer == to).copied()
    }

    /// An application sends some messages, takes one back, or ends a session.
    pub(super) fn act(&mut self) {
        if self.healed {
            return;
        }
        let (from, to) = self.pair();
        if self.random.percent(6) {
            self.revoke_some(from);
        } else if let Some(id) = self.connection(from, to) {
            // Also where enough has been sent: what is yet to go wrong needs a session.
            for _ in 0..self.random.between(1, 5) {
                self.send(id);
            }
            if self.random.percent(10) && self.plan.reconnect_seq && !self.cons[id].dead {
                self.revoke(id);
            }
        }
        let mean = self.plan.span * 3 / self.plan.messages as u64;
        let pause = if self.random.percent(3) { 10 * SEC } else { 2 * mean };
        let pause = self.random.below(pause);
        self.after(pause, Event::Act);
    }

    /// Something goes wrong, if there is anything that can.
    pub(super) fn fail(&mut self) {
        if self.healed {
            return;
        }
        let (from, to) = self.pair();
        let happened = match self.random.below(100) {
            0..8 if self.plan.protocol == Protocol::V2 => self.damage(from, to),
            0..45 => self.cut_some(from, to, 100 * MS),
            45..55 => self.cut_some(from, to, 40 * SEC),
            55..72 => self.stall(from, to),
            72..80 => {
                let until = self.now + self.random.below(8 * SEC);
                self.parted[from.min(to)][from.max(to)] = until;
                self.trace(format_args!("nodes {from} and {to} are parted"));
                self.cut_some(from, to, SEC)
            }
            80..90 => {
                let id = self.nodes[from].cons.iter().copied();
                let id = id.rev().find(|id| self.cons[*id].peer == to);
                id.map(|id| self.mark_down(id)).is_some()
            }
            _ => self.restart(from),
        };
        self.faults += usize::from(happened);
        let mean = self.plan.span / self.plan.faults as u64;
        let pause = self.random.below(2 * mean);
        self.after(pause, Event::Fail);
    }

    fn links_between(&self, a: usize, b: usize) -> Vec<usize> {
        let between = |l: &Link| l.nodes == [a, b] || l.nodes == [b, a];
        let alive = |l: &Link| !l.dead && l.closed != [true; 2];
        let links = self.links.iter().enumerate();
        links.filter(|(_, l)| between(l) && alive(l)).map(|(i, _)| i).collect()
    }

    /// The sockets between two nodes are no more, which their ends learn in so much time. Whether
    /// there were any.
    fn cut_some(&mut self, a: usize, b: usize, notice: Time) -> bool {
        let links = self.links_between(a, b);
        for &link in &links {
            self.trace(format_args!("link {link} is cut"));
            for side in 0..2 {
                let way = &mut self.links[link].ways[side];
                let n = self.random.index(way.flight.len() + 1);
                way.arrived.extend(way.flight.drain(..n));
                let notice = self.random.below(notice);
                self.after(notice, Event::Reset(link, side));
            }
            self.links[link].kill();
        }
        !links.is_empty()
    }

    /// One direction, or both, stand still for a while; whether any does.
    fn stall(&mut self, a: usize, b: usize) -> bool {
        let mut happened = false;
        let longest = self.random.pick(&[SEC, 5 * SEC, 25 * SEC]);
        for link in self.links_between(a, b) {
            let until = self.now + self.random.below(longest);
            self.trace(format_args!("link {link} stalls until {}", until / MS));
            for side in 0..2 {
                if self.random.percent(70) {
                    self.links[link].ways[side].stalled = until;
                    happened = true;
                }
            }
        }
        happened
    }

    /// A bit changes of what one side or the other sends next.
    fn damage(&mut self, a: usize, b: usize) -> bool {
        let links = self.links_between(a, b);
        for &link in &links {
            let side = self.random.index(2);
            self.trace(format_args!("link {link} damages what side {side} sends"));
            self.links[link].ways[side].spoil = Some(self.random.next());
        }
        !links.is_empty()
    }

    /// A node dies and begins anew at the same address. Nothing that it has sent and that has not
    /// been acted upon comes after that. Whether it had a session to lose.
    fn restart(&mut self, node: usize) -> bool {
        self.trace(format_args!("node {node} restarts"));
        self.stats.bump("restarts");
        let happened = !self.nodes[node].cons.is_empty();
        for id in self.nodes[node].cons.clone() {
            self.end_con(id);
        }
        for id in 0..self.accepting.len() {
            if self.accepting[id].as_ref().is_some_and(|a| a.node == node) {
                self.accepting[id] = None;
            }
        }
        for link in 0..self.links.len() {
            let Some(side) = self.links[link].nodes.iter().position(|n| *n == node) else {
                continue;
            };
            if !self.links[link].dead {
                self.links[link].kill();
                self.links[link].ways[side].arrived.clear();
                let notice = self.random.pick(&[10 * MS, SEC, 20 * SEC]);
                let notice = self.random.below(notice);
                self.after(notice, Event::Reset(link, 1 - side));
            }
        }
        for held in &mut self.held {
            held.take_if(|(of, _)| *of == node);
        }
        let global_seq = self.nodes[node].local.global_seq(GlobalSeq(0));
        self.nodes[node] = Node::new(node, &self.plan);
        if self.plan.counts_on {
            self.nodes[node].local.global_seq(global_seq);
        }
        happened
    }

    /// No more faults; every client and every daemon has something to say once more.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.parted = [[0; 3]; 3];
        for link in &mut self.links {
            for way in &mut link.ways {
                (way.stalled, way.spoil) = (0, None);
            }
        }
        for i in 0..self.held.len() {
            self.release(i);
        }
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let dials =
                    if self.plan.kind.symmetric() { from != to } else { from > 0 && to == 0 };
                if dials {
                    let id = self.connect_to(from, to);
                    self.send(id);
                }
            }
        }
        for node in 0..self.nodes.len() {
            for _ in 0..3 {
                let pause = self.random.below(2 * self.plan.latency + 20 * MS);
                self.after(pause, Event::Revoke(node));
            }
        }
    }

    /// An application takes back one of the messages that it sent last.
    fn revoke_some(&mut self, node: usize) {
        // Where the peer cannot say what it has, a gap cannot be mended.
        if let Some(&id) = self.nodes[node].cons.last().filter(|_| self.plan.reconnect_seq) {
            self.revoke(id);
        }
    }

    /// An application takes back all that it has sent of late.
    pub(super) fn revoke_all(&mut self, node: usize) {
        for id in self.nodes[node].cons.clone() {
            while self.plan.reconnect_seq && !self.cons[id].recent.is_empty() {
                self.revoke(id);
            }
        }
    }
}
