//! The negotiation: connect messages, and what follows from each tag of a reply.

use super::read::ConnectReplyMsg;
use super::sign::Signer;
use super::wire::{Connect, ConnectReply, tag};
use super::{ConState, Context, Event, Rx};
use crate::limits;
use crate::msgr::fault::protocol_version;
use crate::msgr::{Fault, Tx};
use crate::types::{ConnectSeq, Features, GlobalSeq, Seq};

impl Rx {
    /// Builds a connect message, and puts it alone into the out buffer. The authorizer is
    /// fetched first: where there is none, nothing is queued. The out buffer is reset here, on
    /// every path; no caller does.
    pub(super) fn prepare_write_connect(
        &mut self,
        tx: &mut Tx,
        cx: &Context<'_>,
    ) -> Result<(), Fault> {
        // What is there already cannot be an answer to what has not gone out yet.
        if self.in_buf.len() > 0 {
            return Err(Fault::ReplyBeforeRequest);
        }
        let connect = match self.handshake.connect.take() {
            // A challenge is answered with the same message, but for the authorizer.
            Some(connect) => connect,
            None => {
                if self.handshake.authorizer.is_none() {
                    self.handshake.authorizer = cx.auth.get_authorizer(
                        self.peer.entity_type(),
                        cx.now,
                        self.handshake.refused,
                    )?;
                }
                Connect {
                    features: cx.local.options.supported,
                    host_type: cx.local.name().entity_type,
                    global_seq: cx.local.global_seq(GlobalSeq(0)),
                    connect_seq: tx.session.connect_seq,
                    protocol_version: self.protocol_version(cx),
                    authorizer_protocol: 0,
                    authorizer_len: 0,
                    flags: 0,
                }
            }
        };
        let authorizer = self.handshake.authorizer.as_ref();
        let bytes = authorizer.map_or(&[][..], |a| a.bytes());
        let connect = Connect {
            authorizer_protocol: authorizer.map_or(0, |a| a.protocol()),
            authorizer_len: bytes.len() as u32,
            ..connect
        };
        log::trace!("{}: > {connect:?}", tx.peer);
        tx.out_kvec.reset();
        tx.out_kvec.add(&connect.encode());
        tx.out_kvec.add(bytes);
        self.handshake.connect = Some(connect);
        Ok(())
    }

    fn protocol_version(&self, cx: &Context<'_>) -> u32 {
        protocol_version(self.peer.entity_type(), cx.local.name().entity_type)
    }

    /// Asks again, with a message of its own: a new global_seq, and what the session says now.
    fn connect_again(&mut self, tx: &mut Tx, cx: &Context<'_>) -> Result<(), Fault> {
        self.handshake.connect = None;
        self.prepare_write_connect(tx, cx)?;
        self.prepare_read_connect();
        Ok(())
    }

    /// Acts on a connect reply, tag by tag.
    pub(super) fn process_connect(
        &mut self,
        tx: &mut Tx,
        msg: ConnectReplyMsg,
        cx: &Context<'_>,
    ) -> Result<Option<Event>, Fault> {
        let reply = msg.reply;
        log::trace!("{}: < {reply:?}", tx.peer);
        self.handshake.rounds += 1;
        if self.handshake.rounds > limits::MAX_CONNECT_ROUNDS {
            return Err(Fault::TooManyRounds(limits::MAX_CONNECT_ROUNDS));
        }
        if reply.tag == tag::CHALLENGE_AUTHORIZER {
            let Some(authorizer) = &mut self.handshake.authorizer else {
                return Err(Fault::GarbageTag(reply.tag));
            };
            authorizer.add_challenge(&msg.authorizer)?;
            self.prepare_write_connect(tx, cx)?;
            self.prepare_read_connect();
            return Ok(None);
        }
        self.verify_authorizer_reply(&msg)?;
        let own = cx.local.options.supported;
        match reply.tag {
            tag::READY => self.con_opened(tx, &reply, cx).map(Some),
            tag::SEQ => {
                self.check_opening(tx, &reply, cx)?;
                self.prepare_read_seq(reply);
                Ok(None)
            }
            tag::RESETSESSION if tx.session.is_unheard_of() => {
                // It dialled, and the answer got lost: it has nothing to lose.
                tx.session.connect_seq = ConnectSeq(0);
                self.connect_again(tx, cx)?;
                Ok(None)
            }
            tag::RESETSESSION => {
                log::info!("{}: the peer has lost the session", tx.peer);
                // `ceph_con_reset_session`, unless the owner cannot be told of it because the
                // handshake ends here: then the peer will say it again at the next attempt.
                let lost = std::mem::take(&mut tx.session);
                if let Err(fault) = self.connect_again(tx, cx) {
                    tx.session = lost;
                    return Err(fault);
                }
                Ok(Some(Event::RemoteReset))
            }
            tag::RETRY_SESSION => {
                tx.session.connect_seq = reply.connect_seq;
                self.connect_again(tx, cx)?;
                Ok(None)
            }
            tag::RETRY_GLOBAL => {
                // What it saw came from here: the counter cannot have got that far.
                if reply.global_seq.0 > limits::MAX_GLOBAL_SEQ {
                    return Err(Fault::BadGlobalSeq(reply.global_seq.0.into()));
                }
                cx.local.global_seq(reply.global_seq);
                self.connect_again(tx, cx)?;
                Ok(None)
            }
            tag::BADAUTHORIZER if self.handshake.refused => Err(Fault::BadAuthorizer),
            tag::BADAUTHORIZER => {
                log::info!("{}: BADAUTHORIZER, trying a new one", tx.peer);
                self.handshake.refused = true;
                self.handshake.authorizer = None;
                self.connect_again(tx, cx)?;
                Ok(None)
            }
            tag::FEATURES => Err(Fault::FeaturesMissing(reply.features.missing_in(own))),
            tag::BADPROTOVER => Err(Fault::BadProtocolVersion {
                ours: self.protocol_version(cx),
                theirs: reply.protocol_version,
            }),
            tag::WAIT if cx.local.addr().port() != 0 => Err(Fault::Wait),
            tag::WAIT => Err(Fault::WaitAsClient),
            other => Err(Fault::GarbageTag(other)),
        }
    }

