//! The connecting side: from the banner to the open session, each state with what is known in it.

use super::control::{
    AuthBadMethod, AuthDoneFrame, AuthReplyMoreFrame, AuthRequestMoreFrame, AuthSignatureFrame,
    CLIENT_IDENT_LOSSY, ControlFrame, HelloFrame, ServerIdentFrame,
};
use super::session::{global_seq, not_connected};
use super::{AuthSignatures, Banner, FrameRx, FrameTx, Framing, Role, Rx, Tag, set_con_mode};
use crate::auth::{AuthClientHandler, AuthConnector, AuthError};
use crate::limits;
use crate::msgr::{ConState, Context, Event, Fault, OutKvec, Tx, tx};
use crate::types::{EntityAddr, EntityName, Features};

/// How far the connection is.
#[derive(Debug)]
pub(super) enum State {
    Banner,
    Hello(Box<Frames>),
    Auth(Box<Frames>, Box<AuthConnector>),
    AuthSignature(Box<Frames>, Box<Authenticated>),
    SessionConnect(Box<Frames>),
    SessionReconnect(Box<Frames>),
    /// The other half is the session's.
    Ready(Box<FrameRx>),
    Faulted(Fault),
}

/// Both directions of a socket, while the handshake needs them.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) tx: FrameTx,
    pub(super) rx: FrameRx,
    /// Where the peer sees this side: its HELLO says it, and it is believed once the peer has shown who
    /// it is.
    seen: EntityAddr,
}

/// What the peer's signature is compared with, and what follows once it is right.
#[derive(Debug)]
pub(super) struct Authenticated {
    signatures: AuthSignatures,
    login: Option<Box<AuthClientHandler>>,
}

impl Frames {
    /// After both banners, of which the peer's is `banner`.
    pub(super) fn new(role: Role, banner: &[u8], crc_data: bool) -> Result<Self, Fault> {
        let payload = banner.get(super::BANNER_HEAD_LEN..).unwrap_or_default();
        let revision = Banner::OURS.agree(&Banner::decode(payload)?)?;
        let (tx, rx) = (FrameTx::new(revision), FrameRx::new(revision, role));
        let mut frames = Self { tx, rx, seen: EntityAddr::NONE };
        frames.tx.transcript().add(&Banner::OURS.encode())?;
        frames.rx.transcript().add(banner)?;
        frames.tx.set_crc_data(crc_data);
        frames.rx.set_crc_data(crc_data);
        Ok(frames)
    }

    /// Every byte of the handshake so far: what was received, and what was sent.
    pub(super) fn take_transcripts(&mut self) -> (Vec<u8>, Vec<u8>) {
        (self.rx.transcript().take(), self.tx.transcript().take())
    }
}

/// Whether two addresses are one.
pub(super) fn is_same(a: &EntityAddr, b: &EntityAddr) -> bool {
    (a.addr_type, a.nonce, a.place()) == (b.addr_type, b.nonce, b.place())
}

/// What frames can be made of: those without which their addresses could not be read.
pub(super) fn required(features: Features) -> Features {
    features.with(Features::MSG_ADDR2)
}

impl Rx {
    /// A socket is being opened: the banner goes out first, and nothing else. A session that there
    /// has been is asked for under the next connect_seq.
    pub fn prepare_write_banner(&mut self, tx: &mut Tx) {
        if tx.session.server_cookie != 0 && !mutant!(ConnectSeqNotBumped) {
            tx.session.connect_seq.0 = tx.session.connect_seq.0.wrapping_add(1);
        }
        tx.out_kvec.reset();
        tx.out_kvec.add(&Banner::OURS.encode());
        self.prepare_read_banner();
        tx.set_state(ConState::V2Banner);
    }

    /// What was half read belongs to a socket that is gone: a banner is the next thing to be read.
    pub fn prepare_read_banner(&mut self) {
        self.in_buf.reset();
        self.state = State::Banner;
        self.rounds = 0;
        self.throttled = None;
        if !mutant!(ThrottleKeptAtFault) {
            self.budget = Default::default();
        }
    }

    /// `awaited` is what was awaited before.
    pub(super) fn set_faulted(&mut self, fault: &Fault, awaited: &'static str) {
        self.awaited = awaited;
        self.state = State::Faulted(fault.clone());
    }

