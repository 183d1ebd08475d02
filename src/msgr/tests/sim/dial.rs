//! From PREOPEN to a socket.

use super::con::HANDSHAKE;
use super::net::{End, Owner};
use super::world::{Event, World};
use crate::msgr::{ConState, Fault};

impl World {
    /// Dials after the backoff.
    pub(super) fn open_con(&mut self, id: usize) {
        let con = &mut self.cons[id];
        if con.dialling || con.take_over.is_some() {
            return;
        }
        con.dialling = true;
        con.attempt += 1;
        let (delay, attempt) = (std::mem::take(&mut con.delay), con.attempt);
        self.after(delay, Event::Dial(id, attempt));
    }

    /// The peer waits for this side to dial: no backoff.
    pub(super) fn hurry(&mut self, id: usize) {
        let con = &mut self.cons[id];
        if con.dialling && con.take_over.is_none() {
            con.attempt += 1;
            let attempt = con.attempt;
            self.after(0, Event::Dial(id, attempt));
        }
        self.wake(Owner::Con(id));
    }

    /// The SYN leaves.
    pub(super) fn dial(&mut self, id: usize, attempt: u32) {
        let latency = self.latency();
        let con = &self.cons[id];
        if con.dead || con.attempt != attempt {
            return;
        }
        if self.is_parted(con.node, con.peer) {
            let refused = Fault::Io(std::io::ErrorKind::ConnectionRefused);
            self.after(latency, Event::DialFailed(id, attempt, refused));
        } else {
            self.after(latency, Event::Dialled(id, attempt));
        }
    }

    pub(super) fn dial_failed(&mut self, id: usize, attempt: u32, fault: &Fault) {
        if !self.cons[id].dead && self.cons[id].attempt == attempt {
            self.fault(id, fault);
        }
    }

    /// TCP has connected.
    pub(super) fn dialled(&mut self, id: usize, attempt: u32) {
        let con = &mut self.cons[id];
        if con.dead || con.attempt != attempt || con.take_over.is_some() {
            return;
        }
        let (node, peer) = (con.node, con.peer);
        let link = self.socket_pair(node, peer, Owner::Con(id));
        self.links[link].losses = self.model.losses(node, peer);
        let con = &mut self.cons[id];
        con.dialling = false;
        con.end = Some(End { link, side: 0 });
        con.rx.prepare_banner(&mut con.tx, &self.nodes[node].context(self.base));
        self.trace(format_args!("con {id}: has dialled, link {link}"));
        self.after(HANDSHAKE, Event::Timeout(id, attempt));
        self.accepted(peer, node, End { link, side: 1 });
        self.step(id);
    }

    /// The handshake has taken too long.
    pub(super) fn late(&mut self, id: usize, attempt: u32) {
        let con = &self.cons[id];
        let busy = con.tx.state() != ConState::Open && con.take_over.is_none();
        if !con.dead && con.attempt == attempt && busy {
            let fault = Fault::TimedOut(con.rx.awaiting());
            self.fault(id, &fault);
        }
    }
}