    /// Bytes behind any tag but CHALLENGE answer the authorizer; a tag that opens the session
    /// must have them.
    fn verify_authorizer_reply(&mut self, msg: &ConnectReplyMsg) -> Result<(), Fault> {
        let opens = matches!(msg.reply.tag, tag::READY | tag::SEQ);
        match &mut self.handshake.authorizer {
            None if msg.authorizer.is_empty() => Ok(()),
            None => Err(Fault::UnexpectedAuthorizerReply(msg.reply.authorizer_len)),
            // What comes with a refusal proves nothing, and the next authorizer is another one.
            Some(_) if msg.reply.tag == tag::BADAUTHORIZER => Ok(()),
            Some(authorizer) if !msg.authorizer.is_empty() => {
                Ok(authorizer.verify_reply(&msg.authorizer)?)
            }
            Some(authorizer) if opens && authorizer.wants_reply() => Err(Fault::NoAuthorizerReply),
            Some(_) => Ok(()),
        }
    }

    fn check_opening(
        &self,
        tx: &Tx,
        reply: &ConnectReply,
        cx: &Context<'_>,
    ) -> Result<Features, Fault> {
        let options = &cx.local.options;
        let lacking = options.required.missing_in(reply.features);
        if !lacking.is_empty() {
            return Err(Fault::PeerLacksFeatures(lacking));
        }
        let want = tx.session.connect_seq.0.wrapping_add(1);
        if reply.connect_seq.0 != want {
            return Err(Fault::BadConnectSeq { want, got: reply.connect_seq.0 });
        }
        Ok(reply.features & options.supported)
    }

    /// The acceptor's in_seq: what it has already is not sent again. Ours follows, and only then
    /// is the session open: a sender must not get in between.
    pub(super) fn process_seq(
        &mut self,
        tx: &mut Tx,
        reply: &ConnectReply,
        seq: Seq,
        cx: &Context<'_>,
    ) -> Result<Event, Fault> {
        log::trace!("{}: < seq {seq}", tx.peer);
        tx.session.discard_requeued(seq)?;
        tx.prepare_write_seq();
        self.con_opened(tx, reply, cx)
    }

    fn con_opened(
        &mut self,
        tx: &mut Tx,
        reply: &ConnectReply,
        cx: &Context<'_>,
    ) -> Result<Event, Fault> {
        let features = self.check_opening(tx, reply, cx)?;
        tx.session.connect_seq = reply.connect_seq;
        tx.session.peer_global_seq = reply.global_seq;
        tx.session.lossy = reply.is_lossy();
        // A dialled peer's numbers have no gap: the kernel insists on it.
        tx.session.gaps = false;
        tx.session.once_ready = true;
        tx.quiet = false;
        let authorizer = std::mem::take(&mut self.handshake).authorizer;
        let key = authorizer.as_ref().and_then(|a| a.session_key());
        let signer = match key.filter(|_| cx.local.options.sign_messages) {
            Some(key) => Signer::new(key, features)?,
            None => None,
        };
        (self.features, tx.features) = (features, features);
        self.set_signer(tx, signer);
        self.prepare_read_tag();
        tx.set_state(ConState::Open);
        Ok(Event::Connected(features))
    }
}