    /// Puts into the out buffer what the peer has to answer. Bytes that are there already cannot be
    /// the answer.
    pub(super) fn request<T: ControlFrame>(
        &self,
        out: &mut OutKvec,
        frames: &mut Frames,
        frame: &T,
    ) -> Result<(), Fault> {
        if self.in_buf.len() > 0 {
            return Err(Fault::ReplyBeforeRequest);
        }
        frames.tx.add_control(out, frame)
    }

    pub(super) fn process_banner(
        &mut self,
        tx: &mut Tx,
        banner: &[u8],
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let mut frames = Frames::new(Role::Connecting, banner, cx.local.options.crc_data)?;
        let (entity_type, peer_addr) = (cx.local.name().entity_type, self.peer.addr);
        frames.tx.add_control(&mut tx.out_kvec, &HelloFrame { entity_type, peer_addr })?;
        self.state = State::Hello(Box::new(frames));
        tx.set_state(ConState::V2Hello);
        Ok(())
    }

    /// Acts on a frame of the handshake. Whatever has no place in the state is a fault.
    pub(super) fn process_control(
        &mut self,
        tx: &mut Tx,
        tag: Tag,
        payload: &[u8],
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        log::trace!("{}: < {tag} ({} bytes)", self.peer, payload.len());
        self.rounds += 1;
        if self.rounds > limits::MAX_CONNECT_ROUNDS {
            return Err(Fault::TooManyRounds(limits::MAX_CONNECT_ROUNDS));
        }
        match (std::mem::replace(&mut self.state, State::Banner), tag) {
            (State::Hello(frames), Tag::Hello) => {
                self.process_hello(tx, frames, &ControlFrame::from_payload(payload)?, cx)?;
            }
            (State::Auth(frames, connector), _) => {
                self.process_auth(tx, frames, connector, tag, payload, cx)?;
            }
            (State::AuthSignature(frames, authenticated), Tag::AuthSignature) => {
                let Authenticated { signatures, login } = *authenticated;
                signatures.check(&AuthSignatureFrame::from_payload(payload)?.0)?;
                cx.local.learn_addr(frames.seen);
                if let Some(login) = login {
                    cx.auth.logged_in(*login);
                }
                self.prepare_write_session(tx, frames, cx)?;
            }
            (State::SessionConnect(frames), Tag::ServerIdent) => {
                let ident = ControlFrame::from_payload(payload)?;
                return self.process_server_ident(tx, frames, &ident, cx).map(Some);
            }
            (State::SessionConnect(_), _) => return Err(not_connected(tag, payload, cx)),
            (State::SessionReconnect(frames), _) => {
                return self.process_reconnect(tx, frames, tag, payload, cx);
            }
            _ => return Err(Fault::UnexpectedTag(tag)),
        }
        Ok(None)
    }

    fn process_hello(
        &mut self,
        tx: &mut Tx,
        mut frames: Box<Frames>,
        hello: &HelloFrame,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let (want, got) = (self.peer.name.entity_type, hello.entity_type);
        if want != got {
            return Err(Fault::WrongPeerType { want, got });
        }
        frames.seen = hello.peer_addr;
        let modes = cx.local.options.con_modes(cx.local.name().entity_type, want);
        let mut connector = cx.auth.start_auth(want, modes, cx.now, false)?;
        let request = connector.get_auth_request()?;
        self.request(&mut tx.out_kvec, &mut frames, &request)?;
        self.state = State::Auth(frames, Box::new(connector));
        tx.set_state(ConState::V2Auth);
        Ok(())
    }

    fn process_auth(
        &mut self,
        tx: &mut Tx,
        mut frames: Box<Frames>,
        mut connector: Box<AuthConnector>,
        tag: Tag,
        payload: &[u8],
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        match tag {
            Tag::AuthBadMethod => {
                let bad = AuthBadMethod::from_payload(payload)?;
                log::debug!("{}: < {bad:?}", self.peer);
                let request = connector.handle_auth_bad_method(&bad, cx.now)?;
                self.request(&mut tx.out_kvec, &mut frames, &request)?;
            }
            Tag::AuthReplyMore => {
                let more = AuthReplyMoreFrame::from_payload(payload)?;
                let payload = connector.handle_auth_reply_more(&more.payload, cx.now)?;
                let answer = AuthRequestMoreFrame { payload };
                self.request(&mut tx.out_kvec, &mut frames, &answer)?;
            }
            Tag::AuthDone => {
                let frame = AuthDoneFrame::from_payload(payload)?;
                return self.process_auth_done(tx, frames, &mut connector, &frame, cx);
            }
            other => return Err(Fault::UnexpectedTag(other)),
        }
        self.state = State::Auth(frames, connector);
        Ok(())
    }

