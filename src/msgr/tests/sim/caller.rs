//! What the owner of a connection does with it.

use super::con::{Con, number};
use super::model::Model;
use super::net::{End, Owner, Socket};
use super::seeds::Protocol;
use super::world::World;
use crate::msgr::{self, ConState, Peer};
use crate::types::Seq;

impl World {
    /// The session with a node, which is dialled if there is none.
    pub(super) fn connect_to(&mut self, node: usize, peer: usize) -> usize {
        let target = Peer {
            name: self.nodes[peer].name(),
            addr: self.nodes[peer].addr,
            policy: self.plan.kind.dialler(),
        };
        if let Some(id) = self.nodes[node].registered(target.addr) {
            return id;
        }
        let (rx, tx) = msgr::connection(target, &self.nodes[node].local);
        let id = self.add(Con::new(node, peer, target, rx, tx));
        self.nodes[node].register(target.addr, id);
        self.trace(format_args!("con {id}: node {node} connects to {peer}"));
        self.wake(Owner::Con(id));
        id
    }

    /// A caller sends: on an open connection on its own thread.
    pub(super) fn send(&mut self, id: usize) {
        let number = self.model.send(id, self.cons[id].peer);
        let msg = self.message(number);
        let con = &mut self.cons[id];
        self.stats.add("woken from standby", (con.tx.state() == ConState::Standby).into());
        let direct = con.tx.state() == ConState::Open && !con.tx.wants_write();
        con.recent.push((con.tx.send(msg), number));
        if con.recent.len() > 12 {
            con.recent.remove(0);
        }
        let mut rest = true;
        if let Some(End { link, side }) = con.end.filter(|_| direct) {
            let mut sock = Socket { link: &mut self.links[link], side };
            let cx = self.nodes[con.node].context(self.base);
            match con.tx.try_write(&mut sock, &cx) {
                Ok(all) => {
                    rest = !all;
                    con.note_told();
                }
                Err(fault) => con.fault = Some(fault),
            }
            self.pump(link);
        }
        let state = self.cons[id].tx.state();
        self.trace(format_args!("con {id}: sends message {number} ({state})"));
        if rest {
            self.wake(Owner::Con(id));
        }
    }

    /// A caller takes a message back.
    pub(super) fn revoke(&mut self, id: usize) {
        let con = &mut self.cons[id];
        if con.recent.is_empty() {
            return;
        }
        let (msg_id, n) = con.recent.remove(self.random.index(con.recent.len()));
        let waits = &con.tx.session.out_queue;
        let unsent = waits.iter().any(|q| n == number(&q.msg) && q.msg.header.seq == Seq(0));
        let in_kvec = con.tx.out_kvec.holds(msg_id.number());
        let first_time = con.requeued.is_none_or(|up_to| up_to < n);
        if con.tx.revoke(msg_id) {
            if self.plan.protocol == Protocol::V2 {
                check_told(con, &mut self.model);
            }
            self.model.revoke(n, unsent || in_kvec && first_time);
            self.stats.bump("revoked");
            self.trace(format_args!("con {id}: revokes {n}, unsent {unsent}, half {in_kvec}"));
        }
        self.wake(Owner::Con(id));
    }

    /// A caller ends the session.
    pub(super) fn mark_down(&mut self, id: usize) {
        self.trace(format_args!("con {id}: marked down"));
        self.end_con(id);
    }
}

/// Of what waited in the out buffer nothing is left: an ack that was in it is still to come.
fn check_told(con: &Con, model: &mut Model) {
    let session = &con.tx.session;
    let lost = session.in_seq_acked.ahead_of(con.told) > 0;
    if con.tx.is_unblocked() && lost && !session.ack_due() {
        model.broken("an ack is lost", format!("{} of {}", session.in_seq_acked, con.told));
    }
}
