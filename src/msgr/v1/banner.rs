//! The two hellos: banner and addresses.

use super::wire::{BANNER, BANNER_V2};
use super::{ConState, Context, ReadState, Rx};
use crate::msgr::{Fault, Tx};
use crate::types::EntityAddr;

/// What an acceptor says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its address, as it knows it.
    pub peer_addr: EntityAddr,
    /// Our address, as it sees it.
    pub peer_addr_for_me: EntityAddr,
}

/// Refuses what does not begin as a messenger of version 1 does.
pub(super) fn check_banner(banner: &[u8]) -> Result<(), Fault> {
    if banner == BANNER {
        Ok(())
    } else if banner.starts_with(BANNER_V2) {
        Err(Fault::PeerSpeaksV2)
    } else {
        Err(Fault::BadBanner)
    }
}

impl Tx {
    /// A socket is being opened: banner and own address go out first, and nothing else.
    pub fn prepare_write_banner(&mut self, cx: &Context<'_>) {
        self.out_kvec.reset();
        self.out_kvec.add(BANNER);
        self.out_kvec.add(&cx.local.addr().encode_legacy());
        self.set_state(ConState::V1Banner);
    }
}

impl Rx {
    /// A socket is being opened: the peer's banner is the first thing to be read.
    pub fn prepare_read_banner(&mut self) {
        self.in_buf.reset();
        self.handshake = Default::default();
        self.read = ReadState::Banner;
    }

    /// Checks that the acceptor is the one that was dialled, and learns our own address from it.
    /// Changes no state and prepares no read: that is the caller's.
    pub(super) fn process_banner(&self, hello: &Hello, cx: &Context<'_>) -> Result<(), Fault> {
        let (want, got) = (self.peer.addr, hello.peer_addr);
        let same_host = match (want.sockaddr, got.sockaddr) {
            // An acceptor that does not know its IP yet sends none; the port must still match.
            (Some(want), _) if got.is_blank_ip() => want.port() == got.port(),
            _ => want.place() == got.place(),
        };
        if !same_host || want.nonce != got.nonce {
            return Err(Fault::WrongPeer { want, got });
        }
        cx.local.learn_addr(hello.peer_addr_for_me);
        Ok(())
    }
}
