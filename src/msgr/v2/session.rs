//! The connecting side asks for a session, a new one or the one that there has been, and what
//! follows from each answer.

use super::control::{
    CLIENT_IDENT_LOSSY, ClientIdentFrame, ControlFrame, IdentMissingFeaturesFrame, ReconnectFrame,
    ReconnectOkFrame, ResetFrame, RetryFrame, RetryGlobalFrame, WaitFrame,
};
use super::handshake::{Frames, State, required};
use super::{Rx, Tag};
use crate::auth::AuthError;
use crate::crypto::random;
use crate::limits;
use crate::msgr::{ConState, Context, Event, Fault, Tx};
use crate::types::{ConnectSeq, Features, GlobalSeq};

/// A global_seq as v2 has it, in 64 bits of which no messenger uses more than 32.
pub(super) fn global_seq(n: u64) -> Result<GlobalSeq, Fault> {
    n.try_into().map(GlobalSeq).map_err(|_| Fault::BadGlobalSeq(n))
}

/// The same for a connect_seq. It counts the connections of one session, and one lie must leave room
/// for the true ones.
pub(super) fn connect_seq(n: u64) -> Result<ConnectSeq, Fault> {
    match u32::try_from(n) {
        Ok(n) if n < limits::MAX_CONNECT_SEQ => Ok(ConnectSeq(n)),
        _ => Err(Fault::ConnectSeqTooHigh(n)),
    }
}

/// What names one end of a session: random, and not 0.
pub(super) fn new_cookie() -> Result<u64, Fault> {
    Ok(u64::from_le_bytes(random().map_err(AuthError::from)?).max(1))
}

impl Rx {
    /// Asks for the session that there has been, if there has been one, or for a new one.
    pub(super) fn prepare_write_session(
        &mut self,
        tx: &mut Tx,
        frames: Box<Frames>,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let global_seq = cx.local.global_seq(GlobalSeq(0));
        match tx.session.server_cookie {
            0 => self.prepare_write_client_ident(tx, frames, global_seq, cx),
            _ => self.prepare_write_reconnect(tx, frames, global_seq, cx),
        }
    }

    fn prepare_write_client_ident(
        &mut self,
        tx: &mut Tx,
        mut frames: Box<Frames>,
        global_seq: GlobalSeq,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let (options, lossy) = (&cx.local.options, self.peer.policy.lossy);
        if !lossy && tx.session.client_cookie == 0 {
            tx.session.client_cookie = new_cookie()?;
        }
        let ident = ClientIdentFrame {
            addrs: cx.local.addrs(),
            target_addr: self.peer.addr,
            gid: cx.local.name().num,
            global_seq: global_seq.0.into(),
            supported_features: options.supported,
            required_features: required(options.required),
            flags: if lossy { CLIENT_IDENT_LOSSY } else { 0 },
            cookie: tx.session.client_cookie,
        };
        log::trace!("{}: > {ident:?}", self.peer);
        self.request(&mut tx.out_kvec, &mut frames, &ident)?;
        self.state = State::SessionConnect(frames);
        tx.set_state(ConState::V2SessionConnect);
        Ok(())
    }

    fn prepare_write_reconnect(
        &mut self,
        tx: &mut Tx,
        mut frames: Box<Frames>,
        global_seq: GlobalSeq,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let reconnect = ReconnectFrame {
            addrs: cx.local.addrs(),
            client_cookie: tx.session.client_cookie,
            server_cookie: tx.session.server_cookie,
            global_seq: global_seq.0.into(),
            connect_seq: tx.session.connect_seq.0.into(),
            msg_seq: tx.session.in_seq,
        };
        log::trace!("{}: > {reconnect:?}", self.peer);
        self.request(&mut tx.out_kvec, &mut frames, &reconnect)?;
        self.state = State::SessionReconnect(frames);
        tx.set_state(ConState::V2SessionReconnect);
        Ok(())
    }

    /// Every answer to SESSION_RECONNECT.
    pub(super) fn process_reconnect(
        &mut self,
        tx: &mut Tx,
        frames: Box<Frames>,
        tag: Tag,
        payload: &[u8],
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        match tag {
            Tag::SessionReconnectOk => {
                let ReconnectOkFrame(seq) = ControlFrame::from_payload(payload)?;
                log::trace!("{}: < reconnect ok, seq {seq}", self.peer);
                tx.session.discard_requeued(seq)?;
                // SESSION_RECONNECT has told it.
                tx.session.tell_in_seq();
                Ok(Some(self.con_opened(tx, frames)))
            }
            Tag::SessionReset => {
                let ResetFrame(full) = ControlFrame::from_payload(payload)?;
                self.process_session_reset(tx, frames, full, cx)
            }
            Tag::SessionRetry => {
                let RetryFrame(seq) = ControlFrame::from_payload(payload)?;
                tx.session.connect_seq = ConnectSeq(connect_seq(seq)?.0 + 1);
                self.prepare_write_session(tx, frames, cx)?;
                Ok(None)
            }
            Tag::SessionRetryGlobal => {
                let RetryGlobalFrame(seq) = ControlFrame::from_payload(payload)?;
                // What it saw came from here: the counter cannot have got that far.
                if seq > limits::MAX_GLOBAL_SEQ.into() {
                    return Err(Fault::BadGlobalSeq(seq));
                }
                cx.local.global_seq(global_seq(seq)?);
                self.prepare_write_session(tx, frames, cx)?;
                Ok(None)
            }
            Tag::Wait => Err(wait(payload, cx)),
            other => Err(Fault::UnexpectedTag(other)),
        }
    }

    /// The peer has no such session. Where it is not a `full` reset the peer has never known it to be
    /// open, or does not mind: what is queued here is for the new one.
    fn process_session_reset(
        &mut self,
        tx: &mut Tx,
        frames: Box<Frames>,
        full: bool,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        if !full && !mutant!(ResetAlwaysFull) {
            log::info!("{}: the session is not known to be open", tx.peer);
            if !mutant!(ServerCookieKeptAtReset) {
                tx.session.server_cookie = 0;
            }
            tx.session.begin_anew();
            self.prepare_write_session(tx, frames, cx)?;
            return Ok(None);
        }
        log::info!("{}: the peer has lost the session", tx.peer);
        // Unless the owner cannot be told of it because the handshake ends here: then the peer will
        // say it again at the next attempt.
        let lost = std::mem::take(&mut tx.session);
        if let Err(fault) = self.prepare_write_session(tx, frames, cx) {
            tx.session = lost;
            return Err(fault);
        }
        Ok(Some(Event::RemoteReset))
    }
}

/// Every answer to CLIENT_IDENT but SERVER_IDENT.
pub(super) fn not_connected(tag: Tag, payload: &[u8], cx: &Context<'_>) -> Fault {
    match tag {
        Tag::IdentMissingFeatures => match IdentMissingFeaturesFrame::from_payload(payload) {
            Ok(IdentMissingFeaturesFrame(features)) => Fault::FeaturesMissing(Features(features)),
            Err(e) => e.into(),
        },
        Tag::Wait => wait(payload, cx),
        other => Fault::UnexpectedTag(other),
    }
}

/// The peer dials this side too, and its own attempt is to be the connection.
fn wait(payload: &[u8], cx: &Context<'_>) -> Fault {
    match WaitFrame::from_payload(payload) {
        Err(e) => e.into(),
        Ok(_) if cx.local.addr().port() != 0 => Fault::Wait,
        Ok(_) => Fault::WaitAsClient,
    }
}
