//! What an accepting side answers where no session opens: the dialler may try again on the same
//! socket.

use super::wire::{Connect, ConnectReply, tag};
use super::{Accept, AcceptContext, Offer};
use crate::auth::AuthorizerState;
use crate::msgr::{Retry, protocol_version};
use crate::types::{ConnectSeq, Features, GlobalSeq};

impl Accept {
    /// Answers an offer that opens nothing: the dialler may try again on this socket. The proof
    /// that its authorizer was read goes with every answer but a refusal.
    pub fn retry(&mut self, offer: &Offer, retry: Retry, cx: &AcceptContext<'_>) {
        let mut reply = ConnectReply { tag: tag::RESETSESSION, ..blank(&offer.connect, cx) };
        match retry {
            Retry::Global(seq) => (reply.tag, reply.global_seq) = (tag::RETRY_GLOBAL, seq),
            Retry::Session(seq) => (reply.tag, reply.connect_seq) = (tag::RETRY_SESSION, seq),
            Retry::ResetSession { .. } => {}
            Retry::Wait => reply.tag = tag::WAIT,
        }
        let proof = offer.accepted.as_ref().map_or(&[][..], |accepted| &accepted.reply);
        self.prepare_write_reply(reply, proof);
    }

    pub(super) fn refuse_version(&mut self, connect: &Connect, cx: &AcceptContext<'_>) {
        let reply = ConnectReply { tag: tag::BADPROTOVER, ..blank(connect, cx) };
        self.prepare_write_reply(reply, &[]);
    }

    /// `required` is all that the dialler must have, what it lacks among it.
    pub(super) fn refuse_features(
        &mut self,
        required: Features,
        connect: &Connect,
        cx: &AcceptContext<'_>,
    ) {
        let blank = blank(connect, cx);
        let features = blank.features | required;
        self.prepare_write_reply(ConnectReply { tag: tag::FEATURES, features, ..blank }, &[]);
    }

    /// Whatever the dialler shows next on this socket is challenged anew: it cannot have answered.
    pub(super) fn refuse_authorizer(&mut self, connect: &Connect, cx: &AcceptContext<'_>) {
        self.authorizer = AuthorizerState::new();
        let reply = ConnectReply { tag: tag::BADAUTHORIZER, ..blank(connect, cx) };
        self.prepare_write_reply(reply, &[]);
    }

    pub(super) fn challenge_authorizer(
        &mut self,
        challenge: &[u8],
        connect: &Connect,
        cx: &AcceptContext<'_>,
    ) {
        let reply = ConnectReply { tag: tag::CHALLENGE_AUTHORIZER, ..blank(connect, cx) };
        self.prepare_write_reply(reply, challenge);
    }

    fn prepare_write_reply(&mut self, reply: ConnectReply, authorizer: &[u8]) {
        let reply = ConnectReply { authorizer_len: authorizer.len() as u32, ..reply };
        log::trace!("{}: > {reply:?}", self.peer_addr);
        self.out_kvec.add(&reply.encode());
        self.out_kvec.add(authorizer);
    }
}

/// What replies that open nothing have in common.
fn blank(connect: &Connect, cx: &AcceptContext<'_>) -> ConnectReply {
    let options = &cx.local.options;
    ConnectReply {
        tag: 0,
        features: (connect.features & options.supported) | options.required,
        global_seq: GlobalSeq(0),
        connect_seq: ConnectSeq(0),
        protocol_version: protocol_version(cx.local.name().entity_type, connect.host_type),
        authorizer_len: 0,
        flags: 0,
    }
}
