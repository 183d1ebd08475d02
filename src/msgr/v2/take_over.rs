//! A session takes an accepted socket as its own (`ProtocolV2::reuse_connection`,
//! `send_server_ident` and `send_reconnect_ok`).

use super::accept::{Ident, Reconnect};
use super::control::{ReconnectOkFrame, ServerIdentFrame};
use super::handshake::Frames;
use super::{Rx, connection};
use crate::auth::{AuthServiceHandler, ConMode};
use crate::msgr::in_buf::InBuf;
use crate::msgr::{Event, Fault, Peer, Tx};

/// An accepted socket whose session is found.
#[derive(Debug)]
pub struct TakeOver {
    pub(super) in_buf: InBuf,
    pub(super) frames: Box<Frames>,
    pub(super) peer: Peer,
    pub(super) opening: Opening,
    pub(super) mode: ConMode,
    /// The dialler's login, at a monitor.
    pub(super) login: Option<Box<AuthServiceHandler>>,
    /// The dialler has lost its session.
    pub(super) reset: bool,
}

/// How the session goes on.
#[derive(Debug)]
pub(super) enum Opening {
    New(Ident, ServerIdentFrame),
    Again(Reconnect),
}

impl TakeOver {
    /// Who dialled.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The login of the dialler, where this side is a monitor.
    pub fn take_login(&mut self) -> Option<Box<AuthServiceHandler>> {
        self.login.take()
    }

    /// Both halves of a new connection for this socket, which take it over next.
    pub fn connection(&self) -> (Rx, Tx) {
        connection(self.peer)
    }
}

impl Rx {
    /// Continues the session on an accepted socket. What was half read or half written on the last
    /// one is dropped, and what is unacknowledged waits in front again. The events are in the order
    /// in which they are to be told.
    pub fn take_over(
        &mut self,
        tx: &mut Tx,
        socket: TakeOver,
    ) -> Result<[Option<Event>; 2], Fault> {
        let TakeOver { in_buf, mut frames, peer, opening, mode, reset, .. } = socket;
        self.prepare_read_banner();
        self.in_buf = in_buf;
        tx.prepare_take_over(&peer);
        let mut told = None;
        match opening {
            Opening::New(ident, reply) => {
                log::trace!("{peer}: > {reply:?}");
                if reset && peer.policy.resetcheck && !mutant!(HardResetIgnored) {
                    log::info!("{peer}: the peer has lost the session");
                    tx.session.reset();
                    told = Some(Event::RemoteReset);
                }
                self.src = peer.name;
                tx.session.begin_anew();
                tx.session.client_cookie = ident.client_cookie;
                tx.session.server_cookie = reply.cookie;
                tx.session.peer_global_seq = ident.global_seq;
                tx.session.lossy = peer.policy.lossy;
                tx.features = ident.features;
                frames.tx.add_control(&mut tx.out_kvec, &reply)?;
            }
            Opening::Again(reconnect) => {
                if !mutant!(ConnectSeqKept) {
                    tx.session.connect_seq = reconnect.connect_seq;
                }
                tx.session.peer_global_seq = reconnect.global_seq;
                tx.session.discard_requeued(reconnect.msg_seq)?;
                let seq = tx.session.tell_in_seq();
                let seq = if mutant!(SeqOffByOne) { seq.next() } else { seq };
                log::trace!("{peer}: > reconnect ok, seq {seq}");
                frames.tx.add_control(&mut tx.out_kvec, &ReconnectOkFrame(seq))?;
            }
        }
        tx.session.gaps = true;
        tx.con_mode = Some(mode);
        self.set_ready(tx, frames);
        Ok([told, Some(Event::Accepted(tx.features))])
    }
}