    /// From here on frames are as the mode says, the signature first.
    fn process_auth_done(
        &mut self,
        tx: &mut Tx,
        mut frames: Box<Frames>,
        connector: &mut AuthConnector,
        frame: &AuthDoneFrame,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        let AuthDoneFrame { global_id, con_mode, payload } = frame;
        let done = connector.handle_auth_done(*global_id, *con_mode, payload, cx.now)?;
        log::debug!("{}: authenticated, {} mode", self.peer, done.mode);
        let (received, sent) = frames.take_transcripts();
        let signatures = AuthSignatures::new(done.session_key.as_ref(), &received, &sent)
            .map_err(AuthError::from)?;
        let secret = done.connection_secret.as_ref().map_or(&[][..], |secret| secret.as_bytes());
        let Frames { tx: frame_tx, rx: frame_rx, .. } = &mut *frames;
        set_con_mode(frame_tx, frame_rx, done.mode, secret)?;
        frame_tx.add_control(&mut tx.out_kvec, &AuthSignatureFrame(signatures.ours()))?;
        let authenticated = Authenticated { signatures, login: done.login };
        self.state = State::AuthSignature(frames, Box::new(authenticated));
        tx.con_mode = Some(done.mode);
        tx.set_state(ConState::V2AuthSignature);
        Ok(())
    }

    /// The peer opens a new session.
    fn process_server_ident(
        &mut self,
        tx: &mut Tx,
        frames: Box<Frames>,
        ident: &ServerIdentFrame,
        cx: &Context<'_>,
    ) -> Result<Event, Fault> {
        log::trace!("{}: < {ident:?}", self.peer);
        let want = self.peer.addr;
        if !ident.addrs.0.iter().any(|addr| is_same(addr, &want)) {
            let got = ident.addrs.msgr2_or_first().unwrap_or(EntityAddr::NONE);
            return Err(Fault::WrongPeer { want, got });
        }
        let options = &cx.local.options;
        let missing = ident.required_features.missing_in(options.supported);
        if !missing.is_empty() {
            return Err(Fault::FeaturesMissing(missing));
        }
        let lacking = required(options.required).missing_in(ident.supported_features);
        if !lacking.is_empty() {
            return Err(Fault::PeerLacksFeatures(lacking));
        }
        let global_seq = global_seq(ident.global_seq)?;
        tx.session.begin_anew();
        tx.session.server_cookie = ident.cookie;
        tx.session.peer_global_seq = global_seq;
        tx.session.lossy = ident.flags & CLIENT_IDENT_LOSSY != 0;
        tx.features = ident.supported_features & options.supported;
        if ident.gid >= 0 {
            self.src = EntityName::new(self.peer.name.entity_type, ident.gid);
        }
        Ok(self.con_opened(tx, frames))
    }

    /// Messages may come and go.
    pub(super) fn con_opened(&mut self, tx: &mut Tx, frames: Box<Frames>) -> Event {
        // The kernel refuses gaps here. But a peer without `resetcheck` that keeps what waits may begin a
        // new session above 1, and would do so each time.
        tx.session.gaps = true;
        tx.quiet = false;
        self.set_ready(tx, frames);
        Event::Connected(tx.features)
    }

    pub(super) fn set_ready(&mut self, tx: &mut Tx, frames: Box<Frames>) {
        let Frames { tx: frame_tx, rx: mut frame_rx, .. } = *frames;
        frame_rx.set_ready();
        tx.session.once_ready = true;
        tx.set_framing(tx::Framing::V2(Framing(frame_tx)));
        self.state = State::Ready(Box::new(frame_rx));
        tx.set_state(ConState::Open);
    }
}
