//! A session takes an accepted socket as its own (`ProtocolV1::open` and `replace`).

use super::read::ReadState;
use super::sign::Signer;
use super::wire::{ConnectReply, tag};
use super::{ConState, Event, Peer, Rx, connection};
use crate::msgr::in_buf::InBuf;
use crate::msgr::{Fault, Local, Tx};
use crate::types::{Features, GlobalSeq, Seq};

/// An accepted socket whose session is found: the bytes that were read ahead, the reply that opens
/// it, and the keys.
#[derive(Debug)]
pub struct TakeOver {
    pub(super) in_buf: InBuf,
    pub(super) reply: ConnectReply,
    /// What shows the dialler that its authorizer was read.
    pub(super) proof: Vec<u8>,
    pub(super) peer: Peer,
    pub(super) peer_global_seq: GlobalSeq,
    pub(super) features: Features,
    pub(super) signer: Option<Signer>,
    /// The dialler has lost its session.
    pub(super) reset: bool,
}

impl TakeOver {
    /// Who dialled.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Both halves of a new connection for this socket, which take it over next.
    pub fn connection(&self, local: &Local) -> (Rx, Tx) {
        connection(self.peer, local)
    }
}

impl Rx {
    /// Continues the session on an accepted socket. What was half read or half written on the last
    /// one is dropped, and what is unacknowledged waits in front again. With SEQ the session is
    /// open when the dialler has said what it has; the events are in the order in which they are to
    /// be told.
    pub fn take_over(&mut self, tx: &mut Tx, socket: TakeOver) -> [Option<Event>; 2] {
        let TakeOver { in_buf, reply, proof, peer, peer_global_seq, features, signer, reset } =
            socket;
        self.in_buf = in_buf;
        self.handshake = Default::default();
        self.features = features;
        tx.prepare_take_over(&peer);
        tx.features = features;
        self.set_signer(tx, signer);
        let reset = reset && !mutant!(HardResetIgnored);
        let mut told = None;
        if reset && peer.policy.resetcheck {
            log::info!("{peer}: the peer has lost the session");
            tx.session.reset();
            told = Some(Event::RemoteReset);
        } else if reset {
            tx.session.begin_anew();
        }
        if !mutant!(ConnectSeqKept) {
            tx.session.connect_seq = reply.connect_seq;
        }
        tx.session.peer_global_seq = peer_global_seq;
        tx.session.lossy = reply.is_lossy();
        tx.session.gaps = true;
        log::trace!("{peer}: > {reply:?}");
        tx.out_kvec.add(&reply.encode());
        tx.out_kvec.add(&proof);
        if reply.tag == tag::SEQ {
            tx.prepare_write_seq();
            self.read = ReadState::PeerSeq;
            tx.set_state(ConState::AcceptingWaitSeq);
            [told, None]
        } else {
            [told, Some(self.accepted(tx))]
        }
    }

    /// The dialler's in_seq: what it has already is not sent again, and the session is open.
    pub(super) fn process_peer_seq(&mut self, tx: &mut Tx, seq: Seq) -> Result<Event, Fault> {
        log::trace!("{}: < seq {seq}", tx.peer);
        tx.session.discard_requeued(seq)?;
        tx.session.once_ready = true;
        Ok(self.accepted(tx))
    }

    fn accepted(&mut self, tx: &mut Tx) -> Event {
        self.prepare_read_tag();
        tx.set_state(ConState::Open);
        Event::Accepted(tx.features)
    }
}
